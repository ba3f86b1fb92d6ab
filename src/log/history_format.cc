#include "log/history_format.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string_view>
#include <utility>

#include "base/checksum.h"
#include "base/error.h"
#include "log/page_delta.h"

namespace perdure::log {
namespace {

constexpr std::uint64_t kHistoryMagic = 0x0a73696864726570;  // "perdhis\n"
constexpr std::size_t kHeaderChecksumAt = 112;
constexpr std::string_view kHistorySuffix = ".history";
constexpr std::string_view kUnsealedSuffix = ".unsealed";

[[noreturn]] void corrupt(const char* problem) {
  throw Error(ErrorCode::kCorrupt, std::string("The history file ") + problem + ".");
}

// Differences of either sign as small numbers. Unsigned, so that no input overflows.
std::uint64_t zigzag(std::uint64_t value, std::uint64_t base) noexcept {
  const std::uint64_t difference = value - base;
  return difference << 1 ^ (0 - (difference >> 63));
}

std::uint64_t add_zigzag(std::uint64_t base, std::uint64_t coded) noexcept {
  return base + (coded >> 1 ^ (0 - (coded & 1)));
}

// Of the content; the seed is the two sizes and the place.
std::uint64_t block_checksum(std::span<const std::byte> block, const HistoryHeader& header,
                             std::uint64_t offset) {
  return checksum(block.subspan(kHistoryBlockHeaderBytes),
                  load<std::uint64_t>(block.data()) ^ place_seed(header.id, header.number, offset));
}

std::uint64_t bits(std::int64_t value) noexcept { return static_cast<std::uint64_t>(value); }

std::uint32_t narrow(std::uint64_t value) {
  if (value > std::numeric_limits<std::uint32_t>::max()) corrupt("holds an impossible number");
  return static_cast<std::uint32_t>(value);
}

std::uint32_t page_size_of(std::uint64_t shift) {
  if (shift < 9 || shift > 16) corrupt("holds an impossible page size");
  return 1u << shift;
}

// Names are those of the segments, with another suffix.
std::filesystem::path path_with(std::string_view suffix, const std::filesystem::path& directory,
                                std::uint64_t number) {
  std::filesystem::path name = segment_name(number);
  return directory / name.replace_extension(suffix);
}

std::optional<std::uint64_t> parse_name_with(std::string_view suffix, const std::string& name) {
  if (!name.ends_with(suffix)) return std::nullopt;
  std::filesystem::path segment = name;
  return parse_segment_name(segment.replace_extension(".log").string());
}

}  // namespace

std::filesystem::path history_path(const std::filesystem::path& directory, std::uint64_t number) {
  return path_with(kHistorySuffix, directory, number);
}

std::optional<std::uint64_t> parse_history_name(const std::string& name) {
  return parse_name_with(kHistorySuffix, name);
}

std::filesystem::path unsealed_path(const std::filesystem::path& directory, std::uint64_t number) {
  return path_with(kUnsealedSuffix, directory, number);
}

std::optional<std::uint64_t> parse_unsealed_name(const std::string& name) {
  return parse_name_with(kUnsealedSuffix, name);
}

Bytes encode_history_header(const HistoryHeader& header) {
  Bytes out;
  ByteWriter writer(out);
  writer.fixed(kHistoryMagic);
  writer.fixed(kHistoryVersion);
  writer.fixed(std::uint32_t{0});
  writer.fixed(header.id.high);
  writer.fixed(header.id.low);
  writer.fixed(header.number);
  writer.fixed(header.first_lsn);
  writer.fixed(header.last_lsn);
  writer.fixed(header.min_time_ms);
  writer.fixed(header.max_time_ms);
  writer.fixed(header.objects);
  writer.fixed(header.commits);
  writer.fixed(header.directory_offset);
  writer.fixed(header.blocks);
  writer.fixed(header.table_block);
  writer.fixed(header.directory_checksum);
  writer.fixed(checksum(out));
  return out;
}

HistoryHeader decode_history_header(std::span<const std::byte> bytes, const std::string& path) {
  const auto damaged = [&path](const char* problem) {
    throw Error(ErrorCode::kCorrupt, "The history file " + path + " " + problem + " at byte 0.");
  };
  if (bytes.size() < kHistoryHeaderBytes) damaged("is cut short");
  ByteReader reader(bytes.first(kHistoryHeaderBytes), "history file");
  if (reader.fixed<std::uint64_t>() != kHistoryMagic) damaged("does not begin like one");
  const auto version = reader.fixed<std::uint32_t>();
  if (checksum(bytes.first(kHeaderChecksumAt)) !=
      load<std::uint64_t>(bytes.data() + kHeaderChecksumAt)) {
    damaged("does not match its checksum");
  }
  if (version > kHistoryVersion) {
    throw Error(ErrorCode::kVersion, "The history file " + path + " has format version " +
                                         std::to_string(version) +
                                         ", and this build of Perdure reads up to version " +
                                         std::to_string(kHistoryVersion) + ".");
  }
  reader.fixed<std::uint32_t>();
  HistoryHeader header;
  header.id.high = reader.fixed<std::uint64_t>();
  header.id.low = reader.fixed<std::uint64_t>();
  header.number = reader.fixed<std::uint64_t>();
  header.first_lsn = reader.fixed<Lsn>();
  header.last_lsn = reader.fixed<Lsn>();
  header.min_time_ms = reader.fixed<std::int64_t>();
  header.max_time_ms = reader.fixed<std::int64_t>();
  header.objects = reader.fixed<std::uint64_t>();
  header.commits = reader.fixed<std::uint64_t>();
  header.directory_offset = reader.fixed<std::uint64_t>();
  header.blocks = reader.fixed<std::uint32_t>();
  header.table_block = reader.fixed<std::uint32_t>();
  header.directory_checksum = reader.fixed<std::uint64_t>();
  if (header.table_block > header.blocks) damaged("has an impossible header");
  return header;
}

void seal_history_block(std::span<std::byte> block, std::size_t raw_bytes,
                        const HistoryHeader& header, std::uint64_t offset) {
  store(block.data(), static_cast<std::uint32_t>(block.size()));
  store(block.data() + 4, static_cast<std::uint32_t>(raw_bytes));
  store(block.data() + 8, block_checksum(block, header, offset));
}

std::optional<std::uint32_t> check_history_block(std::span<const std::byte> block,
                                                 const HistoryHeader& header,
                                                 std::uint64_t offset) {
  if (block.size() < kHistoryBlockHeaderBytes ||
      load<std::uint32_t>(block.data()) != block.size() ||
      load<std::uint64_t>(block.data() + 8) != block_checksum(block, header, offset)) {
    return std::nullopt;
  }
  const auto raw_bytes = load<std::uint32_t>(block.data() + 4);
  if (raw_bytes > kHistoryBlockBytes) return std::nullopt;
  return raw_bytes;
}

void encode_object_index(const SealedObject& object, const HistoryHeader& header, Bytes& out) {
  ByteWriter writer(out);
  writer.varint(object.commits);
  writer.varint(object.first_lsn - header.first_lsn);
  writer.varint(object.last_lsn - object.first_lsn);
  writer.varint(bits(object.min_time_ms) - bits(header.min_time_ms));
  writer.varint(object.previous_lsn == 0 ? 0 : object.first_lsn - object.previous_lsn);
  if (object.previous_lsn != 0) {
    writer.varint(header.number - object.previous.segment);
    writer.varint(object.previous.offset);
  }
  writer.varint(static_cast<std::uint64_t>(std::countr_zero(object.page_size)));
  writer.varint(object.pages_before);
  writer.varint(object.pages_after);
  writer.varint(object.summary_bytes);
  writer.varint(object.chunks.size());
  Lsn last = object.first_lsn;
  for (const SealedObject::Chunk& chunk : object.chunks) {
    writer.varint(chunk.bytes);
    writer.varint(chunk.commits);
    writer.varint(chunk.last_lsn - last);
    writer.varint(bits(chunk.min_time_ms) - bits(object.min_time_ms));
    last = chunk.last_lsn;
  }
}

SealedObject decode_object_index(std::span<const std::byte> bytes, ObjectNumber object,
                                 std::uint64_t index_address, const HistoryHeader& header) {
  ByteReader reader(bytes, "history file");
  SealedObject out{.object = object};
  out.commits = reader.varint();
  out.first_lsn = header.first_lsn + reader.varint();
  out.last_lsn = out.first_lsn + reader.varint();
  out.min_time_ms = static_cast<std::int64_t>(bits(header.min_time_ms) + reader.varint());
  const std::uint64_t distance = reader.varint();
  if (distance > out.first_lsn) corrupt("holds an impossible number");
  if (distance != 0) {
    out.previous_lsn = out.first_lsn - distance;
    out.previous.segment = header.number - reader.varint();
    out.previous.offset = narrow(reader.varint());
  }
  out.page_size = page_size_of(reader.varint());
  out.pages_before = narrow(reader.varint());
  out.pages_after = narrow(reader.varint());
  out.summary_bytes = reader.varint();
  const std::uint64_t chunks = reader.varint();
  if (chunks == 0 || chunks > bytes.size()) corrupt("holds an impossible number");
  std::uint64_t length = out.summary_bytes;
  Lsn last = out.first_lsn;
  for (std::uint64_t i = 0; i < chunks; ++i) {
    SealedObject::Chunk chunk;
    chunk.bytes = reader.varint();
    chunk.commits = reader.varint();
    chunk.last_lsn = last += reader.varint();
    chunk.min_time_ms = static_cast<std::int64_t>(bits(out.min_time_ms) + reader.varint());
    length += chunk.bytes;
    if (length > index_address || chunk.bytes > index_address || chunk.commits == 0) {
      corrupt("holds an impossible number");
    }
    out.chunks.push_back(chunk);
  }
  if (out.summary_bytes > index_address || !reader.done()) corrupt("holds an impossible number");
  std::uint64_t address = index_address - length;
  for (SealedObject::Chunk& chunk : out.chunks) {
    chunk.address = address;
    address += chunk.bytes;
  }
  out.summary_address = address;
  return out;
}

void ChunkEncoder::add(const RecordView& record, const HistoryHeader& header, Bytes& out) {
  if (std::exchange(is_first_, false)) {
    last_ = {.lsn = header.first_lsn, .time_ms = header.min_time_ms};
  }
  CommitInfo info{.lsn = record.lsn,
                  .number = record.number,
                  .time_ms = record.time_ms,
                  .pages_after = record.pages_after};
  pages_.clear();
  deltas_.clear();
  ByteWriter pages(pages_);
  std::uint32_t last_page = 0;
  record.for_each_delta([&](std::uint32_t page, std::span<const std::byte> delta) {
    pages.varint(page - last_page);
    pages.varint(delta.size());
    deltas_.insert(deltas_.end(), delta.begin(), delta.end());
    last_page = page;
    ++info.changed_pages;
  });
  ByteWriter writer(out);
  writer.varint(record.lsn - last_.lsn);
  writer.varint(record.previous_lsn == 0 ? 0 : record.lsn - record.previous_lsn);
  writer.varint(zigzag(record.number, last_.number + 1));
  writer.varint(zigzag(bits(record.time_ms), bits(last_.time_ms)));
  writer.varint(static_cast<std::uint64_t>(std::countr_zero(record.page_size)));
  writer.varint(zigzag(record.pages_before, last_.pages_after));
  writer.varint(zigzag(record.pages_after, record.pages_before));
  writer.varint(record.flags);
  writer.varint(info.changed_pages);
  writer.bytes(pages_);
  writer.bytes(deltas_);
  last_ = info;
}

std::vector<SealedCommit> decode_chunk(std::span<const std::byte> bytes, std::uint64_t commits,
                                       const HistoryHeader& header) {
  if (commits > bytes.size()) corrupt("holds an impossible number");
  std::vector<SealedCommit> out;
  out.reserve(commits);
  ByteReader reader(bytes, "history file");
  CommitInfo last{.lsn = header.first_lsn, .time_ms = header.min_time_ms};
  while (out.size() < commits) {
    SealedCommit commit;
    CommitInfo& info = commit.info;
    info.lsn = last.lsn + reader.varint();
    const std::uint64_t distance = reader.varint();
    info.previous_lsn = distance == 0 ? 0 : info.lsn - distance;
    info.number = add_zigzag(last.number + 1, reader.varint());
    info.time_ms = static_cast<std::int64_t>(add_zigzag(bits(last.time_ms), reader.varint()));
    info.page_size = page_size_of(reader.varint());
    info.pages_before = narrow(add_zigzag(last.pages_after, reader.varint()));
    info.pages_after = narrow(add_zigzag(info.pages_before, reader.varint()));
    info.flags = narrow(reader.varint());
    info.changed_pages = narrow(reader.varint());
    const std::size_t table_at = reader.position();
    std::uint64_t page = 0;
    for (std::uint32_t i = 0; i < info.changed_pages; ++i) {
      page = narrow(page + reader.varint());
      info.bytes += narrow(reader.varint());
    }
    commit.pages = bytes.subspan(table_at, reader.position() - table_at);
    commit.deltas = reader.bytes(info.bytes);
    last = info;
    out.push_back(commit);
  }
  if (!reader.done()) corrupt("has bytes that belong to no commit");
  return out;
}

void encode_summary_page(std::uint32_t page, std::uint32_t previous_page,
                         std::span<const std::byte> difference, Bytes& out) {
  Bytes packed;
  pack_page(difference, packed);
  ByteWriter writer(out);
  writer.varint(page - previous_page);
  writer.varint(packed.size());
  writer.bytes(packed);
}

void for_each_summary_page(
    std::span<const std::byte> bytes,
    const std::function<void(std::uint32_t page, std::span<const std::byte> delta)>& visit) {
  ByteReader reader(bytes, "history file");
  std::uint64_t page = 0;
  while (!reader.done()) {
    page = narrow(page + reader.varint());
    visit(static_cast<std::uint32_t>(page), reader.bytes(reader.varint()));
  }
}

}  // namespace perdure::log
