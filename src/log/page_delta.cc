#include "log/page_delta.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "base/error.h"

namespace perdure::log {
namespace {

constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
constexpr std::size_t kBlockBytes = 64;
// A run costs two bytes or more, so equal stretches shorter than this stay inside the run.
constexpr std::size_t kGapBytesMin = 4;
// Room for the worst case: see kGapBytesMin; only the first run can cost more than its gap saves.
constexpr std::size_t kDeltaBytesMax = kPageBytesMax + 2 * kVarintBytesMax;

alignas(kBlockBytes) constexpr std::array<std::byte, kPageBytesMax> kZeros{};

bool has_zero_byte(std::uint64_t word) noexcept {
  return ((word - 0x0101010101010101u) & ~word & 0x8080808080808080u) != 0;
}

// Two pages of the same size, compared.
class PagePair {
 public:
  PagePair(const std::byte* a, const std::byte* b, std::size_t size) : a_(a), b_(b), size_(size) {}

  // The first byte from `at` on that differs; size_ when there is none.
  [[nodiscard]] std::size_t find_difference(std::size_t at) const noexcept {
    while (at + kBlockBytes <= size_ && block_is_equal(at)) at += kBlockBytes;
    for (; at + kWordBytes <= size_; at += kWordBytes) {
      const std::uint64_t word = difference_word(at);
      if (word != 0) return at + static_cast<std::size_t>(std::countr_zero(word)) / 8;
    }
    while (at < size_ && a_[at] == b_[at]) ++at;
    return at;
  }

  // The end of the run that starts at `at`, which differs: where kGapBytesMin bytes are equal or
  // the last byte that differs.
  [[nodiscard]] std::size_t find_run_end(std::size_t at) const noexcept {
    std::size_t end = at + 1;  // one past the last byte that differs
    at = end;
    while (at < size_) {
      while (at == end && at + kWordBytes <= size_ && !has_zero_byte(difference_word(at))) {
        at = end = at + kWordBytes;
      }
      if (at == size_) break;
      if (a_[at] != b_[at]) end = at + 1;
      ++at;
      if (at - end == kGapBytesMin) break;
    }
    return end;
  }

  // Writes the XOR of [from, to) at `out`; returns the end.
  std::byte* write_difference(std::size_t from, std::size_t to, std::byte* out) const noexcept {
    for (; from + kWordBytes <= to; from += kWordBytes, out += kWordBytes) {
      store(out, difference_word(from));
    }
    for (; from < to; ++from) *out++ = a_[from] ^ b_[from];
    return out;
  }

 private:
  [[nodiscard]] std::uint64_t difference_word(std::size_t at) const noexcept {
    return load<std::uint64_t>(a_ + at) ^ load<std::uint64_t>(b_ + at);
  }

  [[nodiscard]] bool block_is_equal(std::size_t at) const noexcept {
    std::uint64_t difference = 0;
    for (std::size_t i = 0; i < kBlockBytes; i += kWordBytes) difference |= difference_word(at + i);
    return difference == 0;
  }

  const std::byte* a_;
  const std::byte* b_;
  std::size_t size_;
};

// Calls `visit(position, bytes)` for each run of a delta of a page of `size` bytes.
template <typename Visit>
void for_each_run(std::span<const std::byte> delta, std::size_t size, Visit visit) {
  ByteReader reader(delta, "page delta");
  std::size_t at = 0;
  while (!reader.done()) {
    const std::uint64_t skip = reader.varint();
    const std::uint64_t length = reader.varint();
    if (skip > size - at || length > size - at - skip || length == 0) {
      throw Error(ErrorCode::kCorrupt, "The page delta does not fit its page.");
    }
    at += skip;
    visit(at, reader.bytes(length));
    at += length;
  }
}

}  // namespace

void append_delta(std::span<const std::byte> before, std::span<const std::byte> after,
                  std::vector<std::byte>& out) {
  const std::size_t size = std::max(before.size(), after.size());
  if (size > kPageBytesMax ||
      (!before.empty() && !after.empty() && before.size() != after.size())) {
    throw Error(ErrorCode::kInvalid,
                "A delta needs two pages of the same size, up to 65536 bytes.");
  }
  const PagePair pair(before.empty() ? kZeros.data() : before.data(),
                      after.empty() ? kZeros.data() : after.data(), size);
  // Left uninitialized on purpose: clearing it would cost more than the comparison.
  std::array<std::byte, kDeltaBytesMax> buffer;
  std::byte* end = buffer.data();
  std::size_t done = 0;
  for (std::size_t run = pair.find_difference(0); run < size; run = pair.find_difference(done)) {
    const std::size_t run_end = pair.find_run_end(run);
    end = store_varint(end, run - done);
    end = store_varint(end, run_end - run);
    end = pair.write_difference(run, run_end, end);
    done = run_end;
  }
  out.insert(out.end(), buffer.data(), end);
}

void apply_delta(std::span<const std::byte> delta, std::span<std::byte> page) {
  for_each_run(delta, page.size(), [page](std::size_t at, std::span<const std::byte> bytes) {
    std::byte* target = page.data() + at;
    for (std::size_t i = 0; i < bytes.size(); ++i) target[i] ^= bytes[i];
  });
}

void pack_page(std::span<const std::byte> page, std::vector<std::byte>& out) {
  append_delta({}, page, out);
}

void unpack_page(std::span<const std::byte> packed, std::span<std::byte> page) {
  std::size_t done = 0;
  for_each_run(packed, page.size(), [&](std::size_t at, std::span<const std::byte> bytes) {
    std::fill_n(page.begin() + static_cast<std::ptrdiff_t>(done), at - done, std::byte{0});
    std::memcpy(page.data() + at, bytes.data(), bytes.size());
    done = at + bytes.size();
  });
  std::fill(page.begin() + static_cast<std::ptrdiff_t>(done), page.end(), std::byte{0});
}

}  // namespace perdure::log
