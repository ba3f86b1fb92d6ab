#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/lsn.h"
#include "log/history.h"
#include "store/database_file.h"

struct sqlite3_file;
struct sqlite3_vfs;

namespace perdure::store {

class StoreCore;

// The file of an open database, as SQLite's pager sees it: the committed pages below, and on top
// the pages that the open transaction has written (when it commits, or earlier when SQLite's page
// cache spills). Nothing is written anywhere until the commit, which is one record of the log.
//
// SQLite calls in this order at a commit: start_commit() (the commit hook), write() of the changed
// pages, sync() (whatever can be refused is refused here, where SQLite can still roll back from its
// journal), truncate() when the database shrank, commit(). A rollback writes old pages back, calls
// sync() as well, and then rollback() (the rollback hook). One thread at a time.
class OpenFile {
 public:
  explicit OpenFile(std::shared_ptr<DatabaseFile> file) : file_(std::move(file)) {}

  // Each returns an SQLite result code. `offset` and sizes in bytes.
  int read(std::span<std::byte> out, std::int64_t offset) noexcept;
  int write(std::span<const std::byte> data, std::int64_t offset) noexcept;
  int truncate(std::int64_t size) noexcept;
  int size(std::int64_t& size) noexcept;
  void start_commit() noexcept { committing_ = true; }
  int sync() noexcept;
  int commit() noexcept;
  void rollback() noexcept;

  // Whoever commits has called DatabaseFile::admit(): a commit does not wait any more.
  void set_admitted(bool admitted) noexcept { admitted_ = admitted; }
  // A commit that ends while this is set leaves the log as it is. It is made whole by another
  // file's commit (set_companion) or by publish_staged(); until then nobody may use the database.
  void set_staging(bool staging) noexcept { staging_ = staging; }
  [[nodiscard]] bool staged() const noexcept { return staged_; }
  // Throws Error: the commit is lost, and the file broken().
  void publish_staged();
  // Gives it up: SQLite believes in a commit that is not there, so the file is broken().
  void abandon_staged() noexcept;
  // Shows the database as it was before the commits that `undo` takes back: the pages of then lie
  // on top like those of an open transaction, of which SQLite knows nothing. It only reads. Throws
  // Error: kInvalid when the commits are not the last ones.
  void show(log::Undo undo);
  // Makes what is shown the database's state, in one atomic group with what is staged in the other
  // file. Throws Error: the commit is lost.
  void publish_shown(std::uint32_t flags, OpenFile& staged);
  // What the next commit takes along, into the same atomic group of the log; null: nothing.
  void set_companion(OpenFile* staged) noexcept { companion_ = staged; }

  // A commit failed after SQLite had given up its journal.
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  // Why the last call failed; empty when it was SQLite's own doing.
  [[nodiscard]] const std::string& last_error() const noexcept { return last_error_; }
  void clear_error() noexcept { last_error_.clear(); }
  [[nodiscard]] DatabaseFile& file() noexcept { return *file_; }

 private:
  using Page = std::unique_ptr<std::byte[]>;

  template <typename Body>
  int guarded(int io_code, Body&& body) noexcept;
  bool refused(std::size_t page_size) noexcept;
  void start();
  void prepare(std::uint32_t pages_after);
  void doom() noexcept;
  void collect(std::uint32_t pages_after);
  void publish();
  [[nodiscard]] std::vector<std::byte>& record() noexcept;
  [[nodiscard]] Change change() noexcept { return {changed_, page_size_, pages_, flags_}; }
  [[nodiscard]] std::uint32_t pages_in_header() const noexcept;
  void clear() noexcept;

  std::shared_ptr<DatabaseFile> file_;
  boost::unordered_flat_map<std::uint32_t, Page> pending_;
  std::uint32_t page_size_ = 0;
  std::uint32_t pages_ = 0;         // of the database as the transaction leaves it
  std::uint32_t synced_pages_ = 0;  // pages_ at the last sync()
  std::uint32_t flags_ = 0;         // of the record
  bool committing_ = false;         // since start_commit()
  bool prepared_ = false;           // by sync()
  bool started_ = false;            // page_size_ and pages_ are set
  // The transaction was refused; SQLite is about to roll it back, and what it writes on the way
  // does not matter.
  bool doomed_ = false;
  bool broken_ = false;
  bool admitted_ = false;
  bool staging_ = false;
  bool staged_ = false;  // pending_ and changed_ are those of a commit without its record
  OpenFile* companion_ = nullptr;
  std::vector<std::byte> staged_record_;
  std::string last_error_;
  std::vector<ChangedPage> changed_;
};

// The file system that SQLite gets for the databases of one store; registered under
// `core.vfs_name()`. A file is named by its database's number.
std::unique_ptr<sqlite3_vfs> make_vfs(StoreCore& core);

// What is behind a file that such a VFS opened.
OpenFile* open_file_of(sqlite3_file* file);

}  // namespace perdure::store
