#include "object/object.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"

namespace perdure::object {

Object::Admission Object::arrive(EventId event) {
  if (state_ == State::kReady && blocks_ == 0 && none_waiting()) {
    ++in_flight_;
    return Admission::kDeliver;
  }
  if (waiting_.size() - waiting_head_ >= kWaitingEventsMax)
    throw Error(ErrorCode::kFull, "Durable Object is overloaded. Too many requests queued: " +
                                      std::to_string(kWaitingEventsMax) +
                                      " wait for this object already.");
  waiting_.push_back(event);
  if (state_ != State::kAbsent) return Admission::kWait;
  state_ = State::kConstructing;
  return Admission::kConstruct;
}

void Object::constructed() {
  assert(state_ == State::kConstructing);
  state_ = State::kReady;
}

std::optional<EventId> Object::next() {
  if (state_ != State::kReady || blocks_ != 0 || none_waiting()) return std::nullopt;
  const EventId event = waiting_[waiting_head_++];
  if (none_waiting()) {
    waiting_.clear();
    waiting_head_ = 0;
  }
  ++in_flight_;
  return event;
}

void Object::finish(std::uint64_t now_ms) {
  assert(in_flight_ > 0);
  --in_flight_;
  settle(now_ms);
}

void Object::unblock() {
  assert(blocks_ > 0);
  --blocks_;
}

std::vector<EventId> Object::reset(std::uint64_t now_ms) {
  std::vector<EventId> refused(waiting_.begin() + static_cast<std::ptrdiff_t>(waiting_head_),
                               waiting_.end());
  waiting_ = {};
  waiting_head_ = 0;
  state_ = State::kAbsent;
  rolled_back();
  blocks_ = 0;
  in_flight_ = 0;
  holds_ = 0;
  idle_since_ms_ = now_ms;
  return refused;
}

void Object::release(std::uint64_t now_ms) {
  assert(holds_ > 0);
  --holds_;
  settle(now_ms);
}

bool Object::idle(std::uint64_t now_ms, std::uint64_t idle_ms) const noexcept {
  return state_ != State::kConstructing && in_flight_ == 0 && holds_ == 0 && blocks_ == 0 &&
         none_waiting() && !transaction_open_ && now_ms - idle_since_ms_ >= idle_ms;
}

void Object::evict() {
  assert(state_ != State::kConstructing && in_flight_ == 0 && none_waiting() && !transaction_open_);
  state_ = State::kAbsent;
}

bool Object::will_begin() noexcept {
  if (transaction_open_) return false;
  transaction_open_ = true;
  return true;
}

bool Object::will_write() noexcept {
  ++writes_;
  return will_begin();
}

void Object::committed(Lsn lsn, std::uint32_t unconfirmed_writes) noexcept {
  if (unconfirmed_writes < writes_) observe(lsn);
  rolled_back();
}

void Object::rolled_back() noexcept {
  transaction_open_ = false;
  writes_ = 0;
}

void Object::observe(Lsn lsn) noexcept { output_lsn_ = std::max(output_lsn_, lsn); }

Lsn Object::output_lsn() const {
  assert(!transaction_open_);
  return output_lsn_;
}

void Object::settle(std::uint64_t now_ms) noexcept {
  if (in_flight_ == 0 && holds_ == 0) idle_since_ms_ = now_ms;
}

}  // namespace perdure::object
