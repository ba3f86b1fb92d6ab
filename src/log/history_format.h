#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/lsn.h"
#include "log/format.h"
#include "log/history.h"
#include "log/record.h"

// The bytes of history files: see docs/log-format.md. Only src/log includes this.
//
// The content of a history file is one stream, cut into blocks that are compressed each on their
// own. A place in it is an address: block × kHistoryBlockBytes + byte in the uncompressed block.

namespace perdure::log {

inline constexpr std::uint32_t kHistoryVersion = 1;
inline constexpr std::size_t kHistoryHeaderBytes = 120;
// Uncompressed. Small enough that finding one object does not decompress much.
inline constexpr std::size_t kHistoryBlockBytes = 64 << 10;
inline constexpr std::size_t kHistoryBlockHeaderBytes = 16;
// Commits of an object are read back in chunks of about this many bytes, or of one commit.
inline constexpr std::size_t kHistoryChunkBytes = 32 << 10;
inline constexpr std::size_t kHistoryTableEntryBytes = 20;
inline constexpr std::size_t kHistoryTableEntriesPerBlock =
    kHistoryBlockBytes / kHistoryTableEntryBytes;
// Beside the directory of the log.
inline constexpr const char* kHistoryDirectory = "history";
inline constexpr const char* kHistoryTempName = "sealing.tmp";

[[nodiscard]] std::filesystem::path history_path(const std::filesystem::path& directory,
                                                 std::uint64_t number);
// The number in the name of a history file; nothing when it is not one.
[[nodiscard]] std::optional<std::uint64_t> parse_history_name(const std::string& name);

// An empty file that says with its name: segments up to this one were given back unsealed, as no
// history was kept then. So what is missing among them is not lost.
[[nodiscard]] std::filesystem::path unsealed_path(const std::filesystem::path& directory,
                                                  std::uint64_t number);
[[nodiscard]] std::optional<std::uint64_t> parse_unsealed_name(const std::string& name);

struct HistoryHeader {
  LogId id;
  std::uint64_t number = 0;      // of the segment that it was made from
  Lsn first_lsn = 0;             // of that segment's records, kept or not
  Lsn last_lsn = 0;              // first_lsn - 1 when there was none
  std::int64_t min_time_ms = 0;  // likewise; 0 when there was none
  std::int64_t max_time_ms = 0;
  std::uint64_t objects = 0;
  std::uint64_t commits = 0;           // that are kept
  std::uint64_t directory_offset = 0;  // in the file
  std::uint32_t blocks = 0;
  std::uint32_t table_block = 0;  // the first block of the table of objects
  std::uint64_t directory_checksum = 0;

  [[nodiscard]] std::uint32_t table_blocks() const noexcept { return blocks - table_block; }
  // One number for each block, and one for each block of the table.
  [[nodiscard]] std::uint64_t directory_bytes() const noexcept {
    return std::uint64_t{blocks} * 4 + std::uint64_t{table_blocks()} * 8;
  }
};

[[nodiscard]] Bytes encode_history_header(const HistoryHeader& header);
// Throws Error: kCorrupt, kVersion, naming `path`.
[[nodiscard]] HistoryHeader decode_history_header(std::span<const std::byte> bytes,
                                                  const std::string& path);

// A block as it is stored at `offset` of the file: kHistoryBlockHeaderBytes, then what was
// compressed. Sets the header.
void seal_history_block(std::span<std::byte> block, std::size_t raw_bytes,
                        const HistoryHeader& header, std::uint64_t offset);
// The size of its content; nothing when it does not match its checksum.
[[nodiscard]] std::optional<std::uint32_t> check_history_block(std::span<const std::byte> block,
                                                               const HistoryHeader& header,
                                                               std::uint64_t offset);

// The commits of one object in one history file.
struct SealedObject {
  struct Chunk {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
    std::uint64_t commits = 0;
    Lsn last_lsn = 0;
    std::int64_t min_time_ms = 0;
  };
  ObjectNumber object = 0;
  std::uint64_t commits = 0;
  Lsn first_lsn = 0;
  Lsn last_lsn = 0;
  std::int64_t min_time_ms = 0;
  Lsn previous_lsn = 0;  // of the first commit, with its location
  RecordLocation previous = {};
  std::uint32_t page_size = 0;     // of the last commit
  std::uint32_t pages_before = 0;  // before the first commit
  std::uint32_t pages_after = 0;   // after the last one
  std::uint64_t summary_address = 0;
  std::uint64_t summary_bytes = 0;  // 0: there is none
  std::vector<Chunk> chunks = {};   // in the order of the commits
};

// The chunks and the summary end where the index starts, so their addresses are not stored.
void encode_object_index(const SealedObject& object, const HistoryHeader& header, Bytes& out);
[[nodiscard]] SealedObject decode_object_index(std::span<const std::byte> bytes,
                                               ObjectNumber object, std::uint64_t index_address,
                                               const HistoryHeader& header);

// A commit as a history file has it. Points into the bytes of its chunk.
struct SealedCommit {
  CommitInfo info;
  std::span<const std::byte> pages;   // for each page: gap, length of its delta
  std::span<const std::byte> deltas;  // of all of them

  template <typename Visit>  // visit(page, delta)
  void for_each_delta(Visit visit) const {
    ByteReader table(pages, "history file");
    ByteReader data(deltas, "history file");
    std::uint64_t page = 0;
    for (std::uint32_t i = 0; i < info.changed_pages; ++i) {
      page += table.varint();
      const std::span<const std::byte> delta = data.bytes(table.varint());
      visit(static_cast<std::uint32_t>(page), delta);
    }
  }
};

// Writes the commits of one chunk.
class ChunkEncoder {
 public:
  // Appends to `out`; the first commit after reset() begins a chunk.
  void reset() noexcept { is_first_ = true; }
  void add(const RecordView& record, const HistoryHeader& header, Bytes& out);

 private:
  bool is_first_ = true;
  CommitInfo last_;
  Bytes pages_;
  Bytes deltas_;
};

[[nodiscard]] std::vector<SealedCommit> decode_chunk(std::span<const std::byte> bytes,
                                                     std::uint64_t commits,
                                                     const HistoryHeader& header);

// A summary: the composed differences of all commits of an object in the file.
void encode_summary_page(std::uint32_t page, std::uint32_t previous_page,
                         std::span<const std::byte> difference, Bytes& out);
void for_each_summary_page(
    std::span<const std::byte> bytes,
    const std::function<void(std::uint32_t page, std::span<const std::byte> delta)>& visit);

}  // namespace perdure::log
