#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "log/log.h"
#include "log/record.h"
#include "store/page_checksum.h"
#include "store/page_map.h"
#include "store/store.h"

namespace perdure::store {

class ReadView;
class StoreCore;

// What a look at the file of a database has found: see DatabaseFile::check_file().
struct FileCheck {
  // Of the damaged pages, the first kDamagedMax.
  static constexpr std::size_t kDamagedMax = 1000;
  std::vector<std::uint32_t> damaged;
  std::uint64_t damaged_count = 0;
  std::uint64_t unknown_count = 0;  // pages without a checksum
  bool reached_end = false;         // there are no pages behind the last one
};

// A page that a transaction is about to commit; points into the transaction's memory.
struct ChangedPage {
  std::uint32_t page = 0;
  std::span<const std::byte> content;
  bool differs = true;  // from the committed content; set by prepare() and publish()
};

// What a transaction leaves behind.
struct Change {
  std::span<ChangedPage> pages;  // ascending, none above pages_after
  std::uint32_t page_size = 0;
  std::uint32_t pages_after = 0;
  // Of its record. With any set there is a record also when nothing changes.
  std::uint32_t flags = 0;
};

// The flags of a record: what the commit is, and in the bits from kFlagsNumberShift on its number.
inline constexpr std::uint32_t kRestoreFlag = 1;  // takes the database back to an older state
inline constexpr unsigned kFlagsNumberShift = 8;

// The newest committed pages of a file, copied out for the checkpoint. A large file is copied in
// several steps; `content` holds those of the last step.
struct CapturedPages {
  struct Page {
    std::uint32_t page;
    Lsn lsn;
  };
  std::vector<Page> pages;         // of all steps
  std::vector<std::byte> content;  // of pages[first..], one after the other
  std::size_t first = 0;
  std::uint32_t page_size = 0;
  std::uint32_t valid_pages = 0;  // pages of the real file, before the checkpoint, that still count
  std::uint32_t total_pages = 0;  // of the database
  Lsn last_lsn = 0;
  Head head;
  bool complete = false;  // the last step
};

// The committed state of one database: its size, its chain of records in the log, and the pages
// that are not in the real file yet. Outlives the open Database; the checkpoint works on it at any
// time.
//
// The real file is consulted only for pages that no record since the last checkpoint changed, and
// only up to `valid_pages`: what lies above was cut off by a commit at some time and is garbage,
// even if the database has grown again since.
//
// Any thread (a mutex inside); but only the one owner of the open database calls prepare() and
// publish().
class DatabaseFile : public std::enable_shared_from_this<DatabaseFile> {
 public:
  DatabaseFile(StoreCore& core, ObjectNumber number, std::string path)
      : core_(core), number_(number), path_(std::move(path)) {}
  DatabaseFile(const DatabaseFile&) = delete;
  DatabaseFile& operator=(const DatabaseFile&) = delete;

  [[nodiscard]] ObjectNumber number() const noexcept { return number_; }
  [[nodiscard]] StoreCore& core() const noexcept { return core_; }
  // Relative to the data directory; empty for one that recovery found and nobody has named yet.
  [[nodiscard]] std::string path() const;
  void set_path(const std::string& path);

  // The end of the chain of records.
  [[nodiscard]] Head head() const;
  // What the catalog knows about a file that the log knows nothing about: the end of its chain, and
  // the size that the checkpoint has left it with, in bytes (0: not known). A file that is missing
  // or smaller is refused with Error(kCorrupt) when it is used. `head` with number 0 says that the
  // database is new: the disk is not asked. No effect once the file has a state.
  void set_catalog_head(const Head& head, std::uint64_t bytes = 0);
  // Called once, on the committing thread, before the first commit goes to the log. When it throws,
  // the commit fails (and the next one calls it again).
  void set_before_first_commit(std::function<void()> hook);
  // Commits of a database that the checkpoint itself writes never wait for the checkpoint.
  void set_exempt_from_limits() noexcept { exempt_ = true; }
  [[nodiscard]] bool exempt_from_limits() const noexcept { return exempt_; }

  // The checksums of the pages of the file, the first one's first, as the catalog keeps them (0:
  // not known). Once they are here, a page that does not match is refused with Error(kCorrupt)
  // wherever it is read, so that nothing is built on it. The catalog must not save newer ones
  // meanwhile.
  [[nodiscard]] bool has_checksums() const;
  void set_checksums(std::vector<std::uint32_t> checksums);

  // Throws Error(kCorrupt) when the real file is not there, although the log counts on it.
  void require_file() const;

  // Fills `out` with the committed page; zeros above the end of the database.
  void read(std::uint32_t page, std::span<std::byte> out);
  // Reads a part of a page.
  void read_part(std::uint32_t page, std::size_t offset, std::span<std::byte> out);
  [[nodiscard]] std::uint32_t page_count();
  [[nodiscard]] std::uint32_t page_size();

