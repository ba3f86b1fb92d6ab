#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace perdure::log {

// Time, as who keeps a pace needs it; tests have their own. Any thread.
class PaceClock {
 public:
  virtual ~PaceClock() = default;
  // Since any moment; never goes back.
  [[nodiscard]] virtual std::chrono::nanoseconds now() = 0;
  // Returns when `wake` is notified, or after `duration`, or for no reason.
  virtual void wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
                    std::chrono::nanoseconds duration) = 0;
};

// The operating system's.
PaceClock& real_pace_clock();

// So many bytes a second at most, over work that is done in blocks. What was not used is not saved
// up: no burst follows a pause. Not thread-safe.
class Pace {
 public:
  explicit Pace(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

  // A block of up to 4 GiB was done until `now`: returns when the next one may begin.
  std::chrono::nanoseconds after(std::uint64_t bytes, std::chrono::nanoseconds now);
  // What was done until `now` does not count.
  void restart(std::chrono::nanoseconds now) { due_ = now; }

 private:
  const std::uint64_t bytes_per_second_;
  std::chrono::nanoseconds due_{0};
};

}  // namespace perdure::log
