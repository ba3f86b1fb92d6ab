#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "front/server.h"

namespace perdure::front {

// A log for tests: durable as far as the test says.
class FakeDurability final : public Durability {
 public:
  [[nodiscard]] Lsn durable_lsn() const noexcept override {
    const std::lock_guard lock(mutex_);
    return durable_;
  }
  std::uint64_t subscribe(std::function<void(Lsn)> on_advance) override {
    const std::lock_guard lock(calling_);
    subscribers_[++last_] = std::move(on_advance);
    return last_;
  }
  void unsubscribe(std::uint64_t subscription) override {
    const std::lock_guard lock(calling_);
    subscribers_.erase(subscription);
  }
  void advance(Lsn durable) {
    const std::lock_guard calling(calling_);
    {
      const std::lock_guard lock(mutex_);
      durable_ = durable;
    }
    for (const auto& [id, subscriber] : subscribers_) subscriber(durable);
  }

 private:
  mutable std::mutex mutex_;
  std::mutex calling_;
  Lsn durable_ = 0;
  std::map<std::uint64_t, std::function<void(Lsn)>> subscribers_;
  std::uint64_t last_ = 0;
};

// A shard for tests: keeps the events for the test to look at, or gives them to a handler (on the
// front's thread).
class TestSink final : public RequestSink {
 public:
  using Kind = RequestEvent::Kind;

  std::function<void(RequestEvent&)> handler;

  void push(std::vector<RequestEvent>& events) override {
    if (handler) {
      for (auto& event : events) handler(event);
    } else {
      const std::lock_guard lock(mutex_);
      for (auto& event : events) events_.push_back(std::move(event));
      changed_.notify_all();
    }
    events.clear();
  }

  // The next event in the order of arrival; its id is 0 when none comes in time.
  RequestEvent next(std::chrono::milliseconds wait = std::chrono::seconds(5)) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, wait, [this] { return !events_.empty(); })) return {};
    auto event = std::move(events_.front());
    events_.erase(events_.begin());
    return event;
  }

  // The next kRequest with all of its body, which the events behind it bring.
  RequestEvent next_whole() {
    auto request = next();
    while (request.id != 0 && !request.body_complete) {
      auto part = next();
      if (part.kind != Kind::kBody) return {};
      request.body += part.body;
      request.body_complete = part.body_complete;
    }
    return request;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<RequestEvent> events_;
};

// Makes and sends single responses.
class Responder {
 public:
  using Kind = ResponseEvent::Kind;

  explicit Responder(Server& server) : server_(server) {}

  void whole(RequestId id, std::string body, Lsn depends_on = 0, std::string head = "",
             std::uint16_t status = 200) {
    auto event = make(Kind::kWhole, id, depends_on);
    event.head = std::move(head);
    event.body = std::move(body);
    event.status = status;
    send(std::move(event));
  }
  void head(RequestId id, std::string head = "", Lsn depends_on = 0, std::uint16_t status = 200) {
    auto event = make(Kind::kHead, id, depends_on);
    event.head = std::move(head);
    event.status = status;
    send(std::move(event));
  }
  void chunk(RequestId id, std::string body, Lsn depends_on = 0) {
    auto event = make(Kind::kChunk, id, depends_on);
    event.body = std::move(body);
    send(std::move(event));
  }
  void end(RequestId id, Lsn depends_on = 0) { send(make(Kind::kEnd, id, depends_on)); }
  void abort(RequestId id) { send(make(Kind::kAbort, id, 0)); }
  void consumed(RequestId id, std::uint64_t bytes) {
    auto event = make(Kind::kConsumed, id, 0);
    event.consumed = bytes;
    send(std::move(event));
  }

 private:
  static ResponseEvent make(Kind kind, RequestId id, Lsn depends_on) {
    ResponseEvent event;
    event.kind = kind;
    event.id = id;
    event.depends_on = depends_on;
    return event;
  }
  void send(ResponseEvent event) {
    std::vector<ResponseEvent> events;
    events.push_back(std::move(event));
    server_.send(events);
  }

  Server& server_;
};

}  // namespace perdure::front
