#pragma once

#include <functional>

#include "log/record.h"
#include "log/segment_reader.h"

namespace perdure::log {

// Where the frames of a segment that fit together end.
struct SegmentEnd {
  std::uint64_t offset = 0;
  Lsn next_lsn = 0;         // of the record that comes next
  std::uint64_t chain = 0;  // checksum of the last frame
};

// Visits all records of a segment in their order, each checked by its checksums. Throws
// Error(kCorrupt), naming file and offset, for a record that is not one in a frame that is.
SegmentEnd scan_segment(SegmentReader& reader, const SegmentHeader& header,
                        const std::function<void(const RecordView&)>& visit);

}  // namespace perdure::log
