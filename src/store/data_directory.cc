#include "store/data_directory.h"

#include <array>
#include <charconv>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace perdure::store {
namespace {

constexpr std::string_view kFormatName = "perdure ";

std::string read_format(FileSystem& file_system, const std::filesystem::path& path) {
  std::array<char, 64> text{};
  const auto file = file_system.open(path, FileSystem::Mode::kRead);
  const std::size_t size = file->read(0, std::as_writable_bytes(std::span(text)));
  return {text.data(), size};
}

void check_format(FileSystem& file_system, const std::filesystem::path& directory) {
  const auto path = directory / "format";
  const std::string text = read_format(file_system, path);
  unsigned version = 0;
  const bool ours =
      text.starts_with(kFormatName) && text.ends_with('\n') &&
      std::from_chars(text.data() + kFormatName.size(), text.data() + text.size() - 1, version)
              .ptr == text.data() + text.size() - 1;
  if (!ours || version == 0) {
    throw Error(ErrorCode::kCorrupt,
                "The file " + path.string() +
                    " is not one of Perdure's. Choose another directory with --data.");
  }
  if (version > kFormatVersion) {
    throw Error(ErrorCode::kVersion, "The data directory " + directory.string() +
                                         " was written by a newer Perdure (format " +
                                         std::to_string(version) + "; this one reads up to " +
                                         std::to_string(kFormatVersion) +
                                         "). Use that version, or another directory with --data.");
  }
}

// Whatever else there is was in the log before it was in a file.
void check_log(FileSystem& file_system, const std::filesystem::path& directory) {
  if (!file_system.exists(directory / "catalog.sqlite")) return;
  const auto log = directory / "log";
  if (file_system.exists(log)) {
    for (const std::string& name : file_system.list(log)) {
      if (name.ends_with(".log")) return;  // a segment: docs/log-format.md
    }
  }
  throw Error(ErrorCode::kCorrupt,
              "The log of the data directory is missing: there are no segments in " + log.string() +
                  ", but there are objects. Put back the log that belongs to them.");
}

// A directory without a format file may hold nothing, so that no foreign data is ever touched.
void check_empty(FileSystem& file_system, const std::filesystem::path& directory) {
  for (const std::string& name : file_system.list(directory)) {
    if (name == "LOCK" || name == "format.new") continue;
    throw Error(ErrorCode::kCorrupt,
                "The directory " + directory.string() +
                    " is not a data directory of Perdure, and not empty (it has '" + name +
                    "' but no file 'format'). Choose another directory with --data.");
  }
}

void write_format(FileSystem& file_system, const std::filesystem::path& directory) {
  const std::string text = std::string(kFormatName) + std::to_string(kFormatVersion) + "\n";
  {
    const auto file = file_system.open(directory / "format.new", FileSystem::Mode::kCreate);
    file->truncate(0);
    file->write(0, std::as_bytes(std::span(text)));
    file->sync();
  }
  file_system.rename(directory / "format.new", directory / "format");
  file_system.sync_directory(directory);
}

}  // namespace

std::unique_ptr<FileLock> claim_data_directory(FileSystem& file_system,
                                               const std::filesystem::path& directory) {
  file_system.create_directories(directory);
  auto lock = file_system.try_lock(directory / "LOCK");
  if (lock == nullptr) {
    throw Error(ErrorCode::kLocked,
                "The data directory " + directory.string() +
                    " is in use by another process. Stop that one, or choose another directory "
                    "with --data.");
  }
  if (file_system.exists(directory / "format")) {
    check_format(file_system, directory);
    check_log(file_system, directory);
  } else {
    check_empty(file_system, directory);
    write_format(file_system, directory);
  }
  return lock;
}

}  // namespace perdure::store
