#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <vector>

#include "base/file.h"
#include "store/database_file.h"
#include "store/store.h"

namespace perdure::store {

class StoreCore;

// One checkpoint: moves the committed pages of every dirty database into its file, so that the log
// can start later.
//
//   1. The log begins a new epoch: a page that changes from now on is logged whole once.
//   2. The newest image of each dirty page is copied (it may be newer than 1, which is harmless:
//      whatever replay finds after 1 starts with a full image), its record awaited (rule 4), then
//      written. Files are synced in batches, and directories that got new files once.
//   3. The catalog is told where each database's chain of records ends, and the checksums of the
//      pages that were written. That is a commit after 1, so replay always finds the end of the
//      catalog's own chain.
//   4. The catalog's file is written, in the same way, and then the catalog told its checksums. The
//      pages that have those are not in the file as they are now: replay builds them.
//   5. The log starts after 1.
//
// A crash at any step leaves the old start of the log: replay then builds every page that changed
// since, without looking at files that may be half written.
class Checkpoint {
 public:
  explicit Checkpoint(StoreCore& core) : core_(core) {}

  // One at a time. Throws Error; all that was not done is on the dirty list again then. Returns
  // false when there was nothing to do.
  bool run();

 private:
  struct Item {
    std::shared_ptr<DatabaseFile> file;
    std::unique_ptr<File> out;
    CapturedPages captured;
    std::vector<PageChecksum> written;
  };

  void write_files(const std::vector<std::shared_ptr<DatabaseFile>>& files);
  void add(const std::shared_ptr<DatabaseFile>& file);
  void flush();
  void open(Item& item);
  void write_step(Item& item);
  static void note_zeros(Item& item);
  void save_heads();
  void write_catalog();
  void put_back(const std::vector<std::shared_ptr<DatabaseFile>>& files);
  std::filesystem::path resolve(DatabaseFile& file);

  StoreCore& core_;
  std::vector<Item> batch_;
  std::size_t batch_bytes_ = 0;
  // What is not saved yet, and the files that it is of.
  std::vector<HeadUpdate> heads_;
  std::vector<std::shared_ptr<DatabaseFile>> files_of_heads_;
  std::set<std::filesystem::path> new_entries_;  // directories to sync
};

}  // namespace perdure::store
