#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace perdure {

// A disk in memory that can break: it forgets at a crash what was not synced, it tears writes, it
// fails operations, it fills up. Files are kept in pieces that are allocated when something other
// than zeros may be in them, so a preallocated file costs nothing. Any thread.
//
// What a crash may do: each write since the last sync of its file is, for each sector of 512 bytes,
// there or lost; each change of a directory since its last sync is there or lost. Directories
// themselves are always durable. A name refers to a file, so content that was synced follows it.
class SimulatedFileSystem final : public FileSystem {
 public:
  struct Options {
    // False: keeps no account of what is synced, which makes it a cheap disk in memory. `crash`
    // then loses nothing.
    bool tracks_unsynced = true;
  };
  enum class Operation {
    kOpen,  // only when it creates the file
    kRead,
    kWrite,
    kSync,
    kTruncate,
    kPreallocate,
    kRemove,
    kRename,
    kSyncDirectory,
  };

  SimulatedFileSystem();
  explicit SimulatedFileSystem(Options options);
  ~SimulatedFileSystem() override;

  std::unique_ptr<File> open(const std::filesystem::path& path, Mode mode) override;
  [[nodiscard]] bool exists(const std::filesystem::path& path) override;
  void remove(const std::filesystem::path& path) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void create_directories(const std::filesystem::path& path) override;
  std::vector<std::string> list(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;
  std::unique_ptr<FileLock> try_lock(const std::filesystem::path& path) override;

  // The power goes off and on again: what was not synced is kept or lost, as `seed` says. Files and
  // locks held by then are of no use any more: every operation on them fails. Ends what
  // power_off_at began. `kept_percent` says how much is kept; by default the seed says that, too.
  void crash(std::uint64_t seed, std::optional<int> kept_percent = std::nullopt);

  // From the `count`th operation on that changes something (1 is the next one), every operation
  // fails with kIo, until crash(). That one operation may still have an effect.
  void power_off_at(std::uint64_t count);
  [[nodiscard]] bool is_power_off() const;
  // Operations so far that change something: all but reads.
  [[nodiscard]] std::uint64_t operations() const;

  // Lets the `count`th operation of its kind from now on (1 is the next one) fail with `code`,
  // without an effect; a sync that fails loses the writes since the one before, as Linux may.
  void fail(Operation operation, std::uint64_t count = 1, ErrorCode code = ErrorCode::kIo);

  // Room for the sum of all file sizes, in bytes; past it, kFull.
  void set_capacity(std::uint64_t bytes);
  [[nodiscard]] std::uint64_t used_bytes() const;

  // Each sync of a file takes so long.
  void set_sync_delay(std::chrono::microseconds delay);

 private:
  struct Disk;
  class OpenFile;
  class Lock;
  std::shared_ptr<Disk> disk_;
};

}  // namespace perdure
