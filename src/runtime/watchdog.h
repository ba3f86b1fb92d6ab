#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace perdure::runtime {

using WatchdogClock = std::chrono::steady_clock;

// A thread that runs turns: each event of an object is one, and until it ends nothing else runs
// there. Whoever owns the thread implements it. Called on the watchdog's thread, while it is
// watched.
class WatchedThread {
 public:
  virtual ~WatchedThread() = default;
  // Asks for a call of Watch::answer() on that thread, as soon as it runs no code of the user.
  virtual void ping() = 0;
  // A number that another turn changes.
  [[nodiscard]] virtual std::uint32_t turn() const = 0;
  // What the turn runs, as the beginning of a sentence.
  [[nodiscard]] virtual std::string describe() const = 0;
};

// Decides about one thread; no clock, no thread of its own. A thread that does not answer, and
// whose turn stays the same for `threshold`, is blocked: look() says so once, and once more when
// that turn has ended.
class Watch {
 public:
  Watch(WatchedThread& watched, WatchdogClock::duration threshold)
      : watched_(watched), threshold_(threshold) {}

  // Any thread: the thread is free.
  void answer() noexcept { answered_.store(true, std::memory_order_release); }

  // The process was stopped for so long since the last look: that is not held against the turn.
  void forgive(WatchdogClock::duration stopped) noexcept { since_ += stopped; }

  // A sentence to be printed, if there is one.
  std::optional<std::string> look(WatchdogClock::time_point now);

 private:
  std::optional<std::string> ended(WatchdogClock::time_point now);

  WatchedThread& watched_;
  const WatchdogClock::duration threshold_;
  std::atomic<bool> answered_{true};
  std::uint32_t turn_ = 0;
  WatchdogClock::time_point since_;  // the turn has run at least since then
  std::string blocked_;              // what was said to block; empty when nothing was
};

// One thread that looks after all that are watched. Any thread may call it.
class Watchdog {
 public:
  using Print = std::function<void(const std::string&)>;

  // Nothing may be watched when it is destroyed.
  explicit Watchdog(Print print) : print_(std::move(print)) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Looks four times in each `threshold`, so a turn is reported when it has taken up to a quarter
  // more. The watchdog's thread runs while something is watched.
  Watch& watch(WatchedThread& watched, WatchdogClock::duration threshold);
  // On return `watched` is not called any more, and its Watch is gone.
  void unwatch(const WatchedThread& watched);

 private:
  struct Entry {
    const WatchedThread* watched;
    WatchdogClock::duration interval;
    WatchdogClock::time_point next;
    std::unique_ptr<Watch> watch;
  };

  void run();

  const Print print_;
  std::mutex lifetime_mutex_;  // of thread_; taken before the other
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Entry> entries_;
  std::thread thread_;
};

}  // namespace perdure::runtime
