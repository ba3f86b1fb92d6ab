#pragma once

#include <filesystem>
#include <memory>

#include "base/file.h"

namespace perdure::store {

// The version of the layout and of all files of a data directory, in its file `format`.
inline constexpr unsigned kFormatVersion = 1;

// Creates the directory when missing, takes its lock and checks its format. Throws Error: kLocked,
// kVersion, kCorrupt (the directory is not one of ours), kIo, kFull. The directory is ours for as
// long as the lock that it returns lives.
std::unique_ptr<FileLock> claim_data_directory(FileSystem& file_system,
                                               const std::filesystem::path& directory);

}  // namespace perdure::store
