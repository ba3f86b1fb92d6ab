#include "log/record.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "log/page_delta.h"

// The bytes are described in docs/log-format.md.

namespace perdure::log {
namespace {

constexpr std::uint8_t kRecordVersion = 1;
constexpr std::uint64_t kRecordBytesMax = 1ull << 30;

constexpr std::size_t kLengthAt = 0;
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kPageShiftAt = 5;
constexpr std::size_t kChecksumAt = 8;
constexpr std::size_t kObjectAt = 16;
constexpr std::size_t kNumberAt = 24;
constexpr std::size_t kPreviousLsnAt = 32;
constexpr std::size_t kPreviousSegmentAt = 40;
constexpr std::size_t kTimeAt = 48;
constexpr std::size_t kPreviousOffsetAt = 56;
constexpr std::size_t kPagesBeforeAt = 60;
constexpr std::size_t kPagesAfterAt = 64;
constexpr std::size_t kFlagsAt = 68;
constexpr std::size_t kPageCountAt = 72;
constexpr std::size_t kHeaderBytes = 76;

// One entry of the page table: the page, and where its data ends (counted from the end of the
// table). The table has fixed entries so that a page is found by bisection.
constexpr std::size_t kTableEntryBytes = 8;

// The first byte of a page's data.
constexpr std::uint8_t kBeforeIsZeros = 1;
constexpr std::uint8_t kAfterIsZeros = 2;
constexpr std::uint8_t kFullImage = 4;
constexpr std::uint8_t kPageFlags = kBeforeIsZeros | kAfterIsZeros | kFullImage;

[[noreturn]] void corrupt(const char* problem) {
  throw Error(ErrorCode::kCorrupt, std::string("The log record ") + problem + ".");
}

// Everything but the checksum itself: the first eight bytes are the seed of the rest.
std::uint64_t record_checksum(std::span<const std::byte> record) {
  return checksum(record.subspan(kObjectAt), load<std::uint64_t>(record.data()));
}

void check_change(const PageChange& change, std::uint32_t page_size) {
  const auto fits = [page_size](std::span<const std::byte> content) {
    return content.empty() || content.size() == page_size;
  };
  if (change.page == 0 || !fits(change.before) || !fits(change.after)) {
    throw Error(ErrorCode::kInvalid, "A changed page has no number or not the size of a page.");
  }
}

void append_page_data(const PageChange& change, std::vector<std::byte>& out) {
  const bool fresh = change.before.empty();
  const bool gone = change.after.empty();
  const bool image = change.full_image && !fresh && !gone;
  out.push_back(static_cast<std::byte>((fresh ? kBeforeIsZeros : 0) | (gone ? kAfterIsZeros : 0) |
                                       (image ? kFullImage : 0)));
  if (image) {
    // The length of the image precedes it, and is known only afterwards: four bytes are kept free.
    const std::size_t length_at = out.size();
    out.resize(length_at + sizeof(std::uint32_t));
    pack_page(change.after, out);
    store(out.data() + length_at,
          static_cast<std::uint32_t>(out.size() - length_at - sizeof(std::uint32_t)));
  }
  append_delta(change.before, change.after, out);
}

std::vector<const PageChange*> sorted(std::span<const PageChange> changes) {
  std::vector<const PageChange*> order(changes.size());
  std::transform(changes.begin(), changes.end(), order.begin(),
                 [](const PageChange& change) { return &change; });
  const auto by_page = [](const PageChange* a, const PageChange* b) { return a->page < b->page; };
  if (!std::is_sorted(order.begin(), order.end(), by_page)) {
    std::sort(order.begin(), order.end(), by_page);
  }
  const auto same = [](const PageChange* a, const PageChange* b) { return a->page == b->page; };
  if (std::adjacent_find(order.begin(), order.end(), same) != order.end()) {
    throw Error(ErrorCode::kInvalid, "A commit changes the same page twice.");
  }
  return order;
}

void fill_header(const Commit& commit, std::byte* header) {
  store(header + kVersionAt, kRecordVersion);
  store(header + kPageShiftAt, static_cast<std::uint8_t>(std::countr_zero(commit.page_size)));
  store(header + kObjectAt, commit.object);
  store(header + kNumberAt, commit.number);
  store(header + kPreviousLsnAt, commit.previous_lsn);
  store(header + kPreviousSegmentAt, commit.previous.segment);
  store(header + kTimeAt, commit.time_ms);
  store(header + kPreviousOffsetAt, commit.previous.offset);
  store(header + kPagesBeforeAt, commit.pages_before);
  store(header + kPagesAfterAt, commit.pages_after);
  store(header + kFlagsAt, commit.flags);
  store(header + kPageCountAt, static_cast<std::uint32_t>(commit.changes.size()));
}

void append_pages(const Commit& commit, std::size_t start, std::vector<std::byte>& out) {
  const std::size_t data_at = start + kHeaderBytes + commit.changes.size() * kTableEntryBytes;
  std::size_t entry_at = start + kHeaderBytes;
  for (const PageChange* change : sorted(commit.changes)) {
    check_change(*change, commit.page_size);
    append_page_data(*change, out);
    if (out.size() - start > kRecordBytesMax) {
      throw Error(ErrorCode::kFull, "The commit is larger than a log record may be (1 GiB).");
    }
    store(out.data() + entry_at, change->page);
    store(out.data() + entry_at + 4, static_cast<std::uint32_t>(out.size() - data_at));
    entry_at += kTableEntryBytes;
  }
}

bool is_page_size(std::uint32_t size) {
  return size >= 512 && size <= kPageBytesMax && std::has_single_bit(size);
}

// The page table and the data of the pages, of a record that was checked by parse.
class PageTable {
 public:
  explicit PageTable(std::span<const std::byte> record)
      : table_(record.data() + kHeaderBytes),
        count_(load<std::uint32_t>(record.data() + kPageCountAt)),
        data_(record.subspan(kHeaderBytes + count_ * kTableEntryBytes)) {}

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint32_t page(std::size_t i) const noexcept {
    return load<std::uint32_t>(table_ + i * kTableEntryBytes);
  }
  [[nodiscard]] std::uint32_t end(std::size_t i) const noexcept {
    return load<std::uint32_t>(table_ + i * kTableEntryBytes + 4);
  }
  [[nodiscard]] std::span<const std::byte> data(std::size_t i) const noexcept {
    const std::uint32_t start = i == 0 ? 0 : end(i - 1);
    return data_.subspan(start, end(i) - start);
  }
  // The data of a page; empty when the record does not change it.
  [[nodiscard]] std::span<const std::byte> find(std::uint32_t page_number) const noexcept {
    std::size_t low = 0;
    for (std::size_t high = count_; low < high;) {
      const std::size_t middle = low + (high - low) / 2;
      if (page(middle) < page_number) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == count_ || page(low) != page_number) return {};
    return data(low);
  }

