#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/lsn.h"
#include "base/stop.h"
#include "log/record.h"

namespace perdure::log {

class PaceClock;

struct HistoryOptions {
  // Keep the commits below the checkpoint. What was kept before can be read either way.
  bool enabled = true;
  // How long they are kept, in milliseconds: 30 days.
  std::int64_t retention_ms = std::int64_t{30} * 24 * 60 * 60 * 1000;
  // The size of all of them on the disk, in bytes; past it the oldest are given up.
  std::uint64_t bytes_max = 16ull << 30;
  // Commits of databases with lower numbers are not kept: nobody takes those back.
  ObjectNumber first_object = 1;
  // How fast segments below the checkpoint become history, in bytes of them read for it a second
  // (at least 1). Each is read about twice. See HistoryKeeper for when it is faster.
  std::uint64_t sealing_bytes_per_second = 32 << 20;
  // The wall clock, in milliseconds since 1970; null: the operating system's.
  std::function<std::int64_t()> now_ms = {};
  // What the pace of sealing is measured with; null: the operating system's. Outlives the log.
  PaceClock* pace_clock = nullptr;
};

// One commit of an object.
struct CommitInfo {
  Lsn lsn = 0;
  std::uint64_t number = 0;  // 1, 2, 3, … for each object
  Lsn previous_lsn = 0;      // of the object's commit before this one; 0 for the first
  std::int64_t time_ms = 0;  // wall clock
  std::uint32_t page_size = 0;
  std::uint32_t pages_before = 0;  // size of the database in pages
  std::uint32_t pages_after = 0;
  std::uint32_t changed_pages = 0;
  std::uint64_t bytes = 0;  // of the differences of the changed pages
  std::uint32_t flags = 0;  // Commit::flags
};

// What taking back an object's newest commits does. Where there is none to take back, the sizes are
// 0 when the head itself is not kept any more.
struct Undo {
  std::uint32_t page_size = 0;
  std::uint32_t pages_now = 0;
  std::uint32_t pages_then = 0;
  // Page number -> the XOR of what the page holds now and what it held then, page_size bytes; pages
  // that are the same are left out. A page beyond the end of the database counts as zeros.
  std::map<std::uint32_t, std::vector<std::byte>> pages;
  std::uint64_t commits = 0;   // that are taken back
  std::int64_t oldest_ms = 0;  // the wall clock of the oldest of them
};

// What the history takes.
struct HistoryUsage {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;             // of these files
  std::uint64_t commits = 0;           // in them
  std::uint64_t waiting_segments = 0;  // of the log, which are still to become history
};

class HistoryKeeper;
struct ReadWindow;

// The past of the objects, read from their records. An object's commits form a chain that starts at
// its head, the last commit: its LSN and the location of its record, as Log::append returned them,
// or 0 and {0, 0} for an object without commits. Any thread; nothing is held between calls. What
// follows a chain asks `stopped` now and then, and throws Stopped when that says so.
class History {
 public:
  // What the history needs of the log that it belongs to.
  struct Source {
    // As Log::read.
    std::function<RecordView(RecordLocation, ReadWindow& window)> read;
    // The segments that can be read, ascending; at least one.
    std::function<std::vector<std::uint64_t>()> live_segments;
    // The wall clock of the first record of a segment; nothing when there is none yet.
    std::function<std::optional<std::int64_t>(std::uint64_t segment)> first_time_ms;
    // What is sealed.
    HistoryKeeper& keeper;
  };
  History(HistoryOptions options, Source source);
  ~History();
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  enum class End {
    kStopped,    // `visit` returned false
    kBeginning,  // the first commit was visited, or there is none
    kExpired,    // the rest is not kept any more; the last commit visited says what comes next
  };
  // Visits the object's commits from the one at `head` backwards until `visit` returns false.
  // Throws Error: kCorrupt naming file and offset, kIo.
  End walk(ObjectNumber object, Lsn head_lsn, RecordLocation head,
           const std::function<bool(const CommitInfo&)>& visit, const StopCheck& stopped = {});

  // What takes the object from the commit at `head` back to the one at `target_lsn` (0: before the
  // first). Throws Error: kNotFound when `target_lsn` is none of the object's commits up to `head`
  // or is not kept any more, kInvalid when the page size of the database has changed in between,
  // kFull when the pages take more than `bytes_max`, kCorrupt naming file and offset, kIo.
  Undo undo(ObjectNumber object, Lsn head_lsn, RecordLocation head, Lsn target_lsn,
            std::uint64_t bytes_max, const StopCheck& stopped = {});

  // The LSN of the object's last commit at or before `time_ms`: the first one, from the head
  // backwards, whose record has such a time; 0 when there was none yet. That commit itself need not
  // be kept any more: its LSN is in the one after it. Throws Error: kNotFound when `time_ms` is
  // before what is kept, kCorrupt, kIo.
  Lsn at_time(ObjectNumber object, Lsn head_lsn, RecordLocation head, std::int64_t time_ms,
              const StopCheck& stopped = {});

  // The earliest time to which an object can be taken back now: the retention, or less when the
  // history is shorter than that.
  [[nodiscard]] std::int64_t earliest_ms() const;

  // Does now what is done in the background: makes segments below the checkpoint into history files
  // as far as that works, and removes what has expired.
  void catch_up();

  // Makes room on a full disk: removes the oldest part of the history, and says so on stderr. False
  // when there is none.
  bool give_up_oldest();

  [[nodiscard]] HistoryUsage usage() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace perdure::log
