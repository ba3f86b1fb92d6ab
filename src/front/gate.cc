#include "front/gate.h"

namespace perdure::front {

Gate::Gate(Durability* durability, Waker& waker) : durability_(durability), waker_(waker) {
  if (durability_ == nullptr) {
    durable_ = kNothing;
    return;
  }
  subscription_ = durability_->subscribe([this](Lsn durable) { on_advance(durable); });
  durable_ = durability_->durable_lsn();
}

Gate::~Gate() {
  if (durability_ != nullptr) durability_->unsubscribe(subscription_);
}

void Gate::wait(Lsn lsn, RequestId request) { waiting_.emplace(lsn, request); }

void Gate::release(std::vector<RequestId>& released) {
  if (durability_ == nullptr) return;
  durable_ = durability_->durable_lsn();
  while (!waiting_.empty() && waiting_.top().first <= durable_) {
    released.push_back(waiting_.top().second);
    waiting_.pop();
  }
}

bool Gate::prepare_sleep() {
  if (durability_ == nullptr) return true;
  const Lsn lowest = waiting_.empty() ? kNothing : waiting_.top().first;
  if (lowest == kNothing && wanted_.load(std::memory_order_relaxed) == kNothing) return true;
  wanted_.exchange(lowest);
  return durability_->durable_lsn() < lowest;
}

void Gate::on_advance(Lsn durable) noexcept {
  if (durable >= wanted_.fetch_add(0)) waker_.signal();
}

}  // namespace perdure::front
