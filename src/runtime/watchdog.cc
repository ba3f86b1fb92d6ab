#include "runtime/watchdog.h"

#include <algorithm>
#include <cstdio>

namespace perdure::runtime {
namespace {

constexpr int kLooksPerThreshold = 4;

std::string seconds(WatchdogClock::duration duration) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(duration).count());
  return text;
}

}  // namespace

std::optional<std::string> Watch::ended(WatchdogClock::time_point now) {
  if (blocked_.empty()) return std::nullopt;
  std::string line = blocked_ + " has given way after " + seconds(now - since_) + ".";
  blocked_.clear();
  return line;
}

std::optional<std::string> Watch::look(WatchdogClock::time_point now) {
  const std::uint32_t turn = watched_.turn();
  const bool free = answered_.exchange(false, std::memory_order_acq_rel);
  if (free || turn != turn_) {
    auto line = ended(now);
    turn_ = turn;
    since_ = now;
    if (free) watched_.ping();
    return line;
  }
  if (!blocked_.empty() || now - since_ < threshold_) return std::nullopt;
  std::string what = watched_.describe();
  // It may have gone on while it was asked: then that was about another turn.
  if (watched_.turn() != turn_) return std::nullopt;
  blocked_ = std::move(what);
  return blocked_ + " has run for " + seconds(now - since_) +
         " without giving way; nothing else runs on its thread.";
}

Watch& Watchdog::watch(WatchedThread& watched, WatchdogClock::duration threshold) {
  const std::scoped_lock lifetime(lifetime_mutex_);
  const std::scoped_lock lock(mutex_);
  entries_.push_back({&watched, threshold / kLooksPerThreshold, WatchdogClock::now(),
                      std::make_unique<Watch>(watched, threshold)});
  if (thread_.joinable()) {
    changed_.notify_all();
  } else {
    thread_ = std::thread([this] { run(); });
  }
  return *entries_.back().watch;
}

void Watchdog::unwatch(const WatchedThread& watched) {
  const std::scoped_lock lifetime(lifetime_mutex_);
  {
    const std::scoped_lock lock(mutex_);
    std::erase_if(entries_, [&](const Entry& entry) { return entry.watched == &watched; });
    if (!entries_.empty() || !thread_.joinable()) return;
    changed_.notify_all();
  }
  thread_.join();
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!entries_.empty()) {
    const auto now = WatchdogClock::now();
    auto next = WatchdogClock::time_point::max();
    for (Entry& entry : entries_) {
      if (entry.next <= now) {
        // This thread has nothing else to do: when it is that late, nothing has run (SIGSTOP, a
        // container that was paused).
        if (const auto late = now - entry.next; late > entry.interval) entry.watch->forgive(late);
        if (const auto line = entry.watch->look(now)) print_(*line);
        entry.next = now + entry.interval;
      }
      next = std::min(next, entry.next);
    }
    changed_.wait_until(lock, next);
  }
}

}  // namespace perdure::runtime
