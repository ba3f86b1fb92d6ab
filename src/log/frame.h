#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/file.h"
#include "base/lsn.h"
#include "log/format.h"
#include "log/record.h"

namespace perdure::log {

// A segment that is written to.
struct Segment {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;  // size of the file
  std::shared_ptr<File> file;
};

// What a record takes in a frame.
[[nodiscard]] inline std::uint64_t entry_bytes(std::span<const std::byte> record) noexcept {
  return kEntryHeaderBytes + record.size();
}

// One entry of a frame: the number of a record, a check that it belongs at its place, the record.
// Throws Error(kCorrupt). `bytes` starts with the entry; what follows it is ignored.
struct Entry {
  Lsn lsn = 0;
  std::span<const std::byte> record;
  static Entry parse(std::span<const std::byte> bytes);
  // Whether it was written at this place of this log.
  [[nodiscard]] bool belongs_at(const LogId& id, const RecordLocation& location) const noexcept;
  [[nodiscard]] std::uint64_t size() const noexcept { return entry_bytes(record); }

 private:
  std::uint32_t check_ = 0;
};

// A frame on its way to the disk: gathers records, then is closed, sealed and written as whole
// blocks. Its buffer begins with the part of the first block that is before the frame (in a new
// segment, the segment's header) and ends with zeros, at least a frame header's worth where the
// segment has room for them, so that the end of the log reads as zeros and not as what was in the
// file before. Not thread-safe; the entries do not move or change once it is closed.
class Frame {
 public:
  Frame(const LogId& id, std::shared_ptr<Segment> segment, std::uint64_t offset, Lsn first_lsn,
        Bytes storage);

  // Makes append of so many bytes of entries safe from running out of memory.
  void reserve(std::uint64_t bytes);
  RecordLocation append(std::span<const std::byte> record);
  void close();

  struct Seal {
    std::span<const std::byte> tail;  // the last bytes of the frame before, up to a block
    std::uint64_t chain = 0;          // its checksum
    Lsn durable_lsn = 0;
    std::uint64_t run = 0;
  };
  // Closed before. Returns the checksum, the next frame's `chain`.
  std::uint64_t seal(const Seal& seal);

  [[nodiscard]] const std::shared_ptr<Segment>& segment() const noexcept { return segment_; }
  [[nodiscard]] Lsn first_lsn() const noexcept { return first_lsn_; }
  [[nodiscard]] Lsn last_lsn() const noexcept { return first_lsn_ + records_ - 1; }
  [[nodiscard]] std::uint64_t checksum() const noexcept { return checksum_; }
  // Where the next byte goes; once closed, where the next frame starts.
  [[nodiscard]] std::uint64_t end() const noexcept { return closed_ ? end_ : position(); }
  [[nodiscard]] std::uint64_t entries_bytes() const noexcept { return length_ - kFrameHeaderBytes; }

  [[nodiscard]] std::uint64_t write_offset() const noexcept { return offset_ - prefix_; }
  [[nodiscard]] std::span<const std::byte> write_bytes() const noexcept { return buffer_; }
  // The bytes between the last block boundary and the end.
  [[nodiscard]] std::span<const std::byte> tail() const noexcept;
  // The bytes from an entry on; empty when `location` is not in this frame.
  [[nodiscard]] std::span<const std::byte> find(const RecordLocation& location) const noexcept;
  // The buffer, to be used again.
  [[nodiscard]] Bytes take_storage() noexcept { return std::move(buffer_); }

 private:
  [[nodiscard]] std::uint64_t position() const noexcept { return offset_ + length_; }

  const LogId id_;
  const std::shared_ptr<Segment> segment_;
  const std::uint64_t offset_;
  const std::size_t prefix_;
  const Lsn first_lsn_;
  Bytes buffer_;
  std::uint64_t length_ = kFrameHeaderBytes;
  std::uint64_t end_ = 0;
  std::uint64_t checksum_ = 0;
  std::uint32_t records_ = 0;
  bool closed_ = false;
};

}  // namespace perdure::log
