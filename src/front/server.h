#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/durability.h"
#include "base/lsn.h"

namespace perdure::front {

// Names one request on one connection; never used again in the life of the server.
using RequestId = std::uint64_t;

struct ServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8787;                    // 0: any free port, see Server::port()
  std::size_t header_bytes_max = 16 << 10;      // request line and headers: 431
  std::uint64_t body_bytes_max = 100ull << 20;  // 413
  // Request body handed over and not yet consumed, after which no more is read. What one read
  // brings (64 KiB) can exceed it.
  std::size_t body_window_bytes = 256 << 10;
  std::size_t response_buffer_bytes_max = 1 << 20;   // see Server::send
  std::size_t connections_max = 10'000;              // further ones get 503 and are closed
  std::chrono::milliseconds header_timeout{15'000};  // first byte of a request to end of headers
  std::chrono::milliseconds idle_timeout{75'000};    // between requests, or while a body stalls
};

// What the front tells the shard, in order for each request: kRequest, kBody*, then kCancel at any
// time when the client went away (nothing follows; a response to it is dropped). A client that
// closes only its sending side counts as gone. There is no kCancel once the front has seen the last
// event of the response (kWhole, kEnd, kAbort), but the two can cross on their way.
struct RequestEvent {
  enum class Kind : std::uint8_t { kRequest, kBody, kCancel, kWritable };

  Kind kind = Kind::kRequest;
  // kRequest and kBody: this was the whole body, or its last part.
  bool body_complete = false;
  RequestId id = 0;
  // kRequest: "METHOD\n" "target\n" then "name\nvalue\n" for each header in the order of arrival,
  // names in lower case, bytes as Latin-1. (LF can not occur in any of them.) One string, so that
  // the host makes one JavaScript string of it and splits it only when somebody looks.
  std::string head;
  // kRequest: what had arrived of the body with the head (often all of it). kBody: the next part.
  std::string body;
  std::string error;  // kCancel: why, for the log
};

// Where a shard takes its events from. The front pushes; one `wake` covers many events.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  // Takes a batch (moved from; the vector is left empty for reuse). On the front's thread; must be
  // short and must not block.
  virtual void push(std::vector<RequestEvent>& events) = 0;
};

// A response or a part of one, from the shard to the front.
struct ResponseEvent {
  enum class Kind : std::uint8_t {
    kWhole,  // head and the whole body
    kHead,   // head; kChunk and kEnd follow
    kChunk,
    kEnd,
    kAbort,     // the body failed half-way: the connection is closed so that the client can tell
    kConsumed,  // the shard used up `consumed` bytes of the request's body: read on
  };

  Kind kind = Kind::kWhole;
  std::uint16_t status = 200;
  RequestId id = 0;
  // Not sent before the log is durable up to here.
  Lsn depends_on = 0;
  // "name: value\r\n" for each header, checked by the caller; before them, " reason\r\n" if the
  // status line is to have another reason phrase than the usual one.
  std::string head;
  std::string body;  // kWhole, kChunk
  std::uint64_t consumed = 0;
  // kWhole, kHead: the sink (from 1) that would have been nearer to what the request needs, for
  // later ones with the same method and target; 0: nothing is known.
  std::uint16_t next_sink = 0;
};

// HTTP/1.1 on one thread of its own: accepts, parses (Boost.Beast), hands requests to the sinks in
// batches, sends responses once the log is durable as far as they depend on it. Requests of one
// connection go to one sink, and connections take turns, unless a response for the same target has
// said which sink is better (ResponseEvent::next_sink).
class Server {
 public:
  // Binds and listens; throws Error(kIo) that names the address, with its own text for a port in
  // use: "Port 8787 on 127.0.0.1 is in use by another program; choose another with --port."
  // `durability` may be null (nothing waits). It and the sinks (one at least) outlive the server.
  Server(ServerOptions options, std::vector<RequestSink*> sinks, Durability* durability);
  // Closes what is open without a word to the sink, and waits for the front's thread.
  ~Server();

  [[nodiscard]] std::uint16_t port() const noexcept;

  // Queues responses and wakes the front at most once for all that gathers. Moves from the events
  // and leaves the vector empty for reuse. Any thread, never blocks. Events of one request are sent
  // in the order they were queued; events of a request that is over are dropped.
  //
  // Backpressure: the caller counts the bytes of the kChunks of one response since its kHead or the
  // last kWritable. Above response_buffer_bytes_max it pauses; the front counts the same, and one
  // kWritable follows once less than half of the limit waits to be sent.
  void send(std::vector<ResponseEvent>& events);

  // Stops accepting, closes idle connections, lets requests in flight finish (each gets
  // "Connection: close"), and calls `stopped` on the front's thread when all are done or `grace` is
  // over (what is left is closed then). Any thread; once. The server must not be destroyed inside
  // `stopped`.
  void stop(std::chrono::milliseconds grace, std::function<void()> stopped);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace perdure::front
