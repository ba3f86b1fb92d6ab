#include "log/segment_scan.h"

#include <algorithm>

#include "log/recovery.h"

namespace perdure::log {

std::optional<SegmentEnd> scan_segment(SegmentReader& reader, const SegmentHeader& header,
                                       const std::function<void(const RecordView&)>& visit,
                                       const std::function<bool(std::uint64_t bytes)>& goes_on) {
  SegmentEnd end{kSegmentHeaderBytes, header.first_lsn, header.chain};
  for (;;) {
    const auto frame = reader.frame_header(end.offset);
    if (!frame || frame->first_lsn != end.next_lsn || frame->previous != end.chain) return end;
    const auto body = reader.frame_body(end.offset, *frame);
    if (!body) return end;
    for_each_record(*body, reader.number(), end.offset + kFrameHeaderBytes, *frame, reader.path(),
                    visit);
    end.next_lsn += frame->records;
    end.chain = frame->checksum;
    end.offset = std::min(round_up(end.offset + frame->length, kFrameAlignment), reader.size());
    if (!goes_on(frame->length)) return std::nullopt;
  }
}

}  // namespace perdure::log
