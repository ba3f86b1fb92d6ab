#include "front/poller.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <unistd.h>

#include "base/error.h"

namespace perdure::front {

Poller::Poller() : descriptor_(epoll_create1(EPOLL_CLOEXEC)) {
  if (descriptor_ < 0) {
    throw Error(ErrorCode::kIo,
                std::string("Cannot create an epoll descriptor: ") + std::strerror(errno));
  }
}

Poller::~Poller() { ::close(descriptor_); }

bool Poller::add(int descriptor, void* owner) noexcept {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = owner;
  return epoll_ctl(descriptor_, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

std::span<const epoll_event> Poller::poll() noexcept {
  const int count = epoll_wait(descriptor_, events_.data(), kEventsPerPollMax, 0);
  return {events_.data(), static_cast<std::size_t>(count < 0 ? 0 : count)};
}

}  // namespace perdure::front
