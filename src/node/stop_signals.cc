#include "node/stop_signals.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>

namespace perdure::node {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM};

// What the handler uses: it may interrupt any thread anywhere.
std::atomic<bool> is_seen{false};
static_assert(std::atomic<bool>::is_always_lock_free);
std::array<struct sigaction, kSignals.size()> handlers_before;

bool is_handled(const struct sigaction& action) {
  if ((action.sa_flags & SA_SIGINFO) != 0) return true;
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

void see(int signal, siginfo_t* info, void* context) {
  is_seen.store(true);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (kSignals[i] != signal) continue;
    const struct sigaction& before = handlers_before[i];
    if ((before.sa_flags & SA_SIGINFO) != 0)
      before.sa_sigaction(signal, info, context);
    else
      before.sa_handler(signal);
  }
}

}  // namespace

StopSignals::StopSignals() {
  is_seen.store(false);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    // Before ours takes its place, which calls it.
    sigaction(kSignals[i], nullptr, &handlers_before[i]);
    if (!is_handled(handlers_before[i])) continue;
    struct sigaction ours = handlers_before[i];
    ours.sa_flags |= SA_SIGINFO;
    ours.sa_sigaction = see;
    sigaction(kSignals[i], &ours, nullptr);
  }
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kSignals.size(); ++i)
    if (is_handled(handlers_before[i])) sigaction(kSignals[i], &handlers_before[i], nullptr);
}

bool StopSignals::seen() noexcept { return is_seen.load(std::memory_order_relaxed); }

}  // namespace perdure::node
