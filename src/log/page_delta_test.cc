#include "log/page_delta.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/error.h"

namespace perdure::log {
namespace {

using Random = std::mt19937_64;

Bytes random_bytes(Random& random, std::size_t size) {
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

Bytes delta_of(std::span<const std::byte> before, std::span<const std::byte> after) {
  Bytes delta;
  append_delta(before, after, delta);
  return delta;
}

void expect_round_trip(const Bytes& before, const Bytes& after) {
  const Bytes delta = delta_of(before, after);
  EXPECT_LE(delta.size(), after.size() + 8);
  Bytes page = before;
  apply_delta(delta, page);
  EXPECT_EQ(page, after);
  apply_delta(delta, page);
  EXPECT_EQ(page, before);
  Bytes packed;
  pack_page(after, packed);
  Bytes unpacked(after.size(), std::byte{0xaa});
  unpack_page(packed, unpacked);
  EXPECT_EQ(unpacked, after);
}

TEST(PageDelta, RoundTripsRandomEditsOfEverySizeAndPlace) {
  Random random(1);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t size = std::size_t{512} << random() % 8;
    const Bytes before = round % 3 == 0 ? Bytes(size) : random_bytes(random, size);
    Bytes after = before;
    for (std::size_t edits = random() % 20; edits > 0; --edits) {
      const std::size_t at = random() % size;
      const std::size_t length = std::min<std::size_t>(random() % 40, size - at);
      const Bytes edit = random_bytes(random, length);
      std::copy(edit.begin(), edit.end(), after.begin() + static_cast<std::ptrdiff_t>(at));
    }
    expect_round_trip(before, after);
  }
}

TEST(PageDelta, RoundTripsPagesOfOddSizes) {
  Random random(2);
  for (std::size_t size = 0; size < 200; ++size) {
    const Bytes before = random_bytes(random, size);
    expect_round_trip(before, before);
    expect_round_trip(before, random_bytes(random, size));
    Bytes sparse = before;
    for (std::byte& byte : sparse) {
      if (random() % 5 == 0) byte ^= std::byte{1};
    }
    expect_round_trip(before, sparse);
  }
}

TEST(PageDelta, EqualPagesHaveAnEmptyDelta) {
  Random random(3);
  const Bytes page = random_bytes(random, 4096);
  EXPECT_TRUE(delta_of(page, page).empty());
  EXPECT_TRUE(delta_of(Bytes(4096), {}).empty());
  EXPECT_TRUE(delta_of({}, {}).empty());
}

TEST(PageDelta, AnEmptySpanStandsForZeros) {
  Random random(4);
  const Bytes page = random_bytes(random, 4096);
  EXPECT_EQ(delta_of({}, page), delta_of(Bytes(4096), page));
  EXPECT_EQ(delta_of(page, {}), delta_of({}, page));
}

TEST(PageDelta, OneRunIsSkipLengthAndBytes) {
  Bytes after(4096);
  after[200] = std::byte{5};
  after[203] = std::byte{6};  // a gap of two stays in the run
  const Bytes expected = {std::byte{0xc8}, std::byte{1}, std::byte{4}, std::byte{5},
                          std::byte{0},    std::byte{0}, std::byte{6}};
  EXPECT_EQ(delta_of({}, after), expected);
  after[208] = std::byte{7};  // one of four does not
  EXPECT_EQ(delta_of({}, after).size(), expected.size() + 3);
}

TEST(PageDelta, TheWorstPageIsHardlyLongerThanItself) {
  Bytes after(65536);
  for (std::size_t at = 0; at < after.size(); at += 5) after[at] = std::byte{1};
  expect_round_trip(Bytes(after.size()), after);
  expect_round_trip(Bytes(65536), Bytes(65536, std::byte{1}));
}

TEST(PageDelta, RefusesPagesOfDifferentSizesAndTooLargeOnes) {
  Bytes delta;
  EXPECT_THROW(append_delta(Bytes(512), Bytes(1024), delta), Error);
  EXPECT_THROW(append_delta({}, Bytes(65537), delta), Error);
  EXPECT_TRUE(delta.empty());
}

TEST(PageDelta, ADamagedDeltaIsAnErrorAndNeverLeavesThePage) {
  Random random(5);
  for (int round = 0; round < 20000; ++round) {
    const Bytes delta = random_bytes(random, random() % 60);
    Bytes page(512);
    try {
      apply_delta(delta, page);
      unpack_page(delta, page);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    }
  }
}

}  // namespace
}  // namespace perdure::log
