#include "store/file_shape.h"

#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <string>

#include "base/error.h"

namespace perdure::store {
namespace {

constexpr std::size_t kHeaderBytes = 100;
constexpr char kMagic[] = "SQLite format 3";
constexpr std::size_t kPageSizeAt = 16;
constexpr std::uint32_t kPageSizeMin = 512;
constexpr std::uint32_t kPageSizeMax = 65536;

[[noreturn]] void refuse(const std::filesystem::path& path, std::uint64_t byte) {
  throw Error(ErrorCode::kCorrupt,
              "The file " + path.string() + " is not a whole SQLite database: that shows at byte " +
                  std::to_string(byte) + ". Restore it from a backup, or move it away.");
}

// The format has two bytes for it, and so 1 for the one that does not fit.
std::uint32_t page_size_of(std::span<const std::byte, kHeaderBytes> header) {
  const auto size = std::to_integer<std::uint32_t>(header[kPageSizeAt]) << 8 |
                    std::to_integer<std::uint32_t>(header[kPageSizeAt + 1]);
  return size == 1 ? kPageSizeMax : size;
}

}  // namespace

FileShape shape_of_file(File& file, const std::filesystem::path& path) {
  const std::uint64_t size = file.size();
  if (size == 0) return {};
  std::array<std::byte, kHeaderBytes> header{};
  if (file.read(0, header) != kHeaderBytes) refuse(path, size);
  if (std::memcmp(header.data(), kMagic, sizeof kMagic) != 0) refuse(path, 0);
  const std::uint32_t page_size = page_size_of(header);
  if (page_size < kPageSizeMin || !std::has_single_bit(page_size)) refuse(path, kPageSizeAt);
  if (size % page_size != 0) refuse(path, size);
  return {page_size, static_cast<std::uint32_t>(size / page_size)};
}

}  // namespace perdure::store
