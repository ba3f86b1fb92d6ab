#pragma once

#include <array>
#include <span>

#include <sys/epoll.h>

namespace perdure::front {

// Tells which of many descriptors are ready, edge-triggered and registered once for both
// directions. Asio arms a descriptor again for each wait (one epoll_ctl, or one read that finds
// nothing, for each request); this costs one call for all that is ready together, and Asio watches
// only the poller.
class Poller {
 public:
  static constexpr int kEventsPerPollMax = 256;

  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Readable while poll() would return something.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  // Watches until the descriptor is closed. False when the system has no room for it.
  [[nodiscard]] bool add(int descriptor, void* owner) noexcept;

  // What became ready since the last call; data.ptr is the owner. Never blocks.
  [[nodiscard]] std::span<const epoll_event> poll() noexcept;

 private:
  int descriptor_;
  std::array<epoll_event, kEventsPerPollMax> events_;
};

}  // namespace perdure::front
