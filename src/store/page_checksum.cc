#include "store/page_checksum.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/error.h"

namespace perdure::store {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;
// Of a page's number in its seed; odd, so that no two pages of two databases share one by design.
constexpr std::uint64_t kPageFactor = 0x9e3779b97f4a7c15;

}  // namespace

std::uint32_t page_checksum(ObjectNumber database, std::uint32_t page,
                            std::span<const std::byte> content) noexcept {
  const std::uint64_t whole = checksum(content, database ^ page * kPageFactor);
  return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(whole));
}

ForeignFile read_foreign_file(FileSystem& file_system, const std::filesystem::path& path,
                              ObjectNumber database) {
  const auto file = file_system.open(path, FileSystem::Mode::kRead);
  const FileShape shape = shape_of_file(*file, path);
  ForeignFile found{shape, {}};
  found.checksums.reserve(shape.pages);
  const auto pages_at_once = static_cast<std::uint32_t>(kReadBytes / shape.page_size);
  std::vector<std::byte> content(std::size_t{pages_at_once} * shape.page_size);
  for (std::uint32_t done = 0; done < shape.pages; done += pages_at_once) {
    const std::uint32_t count = std::min(pages_at_once, shape.pages - done);
    const auto part = std::span(content).first(std::size_t{count} * shape.page_size);
    if (file->read(std::uint64_t{done} * shape.page_size, part) != part.size()) {
      throw Error(ErrorCode::kIo, "The file " + path.string() + " became shorter meanwhile.");
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t page = done + i + 1;
      const auto bytes = part.subspan(std::size_t{i} * shape.page_size, shape.page_size);
      found.checksums.push_back({page, page_checksum(database, page, bytes)});
    }
  }
  return found;
}

}  // namespace perdure::store
