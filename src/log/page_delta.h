#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace perdure::log {

// The largest page, in bytes (SQLite's own limit).
inline constexpr std::size_t kPageBytesMax = 65536;

// A delta is the XOR of two pages, run-length coded: any number of (skip varint, length varint,
// `length` bytes), where `skip` bytes are equal and the next `length` bytes are XORed with the
// bytes that follow; what comes after the last run is equal. So it leads from either page to the
// other, and two equal pages have an empty one. It is never longer than the page by more than a few
// bytes.
//
// An empty span stands for a page of zeros. Pages have at most kPageBytesMax bytes and, when
// neither is empty, the same size; anything else throws Error(kInvalid). Any thread; no state.

// Appends the delta of `before` and `after` to `out`.
void append_delta(std::span<const std::byte> before, std::span<const std::byte> after,
                  std::vector<std::byte>& out);

// Turns either page of a delta into the other, in place. Throws Error(kCorrupt) when the delta does
// not fit the page; the page may be changed by then.
void apply_delta(std::span<const std::byte> delta, std::span<std::byte> page);

// A page alone: its delta against zeros, which leaves out its stretches of zeros.
void pack_page(std::span<const std::byte> page, std::vector<std::byte>& out);

// The opposite: overwrites all of `page`. Throws as apply_delta.
void unpack_page(std::span<const std::byte> packed, std::span<std::byte> page);

}  // namespace perdure::log