  // For ReadView alone: it shows the state of the moment when it is attached, until it is detached.
  void attach(ReadView& view);
  void detach(ReadView& view) noexcept;
  void read(ReadView& view, std::uint32_t page, std::span<std::byte> out);

  // What of a commit may take time: waits for the checkpoint when too much is dirty, and runs the
  // hook. Throws Error(kFull).
  void admit();
  // The rest of what can be refused: encodes it. Throws Error, with nothing changed.
  void prepare(const Change& change, std::vector<std::byte>& record);
  // A commit that was prepared, of one file.
  struct Prepared {
    DatabaseFile& file;
    const Change& change;
    std::vector<std::byte>& record;
  };
  static constexpr std::size_t kGroupMax = 2;
  // Appends the records (encoded anew when a checkpoint began since) as one atomic group and makes
  // them the states of their files. Returns the LSN of the last one; where nothing changes in a
  // file, that of its last commit. Files are locked in the order given, which is the same always.
  // When it throws, nothing has changed.
  static Lsn publish(std::span<Prepared> commits);

  // Redo of a record found in the log. Throws Error(kCorrupt). Recovery only.
  void replay(const log::RecordView& record);
  // Ends recovery: `epoch` is the log's.
  void recovered(std::uint64_t epoch);

  // The checkpoint's side: capture() until `complete`, write and sync the pages, then
  // drop_captured(). `bytes_max` bounds the content of one step.
  void capture(CapturedPages& captured, std::size_t bytes_max);
  // `written`: the pages that are new in the file, in any order.
  void drop_captured(const CapturedPages& captured, std::vector<PageChecksum> written);
  // Pages in the file of which the catalog does not have the checksum yet, ascending; and when it
  // has. Under the store's lock of checkpoints, as what follows.
  [[nodiscard]] std::span<const PageChecksum> written() const noexcept { return written_; }
  void forget_written() noexcept;
  // Reads pages from `first` on and compares them with their checksums (0: not known), while no
  // checkpoint runs. What is not read from the file any more, or will be written again, is passed
  // over. Throws Error(kIo).
  void check_file(std::uint32_t first, std::span<const std::uint32_t> checksums, FileCheck& found);
  // True when it waits for a checkpoint; set by the store under its list's rules.
  [[nodiscard]] bool listed() const;
  void set_listed(bool listed);

 private:
  friend class ReadView;

  // What is known about the real file.
  enum class Origin : std::uint8_t {
    kUnknown,  // nothing: the disk must be asked
    kKnown,    // valid_pages_ and page_size_ hold
  };

  static std::uint64_t append(log::Log& log, std::span<Prepared* const> commits,
                              std::span<log::Appended> out);
  void list_locked();
  void note_written(std::vector<PageChecksum> written);
  void apply_written(std::span<const PageChecksum> written);
  void require_whole(std::uint32_t page, std::span<const std::byte> content) const;
  void advance(const Change& change, std::uint64_t epoch, const log::Appended& appended);
  void find_origin();
  void require_size(std::uint64_t bytes) const;
  void read_locked(std::uint32_t page, std::span<std::byte> out);
  void read_file(std::uint32_t page, std::span<std::byte> out);
  [[nodiscard]] bool is_whole(std::uint32_t page, std::uint32_t checksum, std::span<std::byte> out);
  void mark_listed(bool listed) noexcept;
  bool encode(const Change& change, std::uint64_t epoch, std::vector<std::byte>& record);
  bool needs_full_image(std::uint32_t page, std::uint64_t epoch) noexcept;
  void store_page(const ChangedPage& changed, std::uint64_t epoch, Lsn lsn);
  void set_aside(const Change& change) noexcept;
  void cut(std::uint32_t pages_after);
  void drop_page(std::uint32_t page);
  void account(std::int64_t bytes) noexcept;

  StoreCore& core_;
  const ObjectNumber number_;
  mutable std::mutex mutex_;
  std::string path_;
  Origin origin_ = Origin::kUnknown;
  bool listed_ = false;
  bool exempt_ = false;
  std::uint32_t page_size_ = 4096;
  std::uint32_t pages_ = 0;
  std::uint32_t valid_pages_ = 0;
  // The smallest size since the running checkpoint began to capture.
  std::uint32_t smallest_since_capture_ = std::numeric_limits<std::uint32_t>::max();
  Head head_;
  std::uint64_t bytes_at_checkpoint_ = 0;  // as the catalog has them; 0: not known
  std::uint64_t prepared_epoch_ = 0;
  std::int64_t prepared_time_ms_ = 0;
  ReadView* views_ = nullptr;  // the first of them
  PageMap map_;
  // See written(). Stays when a checkpoint fails after it has written this file. Changes under both
  // locks.
  std::vector<PageChecksum> written_;
  bool has_checksums_ = false;
  std::vector<std::uint32_t> checksums_;  // by page, from 1
  std::function<void()> before_first_commit_;
};

}  // namespace perdure::store
