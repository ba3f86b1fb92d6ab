#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/lsn.h"

namespace perdure::log {

// Where a record starts: segment number (from 1) and byte offset in the (uncompressed) segment.
// {0, 0} is "no record".
struct RecordLocation {
  std::uint64_t segment = 0;
  std::uint32_t offset = 0;
  friend bool operator==(const RecordLocation&, const RecordLocation&) = default;
};

// One page that a commit changed. An empty span stands for a page of zeros: a page that did not
// exist before the commit (`before`), or that the commit cut off (`after`).
struct PageChange {
  std::uint32_t page = 0;  // from 1, as SQLite counts
  std::span<const std::byte> before = {};
  std::span<const std::byte> after = {};
  // Log `after` whole as well as the difference. Set on the first change of a page that existed
  // since the current checkpoint began, so that replay never builds on a torn page of the file.
  bool full_image = false;
};

// One commit of one database, as its owner hands it to the log.
struct Commit {
  ObjectNumber object = 0;
  std::uint64_t number = 0;        // 1, 2, 3, … for each object
  Lsn previous_lsn = 0;            // the object's record before this one, 0 for the first
  RecordLocation previous;         // and where it is
  std::int64_t time_ms = 0;        // wall clock
  std::uint32_t page_size = 0;     // 512 … 65536
  std::uint32_t pages_before = 0;  // size of the database in pages
  std::uint32_t pages_after = 0;
  std::uint32_t flags = 0;
  std::span<const PageChange> changes = {};
};

// Appends the encoding of `commit` to `out`. Any thread; no state.
void encode_record(const Commit& commit, std::vector<std::byte>& out);

// A record as read back. Points into the bytes it was parsed from.
class RecordView {
 public:
  // Throws Error(kCorrupt) when the bytes are not one whole, valid record.
  static RecordView parse(std::span<const std::byte> bytes);

  Lsn lsn = 0;              // set by the reader; 0 when parsed alone
  RecordLocation location;  // set by the reader
  ObjectNumber object = 0;
  std::uint64_t number = 0;
  Lsn previous_lsn = 0;
  RecordLocation previous;
  std::int64_t time_ms = 0;
  std::uint32_t page_size = 0;
  std::uint32_t pages_before = 0;
  std::uint32_t pages_after = 0;
  std::uint32_t flags = 0;

  // Of the whole record.
  [[nodiscard]] std::size_t encoded_bytes() const noexcept { return body_.size(); }

  // Calls `visit(page, has_full_image)` for each changed page in ascending order.
  void for_each_page(
      const std::function<void(std::uint32_t page, bool has_full_image)>& visit) const;

  // Calls `visit(page, delta)` for each changed page in ascending order, with the delta
  // (page_delta.h) of the page before and after the commit; where there is no page, of zeros.
  void for_each_delta(
      const std::function<void(std::uint32_t page, std::span<const std::byte> delta)>& visit) const;

  // `content` holds the page (page_size bytes) as it was before the commit and holds it after the
  // commit on return; where the record has a full image, the old content does not matter.
  // No effect when the record does not change the page.
  void redo(std::uint32_t page, std::span<std::byte> content) const;

  // The opposite: from after the commit to before it. The old content must be exact.
  void undo(std::uint32_t page, std::span<std::byte> content) const;

 private:
  std::span<const std::byte> body_;
};

}  // namespace perdure::log
