#include "log/history_file.h"

#include <algorithm>
#include <utility>

#include <zstd.h>

#include "base/checksum.h"
#include "base/error.h"

namespace perdure::log {
namespace {

HistoryFile::TableEntry decode_entry(const std::byte* bytes) {
  return {load<ObjectNumber>(bytes), load<std::uint64_t>(bytes + 8),
          load<std::uint32_t>(bytes + 16)};
}

}  // namespace

HistoryFile::HistoryFile(FileSystem& files, const std::filesystem::path& path, const LogId& id,
                         std::uint64_t number)
    : path_(path.string()), file_(files.open(path, FileSystem::Mode::kRead)) {
  const Header found = read_header(*file_, path_, id, number);
  header_ = found.header;
  read_directory(found.bytes);
}

HistoryFile::Header HistoryFile::read_header(File& file, const std::string& path, const LogId& id,
                                             std::uint64_t number) {
  Bytes bytes(kHistoryHeaderBytes);
  bytes.resize(file.read(0, bytes));
  const Header out{decode_history_header(bytes, path), file.size()};
  const HistoryHeader& header = out.header;
  const auto refuse = [&path](const std::string& problem) {
    throw Error(ErrorCode::kCorrupt, "The history file " + path + " " + problem + ".");
  };
  if (header.id != id) refuse("is of another log");
  if (header.number != number) {
    refuse("holds the history of segment " + std::to_string(header.number));
  }
  if (header.directory_offset < kHistoryHeaderBytes || header.directory_offset > out.bytes ||
      header.directory_bytes() != out.bytes - header.directory_offset) {
    refuse("has " + std::to_string(out.bytes) + " bytes, but should have " +
           std::to_string(header.directory_offset + header.directory_bytes()));
  }
  return out;
}

void HistoryFile::read_directory(std::uint64_t file_bytes) {
  Bytes bytes(file_bytes - header_.directory_offset);
  bytes.resize(file_->read(header_.directory_offset, bytes));
  if (bytes.size() != header_.directory_bytes() || checksum(bytes) != header_.directory_checksum) {
    corrupt("does not match its checksum", header_.directory_offset);
  }
  ByteReader reader(bytes, "history file");
  std::uint64_t offset = kHistoryHeaderBytes;
  for (std::uint32_t i = 0; i < header_.blocks; ++i) {
    offsets_.push_back(offset);
    offset += reader.fixed<std::uint32_t>();
  }
  offsets_.push_back(offset);
  for (std::uint32_t i = 0; i < header_.table_blocks(); ++i) {
    table_starts_.push_back(reader.fixed<ObjectNumber>());
  }
  if (offset != header_.directory_offset) {
    corrupt("has a directory that does not fit its blocks", header_.directory_offset);
  }
}

void HistoryFile::corrupt(const std::string& problem, std::uint64_t offset) const {
  throw Error(ErrorCode::kCorrupt, "The history file " + path_ + " " + problem + " at byte " +
                                       std::to_string(offset) + ".");
}

void HistoryFile::read_block(std::uint32_t index, Bytes& out) const {
  const std::uint64_t offset = offsets_[index];
  Bytes stored(offsets_[index + 1] - offset);
  stored.resize(file_->read(offset, stored));
  const auto raw_bytes = check_history_block(stored, header_, offset);
  if (stored.size() != offsets_[index + 1] - offset || !raw_bytes) {
    corrupt("does not match its checksum", offset);
  }
  out.resize(*raw_bytes);
  const auto data = std::span(stored).subspan(kHistoryBlockHeaderBytes);
  const std::size_t size = ZSTD_decompress(out.data(), out.size(), data.data(), data.size());
  if (ZSTD_isError(size) != 0 || size != out.size()) corrupt("cannot be decompressed", offset);
}

// What is wrong inside a block is reported with the place of the block.
template <typename Action>
auto HistoryFile::Reader::located(std::uint64_t address, Action action) {
  try {
    return action();
  } catch (const Error& error) {
    const std::string what = error.what();
    if (error.code() != ErrorCode::kCorrupt || what.find(file_->path()) != std::string::npos) throw;
    throw Error(error.code(), what + " It is in the block at byte " +
                                  std::to_string(offset_of(address)) + " of " + file_->path() +
                                  ".");
  }
}

std::uint64_t HistoryFile::Reader::offset_of(std::uint64_t address) const {
  const std::uint64_t index = address / kHistoryBlockBytes;
  return file_->block_offset(
      static_cast<std::uint32_t>(std::min<std::uint64_t>(index, file_->header().blocks)));
}

const Bytes& HistoryFile::Reader::block(std::uint32_t index) {
  if (block_index_ != index) {
    block_index_.reset();
    file_->read_block(index, block_);
    block_index_ = index;
  }
  return block_;
}

void HistoryFile::Reader::read(std::uint64_t address, std::uint64_t bytes, Bytes& out) {
  const auto outside = [] {
    throw Error(ErrorCode::kCorrupt, "The history file refers to a place that it does not have.");
  };
  const std::uint64_t end = std::uint64_t{file_->header().table_block} * kHistoryBlockBytes;
  if (address > end || bytes > end - address) outside();
  out.clear();
  while (out.size() < bytes) {
    const Bytes& from = block(static_cast<std::uint32_t>(address / kHistoryBlockBytes));
    const std::size_t at = address % kHistoryBlockBytes;
    if (at >= from.size()) outside();
    const auto count = std::min<std::uint64_t>(bytes - out.size(), from.size() - at);
    out.insert(out.end(), from.begin() + static_cast<std::ptrdiff_t>(at),
               from.begin() + static_cast<std::ptrdiff_t>(at + count));
    address += count;
  }
}

auto HistoryFile::Reader::find_entry(ObjectNumber object) -> std::optional<TableEntry> {
  const auto& starts = file_->table_starts_;
  const auto part = std::upper_bound(starts.begin(), starts.end(), object);
  if (part == starts.begin()) return std::nullopt;
  const auto index = static_cast<std::uint32_t>(part - starts.begin()) - 1;
  const Bytes& table = block(file_->header().table_block + index);
  std::size_t low = 0;
  for (std::size_t high = table.size() / kHistoryTableEntryBytes; low < high;) {
    const std::size_t middle = low + (high - low) / 2;
    const TableEntry entry = decode_entry(table.data() + middle * kHistoryTableEntryBytes);
    if (entry.object == object) return entry;
    if (entry.object < object) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return std::nullopt;
}

void HistoryFile::Reader::for_each_entry(const std::function<void(const TableEntry&)>& visit) {
  for (std::uint32_t i = file_->header().table_block; i < file_->header().blocks; ++i) {
    const Bytes table = block(i);
    for (std::size_t at = 0; at + kHistoryTableEntryBytes <= table.size();
         at += kHistoryTableEntryBytes) {
      visit(decode_entry(table.data() + at));
    }
  }
}

SealedObject HistoryFile::Reader::read_index(const TableEntry& entry) {
  return located(entry.address, [&] {
    read(entry.address, entry.bytes, data_);
    return decode_object_index(data_, entry.object, entry.address, file_->header());
  });
}

std::optional<SealedObject> HistoryFile::Reader::find(ObjectNumber object) {
  const auto entry = find_entry(object);
  if (!entry) return std::nullopt;
  return read_index(*entry);
}

std::vector<SealedCommit> HistoryFile::Reader::commits(const SealedObject::Chunk& chunk) {
  return located(chunk.address, [&] {
    read(chunk.address, chunk.bytes, data_);
    return decode_chunk(data_, chunk.commits, file_->header());
  });
}

void HistoryFile::Reader::for_each_summary_page(
    const SealedObject& object,
    const std::function<void(std::uint32_t page, std::span<const std::byte> delta)>& visit) {
  located(object.summary_address, [&] {
    read(object.summary_address, object.summary_bytes, data_);
    log::for_each_summary_page(data_, visit);
  });
}

}  // namespace perdure::log
