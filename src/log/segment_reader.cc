#include "log/segment_reader.h"

#include <algorithm>
#include <utility>

#include "base/checksum.h"

namespace perdure::log {
namespace {

// Read at once, in bytes.
constexpr std::uint64_t kWindowBytes = 1 << 20;

}  // namespace

SegmentReader::SegmentReader(const LogId& id, std::uint64_t number,
                             const std::filesystem::path& path, std::shared_ptr<File> file)
    : id_(id),
      number_(number),
      path_(path.string()),
      file_(std::move(file)),
      size_(std::min(file_->size(), kSegmentFileBytesMax)) {}

std::span<const std::byte> SegmentReader::bytes(std::uint64_t offset, std::uint64_t count) {
  if (offset >= size_) return {};
  count = std::min(count, size_ - offset);
  if (offset < window_offset_ || offset + count > window_offset_ + window_.size()) {
    window_.resize(std::min(std::max(count, kWindowBytes), size_ - offset));
    window_offset_ = offset;
    window_.resize(file_->read(offset, window_));
    count = std::min<std::uint64_t>(count, window_.size());
  }
  return std::span<const std::byte>(window_).subspan(offset - window_offset_, count);
}

std::optional<SegmentHeader> SegmentReader::header() {
  return decode_segment_header(bytes(0, kSegmentHeaderBytes), path_);
}

std::optional<FrameHeader> SegmentReader::frame_header(std::uint64_t offset) {
  return decode_frame_header(bytes(offset, kFrameHeaderBytes), place_seed(id_, number_, offset),
                             path_);
}

std::optional<std::span<const std::byte>> SegmentReader::frame_body(std::uint64_t offset,
                                                                    const FrameHeader& header) {
  const std::span<const std::byte> frame = bytes(offset, header.length);
  if (frame.size() != header.length) return std::nullopt;
  const auto body = frame.subspan(kFrameHeaderBytes);
  if (checksum(body, place_seed(id_, number_, offset)) != header.body_checksum) return std::nullopt;
  return body;
}

bool SegmentReader::ends_at(std::uint64_t offset) {
  const auto found = bytes(offset, kFrameHeaderBytes);
  return std::all_of(found.begin(), found.end(), [](std::byte b) { return b == std::byte{0}; });
}

void SegmentReader::scan(std::uint64_t offset,
                         const std::function<void(std::uint64_t offset, const FrameHeader&)>& visit,
                         const StopCheck& stopped) {
  offset = round_up(offset, kFrameAlignment);
  while (offset + kFrameHeaderBytes <= size_) {
    throw_if_stopped(stopped);
    const auto piece = bytes(offset, kWindowBytes);
    if (piece.size() < kFrameHeaderBytes) return;
    const std::uint64_t count =
        round_down(piece.size() - kFrameHeaderBytes, kFrameAlignment) + kFrameAlignment;
    for (std::uint64_t at = 0; at < count; at += kFrameAlignment) {
      if (!looks_like_frame(piece.data() + at)) continue;
      const auto header = decode_frame_header(piece.subspan(at, kFrameHeaderBytes),
                                              place_seed(id_, number_, offset + at), path_);
      if (header) visit(offset + at, *header);
    }
    offset += count;
  }
}

}  // namespace perdure::log
