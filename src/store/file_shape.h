#pragma once

#include <cstdint>
#include <filesystem>

#include "base/file.h"

namespace perdure::store {

// How large a SQLite file is, and in what pages. An empty file is a database without pages.
struct FileShape {
  std::uint32_t page_size = 4096;  // bytes
  std::uint32_t pages = 0;

  [[nodiscard]] std::uint64_t bytes() const noexcept { return std::uint64_t{pages} * page_size; }
};

// Throws Error: kCorrupt when it is not a whole number of pages with SQLite's header (it names the
// byte where that shows), kIo.
[[nodiscard]] FileShape shape_of_file(File& file, const std::filesystem::path& path);

}  // namespace perdure::store
