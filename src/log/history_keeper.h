#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "log/history.h"
#include "log/history_file.h"
#include "log/pace.h"
#include "log/recent_files.h"
#include "log/sealing.h"

namespace perdure::log {

// Makes the segments below the checkpoint into history files, one after the other on a thread of
// low priority, and removes the files that have expired. Any thread.
//
// Sealing keeps the pace of HistoryOptions, so that it takes little from commits. It goes as fast
// as it can while catch_up() waits for it, after the disk was full, and while more segments wait
// than kPacedSegmentsMax, or than fit into kWaitingPartMax of the room for all history: a log may
// grow faster than the pace, and segments that wait take more room than history.
//
// A crash at any point leaves either the segment or its finished file, or both: then the segment is
// simply given back.
class HistoryKeeper {
 public:
  // A checkpoint leaves two or three segments at once.
  static constexpr std::size_t kPacedSegmentsMax = 8;
  // An eighth.
  static constexpr std::uint64_t kWaitingPartMax = 8;

  struct Options {
    FileSystem* file_system = nullptr;
    std::filesystem::path log_directory;
    std::filesystem::path history_directory;
    std::uint64_t segment_bytes = 0;  // of a segment's file
    LogId id;
    HistoryOptions history;
    // The LSN of the first record behind a segment. On the keeper's thread.
    std::function<Lsn(std::uint64_t number)> end_of_segment;
    // The segment is not needed any more. Any thread; called without a lock.
    std::function<void(std::uint64_t number)> release;
  };
  // Lists what is there; removes what was not finished.
  explicit HistoryKeeper(Options options);
  ~HistoryKeeper();
  HistoryKeeper(const HistoryKeeper&) = delete;
  HistoryKeeper& operator=(const HistoryKeeper&) = delete;

  // The LSN of the first record of a segment that was sealed; nothing when it was not.
  [[nodiscard]] std::optional<Lsn> first_lsn(std::uint64_t number) const;
  void start();
  void stop() noexcept;

  // Segments, ascending, that are to be sealed and released.
  void add(const std::vector<std::uint64_t>& numbers);
  // Segments, ascending, that will be given back unsealed: remembered where there are older files,
  // so that they do not seem to be lost.
  void leave_out(const std::vector<std::uint64_t>& numbers);
  // Does now what is due: seals what waits, as far as that works, and removes what has expired.
  void catch_up();

  // Null when there is none. Throws Error: kCorrupt, kVersion, kIo.
  std::shared_ptr<const HistoryFile> open(std::uint64_t number);

  // Makes room on a full disk: removes the oldest history. False when there is none. Says so on
  // stderr.
  bool give_up_oldest();

  // The oldest segment from which on nothing is missing, down from the last of `live`, the segments
  // (ascending) that can be read in the log.
  struct Oldest {
    std::uint64_t number = 0;
    std::optional<std::int64_t> time_ms;  // of its oldest record, when it is sealed
  };
  [[nodiscard]] Oldest oldest(const std::vector<std::uint64_t>& live) const;
  [[nodiscard]] HistoryUsage usage() const;

 private:
  struct Entry {
    std::uint64_t bytes = 0;
    Lsn first_lsn = 0;
    std::int64_t min_time_ms = 0;
    std::int64_t max_time_ms = 0;
    std::uint64_t commits = 0;
    bool is_damaged = false;  // the rest is not known, but for the size
  };
  using Lock = std::unique_lock<std::mutex>;
  // For reading.
  static constexpr std::size_t kOpenFilesMax = 16;

  void load();
  [[nodiscard]] Entry load_entry(std::uint64_t number, const std::filesystem::path& path);
  void run();
  // Between blocks of sealing; waits for the pace. False: the segment is not to become history.
  bool goes_on(std::uint64_t bytes);
  // All with the lock held; they release it for work on the disk.
  bool seal_next(Lock& lock);
  std::optional<HistoryWriter::Result> seal(std::uint64_t number);
  static Entry entry_of(const HistoryHeader& header, std::uint64_t bytes);
  void sealed(std::uint64_t number, const HistoryWriter::Result& result);
  void could_not_seal(std::uint64_t number, const Error& error, Lock& lock);
  void expire(Lock& lock);
  bool remove(std::uint64_t number, Lock& lock);
  void forget_unsealed(Lock& lock);
  bool drop_oldest(const char* reason, Lock& lock);
  void release_waiting(std::uint64_t number, Lock& lock);
  [[nodiscard]] std::uint64_t bytes_locked() const;
  [[nodiscard]] bool is_urgent() const;
  void say_once(const std::string& message);

  const Options options_;
  PaceClock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;     // for the thread, also where it waits for its pace
  std::condition_variable changed_;  // for catch_up
  std::map<std::uint64_t, Entry> files_;
  std::uint64_t unsealed_ = 0;             // see unsealed_path; 0: none
  std::deque<std::uint64_t> waiting_;      // segments to be sealed
  std::vector<std::uint64_t> unsealable_;  // segments that are damaged
  std::uint64_t sealing_ = 0;              // the one that is being sealed
  bool removing_ = false;                  // a file, with the lock released
  bool abandon_ = false;                   // … and is not needed any more
  RecentFiles<const HistoryFile> open_{kOpenFilesMax};
  std::string last_said_;
  Pace pace_;
  bool disk_was_full_ = false;  // since segments began to wait
  std::uint64_t urgent_ = 0;    // catch_up() waits for this request
  std::uint64_t requested_ = 0;
  std::uint64_t completed_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace perdure::log
