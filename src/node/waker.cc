#include "node/waker.h"

namespace perdure::node {

Waker::Waker(napi_env env, napi_value on_wake, Durability& durability) : durability_(durability) {
  call_.open(env, "perdure", on_wake, this, call_javascript);
  subscription_ = durability_.subscribe([this](Lsn durable) {
    Lsn wanted = wanted_.load(std::memory_order_acquire);
    if (wanted != 0 && durable >= wanted &&
        wanted_.compare_exchange_strong(wanted, 0, std::memory_order_acq_rel))
      wake();
  });
}

Waker::~Waker() { durability_.unsubscribe(subscription_); }

void Waker::wake() {
  if (pending_.exchange(true, std::memory_order_acq_rel)) return;
  call_.call();
}

void Waker::wake_when_durable(Lsn lsn) {
  wanted_.store(lsn, std::memory_order_release);
  Lsn wanted = lsn;
  // It may have become durable before the store above.
  if (durability_.durable_lsn() >= lsn &&
      wanted_.compare_exchange_strong(wanted, 0, std::memory_order_acq_rel))
    wake();
}

void Waker::keep(napi_env env) {
  if (keepers_++ == 0) call_.keep(env);
}

void Waker::unkeep(napi_env env) {
  if (--keepers_ == 0) call_.unkeep(env);
}

void Waker::call_javascript(napi_env env, napi_value on_wake, void* context, void* /*data*/) {
  if (env == nullptr) return;  // the environment is going
  auto* self = static_cast<Waker*>(context);
  // Cleared before JavaScript looks: what comes up while it does wakes it again.
  self->pending_.store(false, std::memory_order_release);
  napi_value receiver = nullptr;
  if (napi_get_undefined(env, &receiver) != napi_ok) return;
  if (napi_call_function(env, receiver, on_wake, 0, nullptr, nullptr) != napi_pending_exception)
    return;
  napi_value error = nullptr;
  napi_get_and_clear_last_exception(env, &error);
  napi_fatal_exception(env, error);
}

}  // namespace perdure::node
