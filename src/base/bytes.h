#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace perdure {

// Fixed-width integers are little-endian on disk. Both loads and stores are unaligned.
static_assert(std::endian::native == std::endian::little,
              "the on-disk formats are little-endian and read in place");

using Bytes = std::vector<std::byte>;

template <std::integral T>
[[nodiscard]] inline T load(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <std::integral T>
inline void store(std::byte* to, T value) noexcept {
  std::memcpy(to, &value, sizeof value);
}

// The longest encoding of a 64-bit varint (7 bits in each byte, low bits first).
inline constexpr std::size_t kVarintBytesMax = 10;

// Writes `value` at `to`, which has room for kVarintBytesMax; returns the end.
inline std::byte* store_varint(std::byte* to, std::uint64_t value) noexcept {
  while (value >= 0x80) {
    *to++ = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<std::byte>(value);
  return to;
}

// Appends to a byte vector.
class ByteWriter {
 public:
  explicit ByteWriter(Bytes& out) : out_(out) {}

  template <std::integral T>
  void fixed(T value) {
    std::byte bytes[sizeof value];
    store(bytes, value);
    out_.insert(out_.end(), bytes, bytes + sizeof value);
  }
  void varint(std::uint64_t value) {
    std::byte bytes[kVarintBytesMax];
    out_.insert(out_.end(), bytes, store_varint(bytes, value));
  }
  void bytes(std::span<const std::byte> data) { out_.insert(out_.end(), data.begin(), data.end()); }

 private:
  Bytes& out_;
};

// Reads from bytes that cannot be trusted: never goes past their end, throws Error(kCorrupt) with
// `what` in the message instead.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> data, const char* what = "data")
      : data_(data), what_(what) {}

  [[nodiscard]] bool done() const noexcept { return position_ == data_.size(); }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::size_t remaining() const noexcept { return data_.size() - position_; }

  template <std::integral T>
  T fixed() {
    return load<T>(bytes(sizeof(T)).data());
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = std::to_integer<std::uint64_t>(*bytes(1).data());
      if (shift == 63 && byte > 1) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("holds a number that is too long");
  }
  std::span<const std::byte> bytes(std::uint64_t count) {
    if (count > remaining()) fail("ends too early");
    const auto result = data_.subspan(position_, count);
    position_ += count;
    return result;
  }
  std::span<const std::byte> rest() { return bytes(remaining()); }

 private:
  [[noreturn]] void fail(const char* problem) const {
    throw Error(ErrorCode::kCorrupt, std::string("The ") + what_ + " " + problem + ".");
  }

  std::span<const std::byte> data_;
  const char* what_;
  std::size_t position_ = 0;
};

[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

[[nodiscard]] constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) noexcept {
  return value / unit * unit;
}

}  // namespace perdure
