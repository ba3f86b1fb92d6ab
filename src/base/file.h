#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace perdure {

// An open file. Positional, so it has no cursor; any thread. Every error is Error(kIo), or
// Error(kFull) when there is no room, and names the file.
class File {
 public:
  virtual ~File() = default;
  // Reads up to out.size() bytes; returns how many there were (fewer only at the end of the file).
  virtual std::size_t read(std::uint64_t offset, std::span<std::byte> out) = 0;
  // Writes all of it, or throws.
  virtual void write(std::uint64_t offset, std::span<const std::byte> data) = 0;
  // fdatasync: what was written is on stable storage when it returns. After a failure the state of
  // the file is unknown; it must not be retried.
  virtual void sync() = 0;
  [[nodiscard]] virtual std::uint64_t size() = 0;
  virtual void truncate(std::uint64_t size) = 0;
  // Makes the file at least `size` bytes, with room for all of them taken on the disk and written
  // with zeros where it was extended (so that later writes change no metadata), and synced.
  virtual void preallocate(std::uint64_t size) = 0;
};

// Held until destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// The disk, as the log and the store see it. Any thread.
class FileSystem {
 public:
  enum class Mode {
    kRead,
    kReadWrite,
    kCreate /* when missing */,
    kCreateNew /* must be missing */
  };

  virtual ~FileSystem() = default;
  virtual std::unique_ptr<File> open(const std::filesystem::path& path, Mode mode) = 0;
  [[nodiscard]] virtual bool exists(const std::filesystem::path& path) = 0;
  virtual void remove(const std::filesystem::path& path) = 0;
  // Atomic; replaces `to`. Durable after sync_directory of the parent.
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual void create_directories(const std::filesystem::path& path) = 0;
  // Names (not paths) of what is in the directory, sorted.
  virtual std::vector<std::string> list(const std::filesystem::path& path) = 0;
  // The same promise as sync() of each of these files of this file system; cheaper for many.
  virtual void sync_files(std::span<File* const> files) {
    for (File* file : files) file->sync();
  }
  virtual void sync_directory(const std::filesystem::path& path) = 0;
  // An exclusive lock between processes (and between two holders in this one); nullptr when
  // somebody else holds it. Creates the file.
  virtual std::unique_ptr<FileLock> try_lock(const std::filesystem::path& path) = 0;
};

// The operating system's.
FileSystem& real_file_system();

}  // namespace perdure
