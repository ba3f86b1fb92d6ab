#include "node/http_binding.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "node/shard_binding.h"

namespace perdure::node {

// Where the front's requests wait for a shard.
class RequestQueue final : public front::RequestSink {
 public:
  explicit RequestQueue(Waker& waker) : waker_(&waker) {}

  void push(std::vector<front::RequestEvent>& events) override {
    const std::lock_guard lock(mutex_);
    if (events_.empty()) {
      events_.swap(events);
    } else {
      events_.insert(events_.end(), std::make_move_iterator(events.begin()),
                     std::make_move_iterator(events.end()));
    }
    events.clear();
    if (waker_ != nullptr) waker_->wake();
  }

  void take(std::vector<front::RequestEvent>& out) {
    out.clear();
    const std::lock_guard lock(mutex_);
    out.swap(events_);
  }

  void wake() {
    const std::lock_guard lock(mutex_);
    if (waker_ != nullptr) waker_->wake();
  }

  // Nobody takes from it any more, and the waker may go.
  void close() {
    const std::lock_guard lock(mutex_);
    waker_ = nullptr;
  }

 private:
  std::mutex mutex_;
  Waker* waker_;
  std::vector<front::RequestEvent> events_;
};

std::shared_ptr<RequestQueue> HttpFront::add_queue(Waker& waker, std::size_t shard) {
  const std::lock_guard lock(mutex_);
  if (server_ != nullptr) throw Error(ErrorCode::kInvalid, "The server listens already.");
  if (queues_.size() <= shard) queues_.resize(shard + 1);
  return queues_[shard] = std::make_shared<RequestQueue>(waker);
}

std::uint16_t HttpFront::listen(front::ServerOptions options, Durability* durability) {
  const std::lock_guard lock(mutex_);
  if (server_ != nullptr) throw Error(ErrorCode::kInvalid, "The server listens already.");
  std::vector<front::RequestSink*> sinks;
  for (const auto& queue : queues_) {
    if (queue == nullptr) throw Error(ErrorCode::kInvalid, "A shard has no queue yet.");
    sinks.push_back(queue.get());
  }
  server_ = std::make_shared<front::Server>(std::move(options), std::move(sinks), durability);
  return server_->port();
}

std::shared_ptr<front::Server> HttpFront::server() {
  const std::lock_guard lock(mutex_);
  if (server_ == nullptr) throw Error(ErrorCode::kInvalid, "The server does not listen.");
  return server_;
}

void HttpFront::stop(std::chrono::milliseconds grace) {
  server()->stop(grace, [this] {
    stopped_.store(true, std::memory_order_release);
    for (const auto& queue : queues_) queue->wake();
  });
}

void HttpFront::close() {
  std::shared_ptr<front::Server> server;
  {
    const std::lock_guard lock(mutex_);
    server.swap(server_);
  }
}

namespace {

// The front as one shard's JavaScript holds it.
class HttpHost {
 public:
  HttpHost(napi_env env, ShardHost& shard, std::size_t index)
      : shard_(shard),
        directory_(shard.engine.directory),
        queue_(directory_->http->add_queue(shard.open_waker(), index)) {
    shard_.waker->keep(env);
  }
  ~HttpHost() { queue_->close(); }

  void close(napi_env env) {
    queue_->close();
    if (closed_) return;
    closed_ = true;
    server_.reset();
    shard_.waker->unkeep(env);
  }

  front::Server& server() {
    if (closed_) throw Error(ErrorCode::kInvalid, "The server has been stopped.");
    if (server_ == nullptr) server_ = directory_->http->server();
    return *server_;
  }

  RequestQueue& queue() { return *queue_; }
  [[nodiscard]] bool stopped() const { return directory_->http->stopped(); }

  std::vector<front::RequestEvent> taken;
  std::vector<front::ResponseEvent> outbox;

 private:
  ShardHost& shard_;
  std::shared_ptr<DataDirectory> directory_;
  std::shared_ptr<RequestQueue> queue_;
  std::shared_ptr<front::Server> server_;
  bool closed_ = false;
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
  Call<HttpHost, 7> call(env, info);
  front::ResponseEvent event;
  event.kind = static_cast<front::ResponseEvent::Kind>(call.uint(0));
  event.id = call.u64(1);
  event.status = static_cast<std::uint16_t>(call.uint(2));
  event.depends_on = call.u64(3);
  if (call.type(4) == napi_string) append_latin1(env, call.args[4], event.head);
  append_body(env, call.args[5], call.type(5), event.body);
  event.next_sink = static_cast<std::uint16_t>(call.uint(6));
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
  // Commits are flushed as well, and those of alarms before anybody listens.
  if (!call.self->outbox.empty()) call.self->server().send(call.self->outbox);
  return nullptr;
}

napi_value stopped(napi_env env, napi_callback_info info) {
  Call<HttpHost, 0> call(env, info);
  return make_bool(env, call.self->stopped());
}

napi_value close_http(napi_env env, napi_callback_info info) {
  Call<HttpHost, 0> call(env, info);
  call.self->close(env);
  return nullptr;
}

}  // namespace

napi_value open_http(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  HttpHost* host =
      owned_by_environment(env, std::make_unique<HttpHost>(env, *call.self, call.uint(0)));
  napi_value out = make_object(env);
  method<take>(env, out, "take", host);
  method<respond>(env, out, "respond", host);
  method<consumed>(env, out, "consumed", host);
  method<flush>(env, out, "flush", host);
  method<stopped>(env, out, "stopped", host);
  method<close_http>(env, out, "close", host);
  return out;
}

namespace {

napi_value listen(napi_env env, napi_callback_info info) {
  Call<Engine, 2> call(env, info);
  front::ServerOptions options;
  options.host = call.utf8(0);
  options.port = static_cast<std::uint16_t>(call.uint(1));
  Durability& durability = call.self->open_store().log();
  return make_number(env, call.self->directory->http->listen(std::move(options), &durability));
}

napi_value stop_listening(napi_env env, napi_callback_info info) {
  Call<Engine, 1> call(env, info);
  call.self->directory->http->stop(std::chrono::milliseconds(call.uint(0)));
  return nullptr;
}

napi_value close_listener(napi_env env, napi_callback_info info) {
  Call<Engine, 0> call(env, info);
  call.self->directory->http->close();
  return nullptr;
}

}  // namespace

void define_http_front(napi_env env, napi_value engine, void* self) {
  method<listen>(env, engine, "listen", self);
  method<stop_listening>(env, engine, "stopListening", self);
  method<close_listener>(env, engine, "closeListener", self);
}

}  // namespace perdure::node
