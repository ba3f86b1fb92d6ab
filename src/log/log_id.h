#pragma once

#include <cstdint>

namespace perdure::log {

// Which log a file belongs to: random, chosen when the log is created.
struct LogId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend bool operator==(const LogId&, const LogId&) = default;
};

}  // namespace perdure::log
