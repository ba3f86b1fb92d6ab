#pragma once

#include <cstddef>

struct sqlite3_file;

namespace perdure::store {

// What SQLite writes down while it sorts, groups or joins, as a file of its VFS that is memory: no
// folder of the system gets to see objects' data, nor can a query fill a disk.
class TemporaryFile {
 public:
  // Bytes of all such files of the process together. Past it a write fails with SQLITE_FULL.
  static constexpr std::size_t kBytesMax = std::size_t{128} << 20;
  // Of the handle, for sqlite3_vfs::szOsFile.
  static const int kHandleBytes;

  // Opens an empty one in `out`; SQLite closes it. -> a code of SQLite's.
  static int open(sqlite3_file* out) noexcept;
  // Of all together, now.
  [[nodiscard]] static std::size_t bytes_used() noexcept;
};

}  // namespace perdure::store
