#pragma once

#include <atomic>

namespace perdure::front {

// Wakes the front's thread from other threads with a system call only when it sleeps, so that a
// burst of messages costs one wake-up and messages to a busy front cost none. The front's turn is:
// awake(), take all that is there, and try_sleep() before it blocks.
class Waker {
 public:
  Waker();
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // Becomes readable with each wake-up. Watch it edge-triggered: it is never read.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  // There is something to take. Any thread.
  void signal() noexcept;

  // From here on signal() makes no system call. The front's thread.
  void awake() noexcept { state_.exchange(State::kAwake); }

  // False: signal() was called since awake(), so there is more to take. True: the next signal()
  // makes the descriptor readable. The front's thread.
  [[nodiscard]] bool try_sleep() noexcept;

 private:
  enum class State { kAwake, kSignalled, kSleeping };

  std::atomic<State> state_{State::kAwake};
  int descriptor_;
};

}  // namespace perdure::front
