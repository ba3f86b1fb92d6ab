#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/lsn.h"
#include "store/file_shape.h"

namespace perdure::store {

// A page as the checkpoint wrote it into the file of its database. SQLite keeps no checksums in its
// files, so that a bit that flips in one of them would show only where it breaks a structure. The
// catalog keeps these beside the files, which stay as SQLite has them.
struct PageChecksum {
  std::uint32_t page = 0;
  std::uint32_t checksum = 0;  // never 0, which stands for none
};

// Depends on the place, too: a page that is whole, but not where it belongs, does not match. The
// value is part of what is kept on disk.
[[nodiscard]] std::uint32_t page_checksum(ObjectNumber database, std::uint32_t page,
                                          std::span<const std::byte> content) noexcept;

// A SQLite file that was written elsewhere.
struct ForeignFile {
  FileShape shape;
  std::vector<PageChecksum> checksums;  // of all pages, ascending
};

// Reads one that is to be the file of `database`. Throws Error: kCorrupt when it is no SQLite file,
// kIo.
[[nodiscard]] ForeignFile read_foreign_file(FileSystem& file_system,
                                            const std::filesystem::path& path,
                                            ObjectNumber database);

}  // namespace perdure::store
