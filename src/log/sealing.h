#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/file.h"
#include "log/format.h"
#include "log/history_writer.h"

namespace perdure::log {

struct SealRequest {
  FileSystem* file_system = nullptr;
  std::filesystem::path log_directory;
  std::filesystem::path history_directory;  // created when missing
  LogId id;
  std::uint64_t number = 0;       // of the segment; nothing is appended to it any more
  Lsn end_lsn = 0;                // of the first record behind it
  ObjectNumber first_object = 1;  // records of lower ones are left out
  // Called after each block of work (kSealingBlockBytes) with the bytes of the segment that were
  // read for it: all of them once to check it, then the records that are kept once more. May wait.
  // False: stop.
  std::function<bool(std::uint64_t bytes)> goes_on;
};

// A block of sealing, in bytes of the segment; one frame or record when that is larger.
inline constexpr std::uint64_t kSealingBlockBytes = 256 << 10;

// Writes the history file of a segment; durable on return. Nothing when it was stopped. Takes some
// 24 bytes of memory for each record, and the largest frame. Throws Error: kCorrupt (the segment is
// damaged; names file and offset), kVersion, kFull, kIo.
std::optional<HistoryWriter::Result> seal_segment(const SealRequest& request);

}  // namespace perdure::log
