#include "base/bytes.h"

#include <limits>

#include <gtest/gtest.h>

namespace perdure {
namespace {

TEST(Bytes, RoundTripsNumbersOfEachWidth) {
  Bytes bytes;
  ByteWriter writer(bytes);
  writer.fixed<std::uint8_t>(0xfe);
  writer.fixed<std::uint32_t>(0x01020304);
  writer.fixed<std::int64_t>(-2);
  EXPECT_EQ(bytes[1], std::byte{4}) << "little-endian";
  ByteReader reader(bytes);
  EXPECT_EQ(reader.fixed<std::uint8_t>(), 0xfe);
  EXPECT_EQ(reader.fixed<std::uint32_t>(), 0x01020304u);
  EXPECT_EQ(reader.fixed<std::int64_t>(), -2);
  EXPECT_TRUE(reader.done());
}

TEST(Bytes, RoundTripsVarints) {
  for (const std::uint64_t value :
       {0ull, 1ull, 127ull, 128ull, 16383ull, 16384ull, 1ull << 35, 1ull << 63, ~0ull}) {
    Bytes bytes;
    ByteWriter(bytes).varint(value);
    ByteReader reader(bytes);
    EXPECT_EQ(reader.varint(), value);
    EXPECT_TRUE(reader.done());
    EXPECT_LE(bytes.size(), kVarintBytesMax);
  }
}

TEST(Bytes, NeverReadsPastTheEnd) {
  const Bytes bytes(3);
  EXPECT_THROW(ByteReader(bytes).fixed<std::uint32_t>(), Error);
  EXPECT_THROW(ByteReader(bytes).bytes(4), Error);
  EXPECT_THROW(ByteReader(bytes).bytes(std::numeric_limits<std::uint64_t>::max()), Error);
}

TEST(Bytes, RefusesVarintsThatAreCutOrTooLong) {
  const Bytes cut(3, std::byte{0x80});
  const Bytes endless(20, std::byte{0xff});
  try {
    ByteReader(cut, "test").varint();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_STREQ(error.what(), "The test ends too early.");
  }
  try {
    ByteReader(endless, "test").varint();
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "The test holds a number that is too long.");
  }
}

TEST(Bytes, Rounds) {
  EXPECT_EQ(round_up(0, 8), 0u);
  EXPECT_EQ(round_up(1, 8), 8u);
  EXPECT_EQ(round_up(8, 8), 8u);
  EXPECT_EQ(round_down(15, 8), 8u);
}

}  // namespace
}  // namespace perdure
