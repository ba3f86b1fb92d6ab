#include "base/utc.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

namespace perdure {
namespace {

constexpr std::int64_t kFirstMs = -62'167'219'200'000;  // 0000-01-01
constexpr std::int64_t kLastMs = 253'402'300'799'999;   // the end of 9999

}  // namespace

std::string utc_text(std::int64_t time_ms) {
  using namespace std::chrono;
  const sys_time<milliseconds> time{milliseconds{std::clamp(time_ms, kFirstMs, kLastMs)}};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()));
  return text.data();
}

}  // namespace perdure
