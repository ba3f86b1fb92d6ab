#include "base/utc.h"

#include <limits>

#include <gtest/gtest.h>

namespace perdure {
namespace {

TEST(UtcTest, IsWhatToISOStringSays) {
  EXPECT_EQ(utc_text(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(utc_text(1'795'284'527'042), "2026-11-21T18:08:47.042Z");
  EXPECT_EQ(utc_text(951'782'400'000), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(utc_text(-1), "1969-12-31T23:59:59.999Z");
}

TEST(UtcTest, CutsWhatHasNoFourDigits) {
  EXPECT_EQ(utc_text(std::numeric_limits<std::int64_t>::max()), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(utc_text(std::numeric_limits<std::int64_t>::min()), "0000-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace perdure
