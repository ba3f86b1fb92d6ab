#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "log/format.h"
#include "log/frame.h"
#include "log/log.h"

namespace perdure::log {

// Where a log goes on.
struct RecoveredLog {
  LogId id;
  std::uint64_t epoch = 1;
  Lsn next_lsn = 1;
  std::uint64_t chain = 0;     // checksum of the last frame
  Lsn proven_durable_lsn = 0;  // what the last frame says to have been durable before it
  std::shared_ptr<Segment> segment;
  std::uint64_t offset = 0;  // where the next frame starts
  Bytes tail;                // the bytes from the last block boundary to `offset`
  std::shared_ptr<Segment> spare;
  std::vector<std::uint64_t> live;   // segments that can be read, ascending, without the spare
  std::vector<std::uint64_t> below;  // segments below the checkpoint, ascending
  RecoveryReport report;
};

// Opens or creates the log of a directory: see Log::open. What comes back is on stable storage.
RecoveredLog recover(const LogOptions& options, std::uint64_t segment_file_bytes,
                     const std::function<void(const RecordView&)>& replay);

// Replaces the checkpoint file; durable on return. The directory keeps a file of that size at hand,
// so that this works on a full disk.
void write_checkpoint(FileSystem& files, const std::filesystem::path& directory,
                      const Checkpoint& checkpoint);

// Reads the records of a frame's body in order. Throws Error(kCorrupt), naming `path`.
void for_each_record(std::span<const std::byte> body, std::uint64_t segment,
                     std::uint64_t body_offset, const FrameHeader& header, const std::string& path,
                     const std::function<void(const RecordView&)>& visit);

}  // namespace perdure::log
