#include "runtime/bookmark.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

namespace perdure::runtime {
namespace {

// 8-8-8-32 digits.
constexpr std::size_t kTextBytes = 59;
constexpr std::size_t kChecksumAt = kTextBytes - 16;
constexpr std::size_t kDashes[] = {8, 17, 26};
// Error texts show no more of what they were given.
constexpr std::size_t kShownBytesMax = 80;

std::uint64_t text_checksum(std::string_view text) {
  return checksum(std::as_bytes(std::span(text.substr(0, kChecksumAt))));
}

// Of a character in UTF-8, not its first byte.
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

[[noreturn]] void refuse(std::string_view text) {
  throw Error(ErrorCode::kInvalid,
              "The bookmark " + quoted_bookmark(text) +
                  " is malformed, and so not as it was given out. A bookmark has groups of 8, 8, "
                  "8 and 32 digits, 0 to 9 and a to f; the last 16 are a checksum of the others.");
}

}  // namespace

std::string Bookmark::text() const {
  std::array<char, kTextBytes + 1> out{};
  const auto print = [&](std::uint64_t check) {
    std::snprintf(out.data(), out.size(), "%08x-%08x-%08x-%016llx%016llx",
                  static_cast<unsigned>(lsn >> 32), static_cast<unsigned>(lsn), restore,
                  static_cast<unsigned long long>(object), static_cast<unsigned long long>(check));
  };
  print(0);
  print(text_checksum({out.data(), kTextBytes}));
  return {out.data(), kTextBytes};
}

Bookmark Bookmark::parse(std::string_view text) {
  if (text.size() != kTextBytes) refuse(text);
  for (const std::size_t at : kDashes)
    if (text[at] != '-') refuse(text);
  const auto number = [&](std::size_t at, std::size_t digits) {
    std::uint64_t value = 0;
    const char* end = text.data() + at + digits;
    const auto parsed = std::from_chars(text.data() + at, end, value, 16);
    if (parsed.ec != std::errc{} || parsed.ptr != end) refuse(text);
    return value;
  };
  Bookmark bookmark;
  bookmark.lsn = number(0, 8) << 32 | number(9, 8);
  bookmark.restore = static_cast<std::uint32_t>(number(18, 8));
  bookmark.object = number(27, 16);
  // Also what has the right values in the wrong letters.
  if (bookmark.text() != text) refuse(text);
  return bookmark;
}

std::uint64_t bookmark_object(std::uint64_t log_high, std::uint64_t log_low, std::string_view key,
                              const ObjectId& id) {
  std::vector<std::byte> bytes(2 * sizeof(std::uint64_t));
  store(bytes.data(), log_high);
  store(bytes.data() + sizeof log_high, log_low);
  const auto append = [&](std::span<const std::byte> more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
  };
  append(std::as_bytes(std::span(id.bytes())));
  append(std::as_bytes(std::span(key)));
  return checksum(bytes);
}

std::string quoted_bookmark(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::size_t end = std::min(text.size(), kShownBytesMax);
  while (end < text.size() && end > 0 && is_continuation(text[end])) --end;
  std::string shown;
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      shown += c;
    } else {
      shown += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  if (end < text.size()) shown += "…";
  return "\"" + shown + "\"";
}

}  // namespace perdure::runtime
