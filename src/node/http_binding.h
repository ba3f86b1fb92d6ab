#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

#include "front/server.h"
#include "node/napi.h"

namespace perdure::node {

class RequestQueue;
class Waker;

// The HTTP front of a process: one server, and a queue of requests for each shard. Any thread.
class HttpFront {
 public:
  // Makes the queue of a shard (counted from 0), which is woken by `waker`. Before listen().
  std::shared_ptr<RequestQueue> add_queue(Waker& waker, std::size_t shard);

  // Accepts connections from now on; returns the port. Throws Error as front::Server does.
  std::uint16_t listen(front::ServerOptions options, Durability* durability);

  // Throws Error when it does not listen.
  std::shared_ptr<front::Server> server();

  // See front::Server::stop(). All shards are woken when it has stopped.
  void stop(std::chrono::milliseconds grace);
  [[nodiscard]] bool stopped() const { return stopped_.load(std::memory_order_acquire); }

  // Waits for the front's thread, once nobody else has server().
  void close();

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<RequestQueue>> queues_;
  std::shared_ptr<front::Server> server_;
  std::atomic<bool> stopped_{false};
};

// engine.listen(host, port) -> port, engine.stopListening(graceMs), engine.closeListener(): for the
// one environment that starts the others.
void define_http_front(napi_env env, napi_value engine, void* self);

// shard.openHttp(shard's index) -> this shard's side of the front.
napi_value open_http(napi_env env, napi_callback_info info);

}  // namespace perdure::node
