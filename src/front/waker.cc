#include "front/waker.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"

namespace perdure::front {

Waker::Waker() : descriptor_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (descriptor_ < 0) {
    throw Error(ErrorCode::kIo, std::string("Cannot create an eventfd: ") + std::strerror(errno));
  }
}

Waker::~Waker() { ::close(descriptor_); }

void Waker::signal() noexcept {
  if (state_.exchange(State::kSignalled) != State::kSleeping) return;
  const std::uint64_t one = 1;
  // It can only fail when the counter is full, and then the descriptor is readable anyway.
  [[maybe_unused]] const auto written = ::write(descriptor_, &one, sizeof one);
}

bool Waker::try_sleep() noexcept {
  auto expected = State::kAwake;
  return state_.compare_exchange_strong(expected, State::kSleeping);
}

}  // namespace perdure::front
