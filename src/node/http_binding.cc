#include "node/http_binding.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "front/server.h"
#include "node/shard_binding.h"

namespace perdure::node {
namespace {

// Where the front's requests wait for the shard.
class RequestQueue final : public front::RequestSink {
 public:
  explicit RequestQueue(Waker& waker) : waker_(waker) {}

  void push(std::vector<front::RequestEvent>& events) override {
    {
      const std::lock_guard lock(mutex_);
      if (events_.empty()) {
        events_.swap(events);
      } else {
        events_.insert(events_.end(), std::make_move_iterator(events.begin()),
                       std::make_move_iterator(events.end()));
      }
    }
    events.clear();
    waker_.wake();
  }

  void take(std::vector<front::RequestEvent>& out) {
    out.clear();
    const std::lock_guard lock(mutex_);
    out.swap(events_);
  }

 private:
  Waker& waker_;
  std::mutex mutex_;
  std::vector<front::RequestEvent> events_;
};

// The HTTP server as JavaScript holds it.
class HttpHost {
 public:
  HttpHost(napi_env env, ShardHost& shard, front::ServerOptions options)
      : shard_(shard),
        queue_(*shard.waker),
        server_(std::make_unique<front::Server>(std::move(options), queue_,
                                                &shard.shard.store().log())) {
    shard_.waker->keep(env);
  }

  // Joins the front's thread.
  void close(napi_env env) {
    if (server_ == nullptr) return;
    server_.reset();
    shard_.waker->unkeep(env);
  }

  front::Server& server() {
    if (server_ == nullptr) throw Error(ErrorCode::kInvalid, "The server has been stopped.");
    return *server_;
  }

  RequestQueue& queue() { return queue_; }

  void stop(std::chrono::milliseconds grace) {
    server().stop(grace, [this] {
      stopped_.store(true, std::memory_order_release);
      shard_.waker->wake();
    });
  }
  [[nodiscard]] bool stopped() const { return stopped_.load(std::memory_order_acquire); }

  std::vector<front::RequestEvent> taken;
  std::vector<front::ResponseEvent> outbox;

 private:
  ShardHost& shard_;
  RequestQueue queue_;
  std::unique_ptr<front::Server> server_;
  std::atomic<bool> stopped_{false};
};

constexpr std::uint32_t kBodyComplete = 8;

napi_value take(napi_env env, napi_callback_info info) {
  Call<HttpHost, 0> call(env, info);
  auto& events = call.self->taken;
  call.self->queue().take(events);
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, events.size() * 4, &out));
  std::uint32_t i = 0;
  for (front::RequestEvent& event : events) {
    const std::uint32_t kind =
        static_cast<std::uint32_t>(event.kind) + (event.body_complete ? kBodyComplete : 0);
    check(env, napi_set_element(env, out, i++, make_number(env, kind)));
    check(env, napi_set_element(env, out, i++, make_number(env, static_cast<double>(event.id))));
    const std::string& text =
        event.kind == front::RequestEvent::Kind::kCancel ? event.error : event.head;
    napi_value value = nullptr;
    if (text.empty()) {
      check(env, napi_get_undefined(env, &value));
    } else {
      value = make_latin1(env, text);
    }
    check(env, napi_set_element(env, out, i++, value));
    if (event.body.empty()) {
      check(env, napi_get_undefined(env, &value));
    } else {
      value = make_array_buffer(
          env, {reinterpret_cast<const std::byte*>(event.body.data()), event.body.size()});
    }
    check(env, napi_set_element(env, out, i++, value));
  }
  events.clear();
  return out;
}

// The body of a response: a string goes as UTF-8, bytes as they are, undefined as nothing.
void append_body(napi_env env, napi_value value, napi_valuetype type, std::string& out) {
  if (type == napi_undefined) return;
  if (type == napi_string) {
    append_utf8(env, value, out);
    return;
  }
  const auto bytes = bytes_of(env, value);
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

napi_value respond(napi_env env, napi_callback_info info) {
  Call<HttpHost, 6> call(env, info);
  front::ResponseEvent event;
  event.kind = static_cast<front::ResponseEvent::Kind>(call.uint(0));
  event.id = call.u64(1);
  event.status = static_cast<std::uint16_t>(call.uint(2));
  event.depends_on = call.u64(3);
  if (call.type(4) == napi_string) append_latin1(env, call.args[4], event.head);
  append_body(env, call.args[5], call.type(5), event.body);
  call.self->outbox.push_back(std::move(event));
  return nullptr;
}

napi_value consumed(napi_env env, napi_callback_info info) {
  Call<HttpHost, 2> call(env, info);
  front::ResponseEvent event;
  event.kind = front::ResponseEvent::Kind::kConsumed;
  event.id = call.u64(0);
  event.consumed = call.u64(1);
  call.self->outbox.push_back(std::move(event));
  return nullptr;
}

napi_value flush(napi_env env, napi_callback_info info) {
  Call<HttpHost, 0> call(env, info);
  call.self->server().send(call.self->outbox);
  return nullptr;
}

napi_value stop(napi_env env, napi_callback_info info) {
  Call<HttpHost, 1> call(env, info);
  call.self->stop(std::chrono::milliseconds(call.uint(0)));
  return nullptr;
}

napi_value stopped(napi_env env, napi_callback_info info) {
  Call<HttpHost, 0> call(env, info);
  return make_bool(env, call.self->stopped());
}

napi_value close_server(napi_env env, napi_callback_info info) {
  Call<HttpHost, 0> call(env, info);
  call.self->close(env);
  return nullptr;
}

}  // namespace

napi_value start_server(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  front::ServerOptions options;
  options.host = call.utf8(0);
  options.port = static_cast<std::uint16_t>(call.uint(1));
  HttpHost* host =
      owned_by_environment(env, std::make_unique<HttpHost>(env, *call.self, std::move(options)));
  napi_value out = make_object(env);
  set(env, out, "port", make_number(env, host->server().port()));
  method<take>(env, out, "take", host);
  method<respond>(env, out, "respond", host);
  method<consumed>(env, out, "consumed", host);
  method<flush>(env, out, "flush", host);
  method<stop>(env, out, "stop", host);
  method<stopped>(env, out, "stopped", host);
  method<close_server>(env, out, "close", host);
  return out;
}

}  // namespace perdure::node
