#include "log/frame.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "base/checksum.h"
#include "base/error.h"

namespace perdure::log {
namespace {

constexpr std::size_t kCheckAt = 8;
constexpr std::size_t kRecordChecksumAt = 8;
constexpr std::size_t kRecordBytesMin = 16;

// Binds a record, by its own checksum, to its number and its place.
std::uint32_t entry_check(const LogId& id, const RecordLocation& location, Lsn lsn,
                          std::span<const std::byte> record) noexcept {
  std::byte bound[16];
  store(bound, lsn);
  store(bound + 8, load<std::uint64_t>(record.data() + kRecordChecksumAt));
  const std::uint64_t seed = place_seed(id, location.segment, location.offset);
  return static_cast<std::uint32_t>(checksum(bound, seed));
}

std::size_t prefix_of(std::uint64_t offset) {
  return offset == kSegmentHeaderBytes ? kSegmentHeaderBytes : offset % kBlockBytes;
}

}  // namespace

Entry Entry::parse(std::span<const std::byte> bytes) {
  Entry entry;
  ByteReader reader(bytes, "log frame");
  entry.lsn = reader.fixed<Lsn>();
  entry.check_ = reader.fixed<std::uint32_t>();
  const std::span<const std::byte> rest = reader.rest();
  const std::uint64_t length = ByteReader(rest, "log frame").fixed<std::uint32_t>();
  if (length < kRecordBytesMin || length > rest.size()) {
    throw Error(ErrorCode::kCorrupt, "The log record has a wrong length.");
  }
  entry.record = rest.first(length);
  return entry;
}

bool Entry::belongs_at(const LogId& id, const RecordLocation& location) const noexcept {
  return check_ == entry_check(id, location, lsn, record);
}

Frame::Frame(const LogId& id, std::shared_ptr<Segment> segment, std::uint64_t offset, Lsn first_lsn,
             Bytes storage)
    : id_(id),
      segment_(std::move(segment)),
      offset_(offset),
      prefix_(prefix_of(offset)),
      first_lsn_(first_lsn),
      buffer_(std::move(storage)) {
  assert(offset % kFrameAlignment == 0);
  buffer_.clear();
  buffer_.resize(prefix_ + kFrameHeaderBytes);
}

void Frame::reserve(std::uint64_t bytes) {
  // With the zeros of close().
  const std::size_t needed = buffer_.size() + bytes + 2 * kBlockBytes;
  if (needed > buffer_.capacity()) buffer_.reserve(std::max(needed, 2 * buffer_.capacity()));
}

RecordLocation Frame::append(std::span<const std::byte> record) {
  assert(!closed_);
  const RecordLocation location{segment_->number, static_cast<std::uint32_t>(position())};
  const Lsn lsn = first_lsn_ + records_;
  std::byte header[kEntryHeaderBytes];
  store(header, lsn);
  store(header + kCheckAt, entry_check(id_, location, lsn, record));
  buffer_.insert(buffer_.end(), header, header + kEntryHeaderBytes);
  buffer_.insert(buffer_.end(), record.begin(), record.end());
  length_ += entry_bytes(record);
  ++records_;
  return location;
}

void Frame::close() {
  assert(!closed_);
  end_ = std::min(round_up(position(), kFrameAlignment), segment_->bytes);
  const std::uint64_t padded = round_up(end_ + kFrameHeaderBytes, kBlockBytes);
  buffer_.resize(std::min(padded, segment_->bytes) - write_offset());
  closed_ = true;
}

std::uint64_t Frame::seal(const Seal& seal) {
  assert(closed_);
  const std::span buffer(buffer_);
  if (offset_ == kSegmentHeaderBytes) {
    encode_segment_header({id_, segment_->number, first_lsn_, seal.chain}, buffer.first(prefix_));
  } else {
    assert(seal.tail.size() == prefix_);
    std::copy(seal.tail.begin(), seal.tail.end(), buffer.begin());
  }
  const std::uint64_t seed = place_seed(id_, segment_->number, offset_);
  const auto body = buffer.subspan(prefix_ + kFrameHeaderBytes, entries_bytes());
  FrameHeader header{.length = static_cast<std::uint32_t>(length_),
                     .records = records_,
                     .first_lsn = first_lsn_,
                     .durable_lsn = seal.durable_lsn,
                     .previous = seal.chain,
                     .run = seal.run,
                     .body_checksum = perdure::checksum(body, seed)};
  encode_frame_header(header, seed, buffer.subspan(prefix_, kFrameHeaderBytes));
  checksum_ = header.checksum;
  return checksum_;
}

std::span<const std::byte> Frame::tail() const noexcept {
  const std::uint64_t block = round_down(end_, kBlockBytes);
  // A frame that starts in the last block has its own first bytes in the buffer already.
  return write_bytes().subspan(block - write_offset(), end_ - block);
}

std::span<const std::byte> Frame::find(const RecordLocation& location) const noexcept {
  if (location.segment != segment_->number || location.offset < offset_ + kFrameHeaderBytes ||
      location.offset >= position()) {
    return {};
  }
  const std::size_t at = location.offset - write_offset();
  return write_bytes().subspan(at, position() - location.offset);
}

}  // namespace perdure::log