  void check() const {
    std::uint32_t last_page = 0;
    std::uint32_t last_end = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (page(i) <= last_page || end(i) <= last_end || end(i) > data_.size()) {
        corrupt("has a damaged page table");
      }
      last_page = page(i);
      last_end = end(i);
      if ((load<std::uint8_t>(data(i).data()) & ~kPageFlags) != 0)
        corrupt("has unknown page flags");
    }
    if (last_end != data_.size()) corrupt("has bytes that belong to no page");
  }

 private:
  const std::byte* table_;
  std::size_t count_;
  std::span<const std::byte> data_;
};

// The data of one page, taken apart.
struct PageData {
  std::uint8_t flags = 0;
  std::span<const std::byte> image;
  std::span<const std::byte> delta;

  explicit PageData(std::span<const std::byte> data) {
    ByteReader reader(data, "log record");
    flags = reader.fixed<std::uint8_t>();
    if ((flags & kFullImage) != 0) image = reader.bytes(reader.fixed<std::uint32_t>());
    delta = reader.rest();
  }
};

void check_content(std::span<const std::byte> content, std::uint32_t page_size) {
  if (content.size() != page_size) {
    throw Error(ErrorCode::kInvalid, "A page of another size than the log record's.");
  }
}

void check_header(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes ||
      load<std::uint32_t>(bytes.data() + kLengthAt) != bytes.size()) {
    corrupt("has a wrong length");
  }
  if (load<std::uint64_t>(bytes.data() + kChecksumAt) != record_checksum(bytes)) {
    corrupt("does not match its checksum");
  }
  const auto version = load<std::uint8_t>(bytes.data() + kVersionAt);
  if (version > kRecordVersion) {
    throw Error(ErrorCode::kVersion,
                "The log record has format version " + std::to_string(version) +
                    ", and this build reads up to version " + std::to_string(kRecordVersion) + ".");
  }
  const auto shift = load<std::uint8_t>(bytes.data() + kPageShiftAt);
  if (shift > 16 || !is_page_size(1u << shift)) corrupt("has an impossible page size");
  const std::uint64_t count = load<std::uint32_t>(bytes.data() + kPageCountAt);
  if (count * kTableEntryBytes > bytes.size() - kHeaderBytes) corrupt("has a wrong page count");
}

}  // namespace

