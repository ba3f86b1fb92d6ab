#pragma once

#include <cstdint>
#include <string>

namespace perdure {

// Milliseconds since 1970 as ISO 8601, as JavaScript's Date.toISOString() has it for the years 0 to
// 9999: "2026-11-21T18:08:47.000Z". What is outside of these is cut to them.
[[nodiscard]] std::string utc_text(std::int64_t time_ms);

}  // namespace perdure
