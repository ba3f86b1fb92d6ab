#include "log/history_writer.h"

#include <algorithm>
#include <string>

#include <zstd.h>

#include "base/checksum.h"
#include "base/error.h"
#include "log/page_delta.h"

namespace perdure::log {
namespace {

// Of zstd: 3 takes half the time of 6 here, for a tenth more bytes.
constexpr int kCompressionLevel = 3;
// So much goes to the file at once and is synced then, in bytes: small enough that the log's own
// syncs never wait for a large burst.
constexpr std::size_t kWriteBytes = 1 << 20;
// The pages that a summary of one object may hold in memory, in bytes. An object that changes more
// of them in one segment gets none.
constexpr std::size_t kSummaryBytesMax = 16 << 20;

}  // namespace

void HistoryWriter::Summary::begin() {
  is_possible_ = true;
  page_size_ = 0;
  last_lsn_ = 0;
  pages_.clear();
}

void HistoryWriter::Summary::add(const RecordView& record) {
  if (page_size_ == 0) page_size_ = record.page_size;
  // Commits that are no chain of one page size are left to whoever reads them one by one.
  if (record.page_size != page_size_) is_possible_ = false;
  if (last_lsn_ != 0 && record.previous_lsn != last_lsn_) is_possible_ = false;
  last_lsn_ = record.lsn;
  record.for_each_delta([this](std::uint32_t page, std::span<const std::byte> delta) {
    if (!is_possible_) return;
    Bytes& difference = pages_[page];
    difference.resize(page_size_);
    apply_delta(delta, difference);
    is_possible_ = pages_.size() * page_size_ <= kSummaryBytesMax;
  });
  if (!is_possible_) pages_.clear();
}

Bytes HistoryWriter::Summary::encode(std::uint64_t commits, std::uint64_t commit_bytes) const {
  Bytes out;
  if (!is_possible_ || commits < 2) return out;
  std::uint32_t previous_page = 0;
  for (const auto& [page, difference] : pages_) {
    encode_summary_page(page, previous_page, difference, out);
    previous_page = page;
    if (out.size() >= commit_bytes) return {};
  }
  return out;
}

HistoryWriter::HistoryWriter(FileSystem& files, const std::filesystem::path& path,
                             const HistoryHeader& header)
    : file_(files.open(path, FileSystem::Mode::kCreate)),
      compressor_(ZSTD_createCCtx(), ZSTD_freeCCtx),
      header_(header) {
  if (!compressor_) throw std::bad_alloc();
  file_->truncate(0);
  // The header comes last: its place is kept free.
  write(Bytes(kHistoryHeaderBytes));
}

HistoryWriter::~HistoryWriter() = default;

void HistoryWriter::add(const RecordView& record) {
  if (object_.commits == 0 || object_.object != record.object) {
    end_object();
    begin_object(record);
  }
  if (chunk_.commits == 0) {
    chunk_.min_time_ms = record.time_ms;
    encoder_.reset();
  }
  encoder_.add(record, header_, encoded_);
  summary_.add(record);
  ++object_.commits;
  object_.last_lsn = record.lsn;
  object_.page_size = record.page_size;
  object_.pages_after = record.pages_after;
  object_.min_time_ms = std::min(object_.min_time_ms, record.time_ms);
  ++chunk_.commits;
  chunk_.last_lsn = record.lsn;
  chunk_.min_time_ms = std::min(chunk_.min_time_ms, record.time_ms);
  if (encoded_.size() >= kHistoryChunkBytes) end_chunk();
}

void HistoryWriter::begin_object(const RecordView& record) {
  object_ = {.object = record.object,
             .first_lsn = record.lsn,
             .min_time_ms = record.time_ms,
             .previous_lsn = record.previous_lsn,
             .previous = record.previous,
             .pages_before = record.pages_before};
  summary_.begin();
  commit_bytes_ = 0;
}

void HistoryWriter::end_chunk() {
  if (chunk_.commits == 0) return;
  chunk_.bytes = encoded_.size();
  object_.chunks.push_back(chunk_);
  put(encoded_);
  commit_bytes_ += encoded_.size();
  encoded_.clear();
  chunk_ = {};
}

void HistoryWriter::end_object() {
  if (object_.commits == 0) return;
  end_chunk();
  const Bytes summary = summary_.encode(object_.commits, commit_bytes_);
  object_.summary_bytes = summary.size();
  put(summary);
  Bytes index;
  encode_object_index(object_, header_, index);
  ByteWriter table(table_);
  table.fixed(object_.object);
  table.fixed(address());
  table.fixed(static_cast<std::uint32_t>(index.size()));
  put(index);
  ++header_.objects;
  header_.commits += object_.commits;
  object_ = {};
}

HistoryWriter::Result HistoryWriter::finish() {
  end_object();
  if (!block_.empty()) end_block();
  write_table();
  write_directory();
  flush_written();
  file_->write(0, encode_history_header(header_));
  file_->sync();
  return {header_, offset_};
}

void HistoryWriter::write_table() {
  constexpr std::size_t kBytes = kHistoryTableEntriesPerBlock * kHistoryTableEntryBytes;
  header_.table_block = static_cast<std::uint32_t>(block_sizes_.size());
  const std::span<const std::byte> table(table_);
  for (std::size_t at = 0; at < table.size(); at += kBytes) {
    const auto part = table.subspan(at, std::min(kBytes, table.size() - at));
    table_starts_.push_back(load<ObjectNumber>(part.data()));
    put(part);
    if (!block_.empty()) end_block();
  }
  header_.blocks = static_cast<std::uint32_t>(block_sizes_.size());
}

void HistoryWriter::write_directory() {
  Bytes directory;
  ByteWriter writer(directory);
  for (const std::uint32_t size : block_sizes_) writer.fixed(size);
  for (const ObjectNumber start : table_starts_) writer.fixed(start);
  header_.directory_offset = offset_;
  header_.directory_checksum = checksum(directory);
  write(directory);
}

std::uint64_t HistoryWriter::address() const noexcept {
  return block_sizes_.size() * kHistoryBlockBytes + block_.size();
}

void HistoryWriter::put(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kHistoryBlockBytes - block_.size());
    block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (block_.size() == kHistoryBlockBytes) end_block();
  }
}

void HistoryWriter::end_block() {
  Bytes out(kHistoryBlockHeaderBytes + ZSTD_compressBound(block_.size()));
  const std::span data = std::span(out).subspan(kHistoryBlockHeaderBytes);
  const std::size_t size = ZSTD_compressCCtx(compressor_.get(), data.data(), data.size(),
                                             block_.data(), block_.size(), kCompressionLevel);
  if (ZSTD_isError(size) != 0) {
    throw Error(ErrorCode::kIo, std::string("Cannot compress: ") + ZSTD_getErrorName(size) + ".");
  }
  out.resize(kHistoryBlockHeaderBytes + size);
  seal_history_block(out, block_.size(), header_, offset_);
  block_sizes_.push_back(static_cast<std::uint32_t>(out.size()));
  block_.clear();
  write(out);
}

void HistoryWriter::write(std::span<const std::byte> bytes) {
  written_.insert(written_.end(), bytes.begin(), bytes.end());
  offset_ += bytes.size();
  if (written_.size() < kWriteBytes) return;
  flush_written();
  file_->sync();
}

void HistoryWriter::flush_written() {
  file_->write(written_at_, written_);
  written_at_ += written_.size();
  written_.clear();
}

}  // namespace perdure::log
