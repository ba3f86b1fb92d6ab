#pragma once

#include <atomic>

#include "base/durability.h"
#include "node/napi.h"
#include "node/thread_call.h"

namespace perdure::node {

// Wakes a JavaScript environment from other threads, once for all that has come up since it last
// looked: requests in a queue, an LSN that has become durable. Created and destroyed on the
// environment's thread.
class Waker {
 public:
  // `on_wake()` is called without arguments. The environment may end while nothing keeps it alive.
  Waker(napi_env env, napi_value on_wake, Durability& durability);
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // Any thread.
  void wake();

  // Wakes once `lsn` is durable. JavaScript waits for the lowest first and asks again for the next.
  void wake_when_durable(Lsn lsn);

  // While kept, the environment does not end by itself. Counted; on its thread.
  void keep(napi_env env);
  void unkeep(napi_env env);

 private:
  static void call_javascript(napi_env env, napi_value unused, void* context, void* data);

  Durability& durability_;
  std::uint64_t subscription_ = 0;
  ThreadCall call_;
  std::atomic<bool> pending_{false};
  std::atomic<Lsn> wanted_{0};  // 0: nobody waits
  int keepers_ = 0;
};

}  // namespace perdure::node
