#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/lsn.h"
#include "log/log_id.h"
#include "log/record.h"

// The bytes of segments, frames and the checkpoint file: see docs/log-format.md. Only src/log
// includes this.

namespace perdure::log {

inline constexpr std::uint32_t kFormatVersion = 1;

// Writes begin and end on this boundary, so that none of them has to read the rest of a block
// first.
inline constexpr std::size_t kBlockBytes = 4096;
inline constexpr std::size_t kSegmentHeaderBytes = kBlockBytes;
inline constexpr std::size_t kFrameHeaderBytes = 64;
// Frames start on a multiple of this.
inline constexpr std::size_t kFrameAlignment = 8;
inline constexpr std::size_t kEntryHeaderBytes = 12;
// What a segment file holds beyond LogOptions::segment_bytes, so that one group of exactly that
// many bytes fits: the segment's header, the frame's, those of some 500 records, and the end.
inline constexpr std::size_t kSegmentOverheadBytes = 4 * kBlockBytes;
// Offsets in a segment have 32 bits.
inline constexpr std::uint64_t kSegmentFileBytesMax = (1ull << 32) - kBlockBytes;

[[nodiscard]] std::uint64_t random_number();
[[nodiscard]] LogId new_log_id();

// The seed of what is stored at a place of a log. A frame or a record is valid at its own place
// only, so the leftovers of a reused segment never are.
[[nodiscard]] std::uint64_t place_seed(const LogId& id, std::uint64_t segment,
                                       std::uint64_t offset) noexcept;

struct SegmentHeader {
  LogId id;
  std::uint64_t number = 0;
  Lsn first_lsn = 0;        // 0: a spare, nothing is in it
  std::uint64_t chain = 0;  // checksum of the frame before the first one
};

void encode_segment_header(const SegmentHeader& header, std::span<std::byte> out);
// Nothing when it is damaged. Throws Error(kVersion) naming `path` when it is newer.
[[nodiscard]] std::optional<SegmentHeader> decode_segment_header(std::span<const std::byte> bytes,
                                                                 const std::string& path);

struct FrameHeader {
  std::uint32_t length = 0;  // with this header, without the padding that follows
  std::uint32_t records = 0;
  Lsn first_lsn = 0;
  Lsn durable_lsn = 0;         // known to be durable when this was written
  std::uint64_t previous = 0;  // checksum of the frame before
  std::uint64_t run = 0;       // random, one for each opening of the log
  std::uint64_t body_checksum = 0;
  std::uint64_t checksum = 0;  // of the header, and so of the frame and all before it
};

// `out` has kFrameHeaderBytes; computes header.checksum.
void encode_frame_header(FrameHeader& header, std::uint64_t seed, std::span<std::byte> out);
// Whether a header of any version may start here; cheap, to search with.
[[nodiscard]] bool looks_like_frame(const std::byte* bytes) noexcept;
// Nothing when it is not the header of a frame at this place. Throws Error(kVersion) naming `path`.
[[nodiscard]] std::optional<FrameHeader> decode_frame_header(std::span<const std::byte> bytes,
                                                             std::uint64_t seed,
                                                             const std::string& path);

// Where replay starts.
struct Checkpoint {
  LogId id;
  std::uint64_t epoch = 0;
  Lsn lsn = 0;
  RecordLocation next;
  std::uint64_t chain = 0;  // checksum of the frame before `next`
};

inline constexpr std::size_t kCheckpointBytes = 80;
inline constexpr const char* kCheckpointName = "checkpoint";
inline constexpr const char* kCheckpointTempName = "checkpoint.tmp";
inline constexpr const char* kSpareTempName = "spare.tmp";

[[nodiscard]] Bytes encode_checkpoint(const Checkpoint& checkpoint);
// Throws Error(kCorrupt) or Error(kVersion), naming `path`.
[[nodiscard]] Checkpoint decode_checkpoint(std::span<const std::byte> bytes,
                                           const std::string& path);

[[nodiscard]] std::string segment_name(std::uint64_t number);
[[nodiscard]] std::filesystem::path segment_path(const std::filesystem::path& directory,
                                                 std::uint64_t number);
// The number in the name of a segment; nothing when it is not one.
[[nodiscard]] std::optional<std::uint64_t> parse_segment_name(const std::string& name);

}  // namespace perdure::log
