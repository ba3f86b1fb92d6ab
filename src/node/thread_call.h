#pragma once

#include <mutex>

#include "node/napi.h"

namespace perdure::node {

// Calls a function on a JavaScript environment's thread from other threads: Node-API's thread-safe
// function, owned. It does not keep the environment alive unless that is asked for. Made and
// destroyed on the environment's thread; nobody may call it any more when it is destroyed.
class ThreadCall {
 public:
  ThreadCall() = default;
  ThreadCall(const ThreadCall&) = delete;
  ThreadCall& operator=(const ThreadCall&) = delete;
  ~ThreadCall() {
    if (function_ != nullptr && !gone_)
      napi_release_threadsafe_function(function_, napi_tsfn_abort);
  }

  // Once. `function` (may be null) and `context` are handed to `run`, which gets a null environment
  // when that one is going.
  void open(napi_env env, const char* name, napi_value function, void* context,
            napi_threadsafe_function_call_js run) {
    check(env, napi_create_threadsafe_function(env, function, nullptr, make_string(env, name), 0, 1,
                                               nullptr, nullptr, context, run, &function_));
    check(env, napi_unref_threadsafe_function(env, function_));
  }
  [[nodiscard]] bool is_open() const noexcept { return function_ != nullptr; }

  // Any thread. Without effect when the environment has ended: process.exit() does that while
  // others are still at work, and the function must not be touched after it has said so.
  void call() {
    const std::scoped_lock lock(mutex_);
    if (gone_) return;
    gone_ =
        napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking) == napi_closing;
  }

  // Whether it keeps the environment alive. On its thread.
  void keep(napi_env env) { check(env, napi_ref_threadsafe_function(env, function_)); }
  void unkeep(napi_env env) { check(env, napi_unref_threadsafe_function(env, function_)); }

 private:
  napi_threadsafe_function function_ = nullptr;
  std::mutex mutex_;
  bool gone_ = false;
};

}  // namespace perdure::node
