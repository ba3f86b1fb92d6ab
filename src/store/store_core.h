#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/file.h"
#include "log/log.h"
#include "store/database_file.h"
#include "store/file_cache.h"
#include "store/store.h"

struct sqlite3_vfs;

namespace perdure::store {

// What the parts of a Store share: the log, the table of database files, the list of those that
// wait for a checkpoint, and the accounts that decide when one is due. Any thread.
//
// Order of locks: a database file's mutex, then the ones in here, which are never held while
// calling out.
class StoreCore {
 public:
  explicit StoreCore(StoreOptions options);
  ~StoreCore();
  StoreCore(const StoreCore&) = delete;
  StoreCore& operator=(const StoreCore&) = delete;

  [[nodiscard]] const StoreOptions& options() const noexcept { return options_; }
  [[nodiscard]] FileSystem& file_system() const noexcept { return *file_system_; }
  [[nodiscard]] log::Log& log() const noexcept { return *log_; }
  [[nodiscard]] FileCache& open_files() noexcept { return open_files_; }
  [[nodiscard]] const char* vfs_name() const noexcept { return vfs_name_.c_str(); }
  [[nodiscard]] std::filesystem::path full_path(const std::string& path) const {
    return options_.directory / path;
  }
  [[nodiscard]] ObjectNumber number_max() const noexcept { return number_max_; }

  void open_log();
  // Stops the log; nothing may be committed any more.
  void close_log();

  std::shared_ptr<DatabaseFile> file(ObjectNumber number, const std::string& path);
  // Null when nobody holds it and it is clean.
  std::shared_ptr<DatabaseFile> find(ObjectNumber number);

  void set_hooks(std::shared_ptr<CheckpointHooks> hooks);
  [[nodiscard]] std::shared_ptr<CheckpointHooks> hooks() const;

  // The list of files that wait for a checkpoint.
  void list_dirty(std::shared_ptr<DatabaseFile> file);
  [[nodiscard]] bool has_dirty();
  std::vector<std::shared_ptr<DatabaseFile>> take_dirty();
  std::shared_ptr<DatabaseFile> take_dirty(ObjectNumber number);

  [[nodiscard]] std::int64_t now_ms() const;

  void account(std::int64_t bytes) noexcept { dirty_bytes_.fetch_add(bytes); }
  [[nodiscard]] std::uint64_t dirty_bytes() const noexcept {
    const std::int64_t bytes = dirty_bytes_.load();
    return bytes < 0 ? 0 : static_cast<std::uint64_t>(bytes);
  }

  // Refuses (Error(kFull)) when the log has no room; waits for the checkpoint at the hard limit of
  // dirty bytes, and refuses when that one fails.
  void admit_commit();
  // Asks for a checkpoint when one is due.
  void after_commit() {
    if (checkpoint_due()) wake_checkpointer();
  }
  [[nodiscard]] bool checkpoint_due() const;

  // The checkpointer's thread.
  void wake_checkpointer();
  // Returns false when it is to stop.
  bool wait_for_work();
  void checkpoint_ended(bool succeeded);
  void stop_checkpointer();

 private:
  void replay(const log::RecordView& record);
  void forget(ObjectNumber number);
  std::shared_ptr<DatabaseFile> find_locked(ObjectNumber number);
  std::shared_ptr<DatabaseFile> insert_locked(ObjectNumber number, const std::string& path);

  StoreOptions options_;
  FileSystem* file_system_;
  FileCache open_files_;
  std::unique_ptr<log::Log> log_;
  std::string vfs_name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  ObjectNumber number_max_ = 0;

  mutable std::mutex table_mutex_;
  boost::unordered_flat_map<ObjectNumber, std::weak_ptr<DatabaseFile>> table_;

  std::mutex dirty_mutex_;
  boost::unordered_flat_map<ObjectNumber, std::shared_ptr<DatabaseFile>> dirty_;
  std::atomic<std::int64_t> dirty_bytes_{0};

  mutable std::mutex control_mutex_;
  std::condition_variable control_changed_;
  std::shared_ptr<CheckpointHooks> hooks_;
  std::atomic<bool> wake_{false};
  bool stop_ = false;
  std::uint64_t checkpoints_ = 0;
  bool last_succeeded_ = true;
};

}  // namespace perdure::store
