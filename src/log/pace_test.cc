#include "log/pace.h"

#include <gtest/gtest.h>

namespace perdure::log {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Pace, ABlockTakesItsShareOfASecond) {
  Pace pace(1000);
  pace.restart(seconds(5));
  EXPECT_EQ(pace.after(250, milliseconds(5001)), milliseconds(5250));
  EXPECT_EQ(pace.after(250, milliseconds(5251)), milliseconds(5500));
  EXPECT_EQ(pace.after(0, milliseconds(5251)), milliseconds(5500));
}

TEST(Pace, WhatIsSlowerNeverWaits) {
  Pace pace(1000);
  pace.restart(seconds(5));
  EXPECT_EQ(pace.after(100, seconds(6)), seconds(6));
}

TEST(Pace, APauseIsNotSavedUp) {
  Pace pace(1000);
  pace.restart(seconds(5));
  pace.after(100, seconds(100));
  EXPECT_EQ(pace.after(100, milliseconds(100'001)), milliseconds(100'100));
}

TEST(Pace, WhatWasDoneBeforeARestartDoesNotCount) {
  Pace pace(1000);
  pace.after(1'000'000, seconds(5));
  pace.restart(seconds(6));
  EXPECT_EQ(pace.after(100, seconds(6)), milliseconds(6100));
}

TEST(Pace, TheLargestBlock) {
  Pace pace(1);
  EXPECT_EQ(pace.after(std::uint64_t{4} << 30, {}), seconds(std::int64_t{4} << 30));
}

}  // namespace
}  // namespace perdure::log
