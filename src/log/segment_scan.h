#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "log/record.h"
#include "log/segment_reader.h"

namespace perdure::log {

// Where the frames of a segment that fit together end.
struct SegmentEnd {
  std::uint64_t offset = 0;
  Lsn next_lsn = 0;         // of the record that comes next
  std::uint64_t chain = 0;  // checksum of the last frame
};

// Visits all records of a segment in their order, each checked by its checksums. After each frame
// it calls `goes_on` with the frame's length in bytes, and returns nothing when that says no.
// Throws Error(kCorrupt), naming file and offset, for a record that is not one in a frame that is.
std::optional<SegmentEnd> scan_segment(SegmentReader& reader, const SegmentHeader& header,
                                       const std::function<void(const RecordView&)>& visit,
                                       const std::function<bool(std::uint64_t bytes)>& goes_on);

}  // namespace perdure::log
