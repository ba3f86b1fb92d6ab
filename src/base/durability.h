#pragma once

#include <functional>

#include "base/lsn.h"

namespace perdure {

// What an output waits for: the highest LSN up to which the log is on stable storage. The log
// implements it; whoever holds back outputs (the HTTP front, `storage.sync()`) watches it.
class Durability {
 public:
  virtual ~Durability() = default;

  // Never decreases. Any thread.
  [[nodiscard]] virtual Lsn durable_lsn() const noexcept = 0;

  // Calls `on_advance(durable_lsn)` after each advance, on the flusher's thread: it must be short
  // and must not block, throw, or call back into the log. An advance that happened before the
  // subscription is not repeated, so read `durable_lsn()` once after subscribing. Returns a number
  // for `unsubscribe`, which returns only once no call of `on_advance` is running any more. Any
  // thread.
  virtual std::uint64_t subscribe(std::function<void(Lsn)> on_advance) = 0;
  virtual void unsubscribe(std::uint64_t subscription) = 0;
};

}  // namespace perdure
