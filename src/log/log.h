#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/durability.h"
#include "base/file.h"
#include "base/lsn.h"
#include "log/history.h"
#include "log/log_id.h"
#include "log/read_window.h"
#include "log/record.h"

namespace perdure::log {

struct LogOptions {
  FileSystem* file_system = nullptr;
  std::filesystem::path directory;  // `<data>/log`; created when missing
  std::uint64_t segment_bytes = 64ull << 20;
  // Bytes appended and not yet written; at the limit `append` waits for the flusher.
  std::uint64_t pending_bytes_max = 64ull << 20;
  // Write and sync as soon as something is appended. Otherwise when flush() is called, somebody
  // waits, or a MiB has gathered: for an appender that works in batches and knows where one ends.
  bool flush_on_append = true;
  // What is kept of the segments below the checkpoint: see history().
  HistoryOptions history = {};
  // Called once, on the flusher's thread, when writing or syncing failed (rule 6). The log is
  // poisoned by then: no waiter is ever told that its record is durable. The default prints the
  // message to stderr and ends the process with status 74 (EX_IOERR).
  std::function<void(const std::string& message)> on_poisoned = {};
};

// What opening found.
struct RecoveryReport {
  Lsn checkpoint_lsn = 0;       // replay began after it
  std::uint64_t records = 0;    // replayed
  std::uint64_t bytes = 0;      // of log read
  std::uint64_t cut_bytes = 0;  // of a torn end that was dropped (never acknowledged)
  std::string cut_file;         // where, with cut_offset
  std::uint64_t cut_offset = 0;
};

struct Appended {
  Lsn lsn = 0;
  RecordLocation location;
};

struct CheckpointStart {
  std::uint64_t epoch = 0;  // the epoch that begins
  Lsn lsn = 0;              // the last record before it
  RecordLocation next;      // where the first frame after it starts or will start
};

// The one append-only log of a data directory. See docs/log-format.md for the bytes.
//
// Threads: `append` and the getters from any thread; one flusher thread inside writes and syncs; a
// second one prepares spare segments. One checkpoint at a time.
class Log final : public Durability {
 public:
  // Opens or creates the log: reads the checkpoint, hands every later record to `replay` in LSN
  // order (on this thread), cuts a torn end. Throws Error: kCorrupt for a damaged frame that had
  // been durable (names file and offset; nothing is changed), kVersion, kIo, kFull.
  static std::unique_ptr<Log> open(LogOptions options,
                                   const std::function<void(const RecordView&)>& replay);
  ~Log() override;  // flushes what was appended

  [[nodiscard]] const RecoveryReport& recovery() const noexcept;

  // Appends encoded records as one atomic group and fills `out` (same length). Returns at once;
  // they are durable when durable_lsn() reaches the last one. Returns false and appends nothing
  // when `epoch` is not the current epoch any more: encode again, as full images may be due. Throws
  // Error(kFull) when there is no room (nothing appended), kPoisoned after a failure. Waits for the
  // flusher at pending_bytes_max, and for a spare segment that is just being prepared, so hold
  // nothing that `on_advance` of a subscriber needs. A group larger than segment_bytes gets a
  // segment of its own size, and is refused when there is no room for that, whatever has_room()
  // said.
  bool append(std::span<const std::span<const std::byte>> records, std::uint64_t epoch,
              std::span<Appended> out);

  // False when no spare segment could be preallocated: new commits are to be refused with
  // SQLITE_FULL until it is true again (the log keeps trying). An `append` that follows a true
  // answer finds room for one group of up to segment_bytes. Cheap; any thread.
  [[nodiscard]] bool has_room() const noexcept;

  // Has everything that was appended written and synced. Does not wait for it; any thread.
  void flush();

  [[nodiscard]] Lsn appended_lsn() const noexcept;
  [[nodiscard]] Lsn durable_lsn() const noexcept override;
  std::uint64_t subscribe(std::function<void(Lsn)> on_advance) override;
  void unsubscribe(std::uint64_t subscription) override;
  // Blocks until `lsn`, which was appended, is durable. Throws Error(kPoisoned).
  void wait_durable(Lsn lsn);

  // The checkpoint epoch: a page whose last full image was logged in an older epoch needs one.
  [[nodiscard]] std::uint64_t epoch() const noexcept;
  [[nodiscard]] std::uint64_t bytes_since_checkpoint() const noexcept;
  // Starts a new epoch. Records appended from now on belong to it.
  CheckpointStart begin_checkpoint();
  // To be called when every page changed by records up to `start.lsn` is in its file and synced:
  // replay begins after `start.lsn` from now on, and segments wholly before it become history.
  // Waits until `start.lsn` is durable. Throws Error: kIo or kFull (this checkpoint is not
  // complete; begin another), kPoisoned, kInvalid when a later one was begun.
  void complete_checkpoint(const CheckpointStart& start);

  // Reads the record at `location`; kNotFound when its segment is gone, kCorrupt when damaged.
  // `buffer` keeps the bytes that the view points into. Any thread.
  RecordView read(RecordLocation location, std::vector<std::byte>& buffer) const;
  // The same for who reads many, newer ones before older ones. The view is valid until the window
  // is used again.
  RecordView read(RecordLocation location, ReadWindow& window) const;

  // Random, chosen when the log was created: LSNs mean something in this log alone.
  [[nodiscard]] LogId id() const noexcept;

  // The past of each object. Any thread; belongs to the log.
  [[nodiscard]] History& history() noexcept;

 private:
  struct Impl;
  explicit Log(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace perdure::log
