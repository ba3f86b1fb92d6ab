#include "log/pace.h"

#include <algorithm>

namespace perdure::log {
namespace {

class RealPaceClock final : public PaceClock {
 public:
  std::chrono::nanoseconds now() override {
    return std::chrono::steady_clock::now().time_since_epoch();
  }
  void wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
            std::chrono::nanoseconds duration) override {
    wake.wait_for(lock, duration);
  }
};

}  // namespace

PaceClock& real_pace_clock() {
  static RealPaceClock clock;
  return clock;
}

std::chrono::nanoseconds Pace::after(std::uint64_t bytes, std::chrono::nanoseconds now) {
  const std::chrono::nanoseconds takes(bytes * std::nano::den / bytes_per_second_);
  due_ = std::max(due_ + takes, now);
  return due_;
}

}  // namespace perdure::log