void encode_record(const Commit& commit, std::vector<std::byte>& out) {
  if (!is_page_size(commit.page_size)) {
    throw Error(ErrorCode::kInvalid, "A page size is a power of two from 512 to 65536.");
  }
  const std::size_t start = out.size();
  try {
    out.resize(start + kHeaderBytes + commit.changes.size() * kTableEntryBytes);
    append_pages(commit, start, out);
  } catch (...) {
    out.resize(start);
    throw;
  }
  fill_header(commit, out.data() + start);
  const std::span record(out.data() + start, out.size() - start);
  store(record.data() + kLengthAt, static_cast<std::uint32_t>(record.size()));
  store(record.data() + kChecksumAt, record_checksum(record));
}

RecordView RecordView::parse(std::span<const std::byte> bytes) {
  check_header(bytes);
  PageTable(bytes).check();
  const std::byte* header = bytes.data();
  RecordView view;
  view.object = load<std::uint64_t>(header + kObjectAt);
  view.number = load<std::uint64_t>(header + kNumberAt);
  view.previous_lsn = load<std::uint64_t>(header + kPreviousLsnAt);
  view.previous = {load<std::uint64_t>(header + kPreviousSegmentAt),
                   load<std::uint32_t>(header + kPreviousOffsetAt)};
  view.time_ms = load<std::int64_t>(header + kTimeAt);
  view.page_size = 1u << load<std::uint8_t>(header + kPageShiftAt);
  view.pages_before = load<std::uint32_t>(header + kPagesBeforeAt);
  view.pages_after = load<std::uint32_t>(header + kPagesAfterAt);
  view.flags = load<std::uint32_t>(header + kFlagsAt);
  view.body_ = bytes;
  return view;
}

void RecordView::for_each_page(
    const std::function<void(std::uint32_t page, bool has_full_image)>& visit) const {
  const PageTable table(body_);
  for (std::size_t i = 0; i < table.count(); ++i) {
    // Each flag says that the page after the commit follows from the record alone.
    visit(table.page(i), load<std::uint8_t>(table.data(i).data()) != 0);
  }
}

void RecordView::for_each_delta(
    const std::function<void(std::uint32_t page, std::span<const std::byte> delta)>& visit) const {
  const PageTable table(body_);
  for (std::size_t i = 0; i < table.count(); ++i) {
    visit(table.page(i), PageData(table.data(i)).delta);
  }
}

void RecordView::redo(std::uint32_t page, std::span<std::byte> content) const {
  check_content(content, page_size);
  const auto found = PageTable(body_).find(page);
  if (found.empty()) return;
  const PageData data(found);
  if ((data.flags & kAfterIsZeros) != 0) {
    std::memset(content.data(), 0, content.size());
  } else if ((data.flags & kFullImage) != 0) {
    unpack_page(data.image, content);
  } else if ((data.flags & kBeforeIsZeros) != 0) {
    unpack_page(data.delta, content);
  } else {
    apply_delta(data.delta, content);
  }
}

void RecordView::undo(std::uint32_t page, std::span<std::byte> content) const {
  check_content(content, page_size);
  const auto found = PageTable(body_).find(page);
  if (found.empty()) return;
  const PageData data(found);
  if ((data.flags & kBeforeIsZeros) != 0) {
    std::memset(content.data(), 0, content.size());
  } else if ((data.flags & kAfterIsZeros) != 0) {
    unpack_page(data.delta, content);
  } else {
    apply_delta(data.delta, content);
  }
}

}  // namespace perdure::log
