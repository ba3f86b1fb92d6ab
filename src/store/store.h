#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/file.h"
#include "base/lsn.h"
#include "log/log.h"

namespace perdure::store {

class DatabaseFile;
struct ForeignFile;
struct PageChecksum;

// The database number of the catalog: the checkpoint writes its file last, as it changes it.
inline constexpr ObjectNumber kCatalogNumber = 1;
// Numbers up to this one are the engine's own databases.
inline constexpr ObjectNumber kReservedNumbers = 16;

struct StoreOptions {
  std::filesystem::path directory;
  FileSystem* file_system = nullptr;  // null: the operating system's
  std::uint64_t segment_bytes = 64ull << 20;
  // A checkpoint starts when this much log was written since the last one …
  std::uint64_t checkpoint_log_bytes = 128ull << 20;
  // … or when this many bytes of committed pages are not yet in their files. At
  // twice this a commit waits for the checkpoint.
  std::uint64_t dirty_bytes_max = 128ull << 20;
  // Changed pages of one transaction; past it the statement fails with SQLITE_FULL.
  std::uint64_t transaction_bytes_max = 256ull << 20;
  // What is kept of the past of the objects, so that they can be taken back.
  log::HistoryOptions history{.first_object = kReservedNumbers + 1};
  // See log::LogOptions. False: whoever commits calls log().flush() at the end of a batch.
  bool flush_on_append = true;
  std::function<void(const std::string&)> on_poisoned;  // see log::LogOptions
};

// Where the chain of records of a database ends.
struct Head {
  std::uint64_t commit_number = 0;
  Lsn last_lsn = 0;
  log::RecordLocation location;
  std::int64_t time_ms = 0;  // since 1970, when the last commit was made; 0: not known
};

struct HeadUpdate {
  ObjectNumber number = 0;
  Head head;
  std::uint64_t bytes = 0;                // of the database
  std::uint32_t pages = 0;                // of it
  std::span<const PageChecksum> written;  // pages, ascending, that are new in its file
};

// What the checkpoint needs from whoever knows what objects there are (the catalog).
class CheckpointHooks {
 public:
  virtual ~CheckpointHooks() = default;
  // The file of a database, relative to the data directory. Asked for databases that the log knows
  // and nobody has opened yet (after a crash). Throws when it is unknown.
  virtual std::string path(ObjectNumber number) = 0;
  // Records where the chains of the databases that the checkpoint wrote end, because the log will
  // start after those records, and the checksums of the pages that it wrote. Called once more when
  // the file of the catalog has been written, for that one. Commits at least once, even for no
  // updates: the commit is what keeps the end of the catalog's own chain in the log.
  virtual void save_heads(std::span<const HeadUpdate> updates) = 0;
  // The store is about to close: the last checkpoint is done, databases must be closed.
  virtual void closing() noexcept = 0;
};

// One data directory: its lock, its log, the committed pages that are not in their files yet, the
// checkpointer. Databases (store/database.h) are opened on it.
class Store {
 public:
  // Creates the directory when missing. Throws Error: kLocked ("The data directory … is in use by
  // another process …"), kVersion, kCorrupt, kIo, kFull.
  static std::unique_ptr<Store> open(StoreOptions options);
  // As close(), but errors are printed instead of thrown.
  ~Store();

  [[nodiscard]] log::Log& log() noexcept;
  [[nodiscard]] const log::RecoveryReport& recovery() const noexcept;

  // Set once, before the first checkpoint. Called on the thread that checkpoints. Without hooks a
  // checkpoint writes only files that somebody named, and no heads. The store lets go of them in
  // close().
  void set_checkpoint_hooks(std::shared_ptr<CheckpointHooks> hooks);

  // The highest number of a database that recovery met in the log.
  [[nodiscard]] ObjectNumber number_max() const noexcept;

  // The file of a database; the same object for as long as somebody holds it or pages of it wait
  // for the checkpoint. `path` is relative to the data directory. Costs no system call.
  std::shared_ptr<DatabaseFile> file(ObjectNumber number, const std::string& path);

  // The file of a database that is in memory; null when nobody holds it and it is clean.
  std::shared_ptr<DatabaseFile> find(ObjectNumber number);

  // Moves files that are whole and synced to their paths, relative to the data directory and on its
  // file system; durable on return. For databases that were written elsewhere: nothing of the store
  // may know the paths yet.
  struct Placement {
    std::filesystem::path from;
    std::string to;
  };
  void place_files(std::span<const Placement> placements);

  // Of a file that place_files() has placed, for its database: see store/page_checksum.h.
  [[nodiscard]] ForeignFile placed_file(const std::string& path, ObjectNumber database);

  [[nodiscard]] std::uint64_t transaction_bytes_max() const noexcept;

  // The clock that commits get their times from, in milliseconds since 1970.
  [[nodiscard]] std::int64_t now_ms() const;

  // Bytes of committed pages that are not in their files yet.
  [[nodiscard]] std::uint64_t dirty_bytes() const noexcept;

  // Has the checkpointer call checkpoint() soon.
  void request_checkpoint() noexcept;

  // Writes all committed pages to their files; on return the log starts after them. Any thread.
  void checkpoint();

  // Calls `body` while no checkpoint runs: the files stay as they are meanwhile.
  void between_checkpoints(const std::function<void()>& body);

  // Checkpoints, so that every object is a plain SQLite file, and releases the directory. All
  // databases must be closed. Throws what the checkpoint throws.
  void close();

 private:
  Store() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace perdure::store
