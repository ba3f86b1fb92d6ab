#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "log/frame.h"
#include "log/log_id.h"
#include "log/read_window.h"
#include "log/recent_files.h"
#include "log/record.h"

namespace perdure::log {

// Reads the records of the log, one by one, wherever they are: in its segments, or in memory as
// long as they are not written. Any thread.
class LogReader {
 public:
  struct Source {
    FileSystem* file_system = nullptr;
    std::filesystem::path directory;
    LogId id;
    // Whether a segment can be read: it is not asked for once it was given back.
    std::function<bool(std::uint64_t segment)> is_live;
    // Copies the entry of a record that is not written yet; false when there is none.
    std::function<bool(RecordLocation location, Bytes& entry)> copy_unwritten;
  };
  explicit LogReader(Source source) : source_(std::move(source)), open_(kOpenFilesMax) {}

  // As Log::read.
  RecordView read(RecordLocation location, ReadWindow& window);

  // The file of a segment, which stays open for a while. Throws Error(kIo).
  std::shared_ptr<File> open(std::uint64_t segment);
  // A segment was given back: its file is another one's now.
  void forget(std::uint64_t segment);

 private:
  static constexpr std::size_t kOpenFilesMax = 16;

  Entry read_entry(RecordLocation location, ReadWindow& window);
  void read_before(RecordLocation record, ReadWindow& window);
  Entry read_alone(RecordLocation location, Bytes& buffer);

  const Source source_;
  std::mutex mutex_;  // of what follows
  RecentFiles<File> open_;
};

}  // namespace perdure::log
