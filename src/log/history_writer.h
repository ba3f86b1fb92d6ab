#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "log/history_format.h"
#include "log/record.h"

struct ZSTD_CCtx_s;

namespace perdure::log {

// Writes one history file: the commits object by object, in ascending order of their numbers, and
// the commits of each in the order of the log. Takes as much memory as the largest commit, the
// pages of one summary and the table of objects need. Not thread-safe.
class HistoryWriter {
 public:
  // Replaces `path`. `header` has everything up to max_time_ms.
  HistoryWriter(FileSystem& files, const std::filesystem::path& path, const HistoryHeader& header);
  ~HistoryWriter();
  HistoryWriter(const HistoryWriter&) = delete;
  HistoryWriter& operator=(const HistoryWriter&) = delete;

  void add(const RecordView& record);
  // Writes the rest; on return the file is synced. Returns its header and its size in bytes.
  struct Result {
    HistoryHeader header;
    std::uint64_t bytes = 0;
  };
  Result finish();

 private:
  // Composes the differences of one object, as long as that is small.
  class Summary {
   public:
    void begin();
    void add(const RecordView& record);
    // Nothing when there is none that is worth its bytes.
    [[nodiscard]] Bytes encode(std::uint64_t commits, std::uint64_t commit_bytes) const;

   private:
    bool is_possible_ = true;
    std::uint32_t page_size_ = 0;
    Lsn last_lsn_ = 0;
    std::map<std::uint32_t, Bytes> pages_;
  };

  void begin_object(const RecordView& record);
  void end_object();
  void end_chunk();
  void write_table();
  void write_directory();
  [[nodiscard]] std::uint64_t address() const noexcept;
  void put(std::span<const std::byte> bytes);  // into the stream
  void end_block();
  void write(std::span<const std::byte> bytes);  // into the file
  void flush_written();

  const std::unique_ptr<File> file_;
  const std::unique_ptr<ZSTD_CCtx_s, std::size_t (*)(ZSTD_CCtx_s*)> compressor_;
  HistoryHeader header_;
  SealedObject object_;
  SealedObject::Chunk chunk_;
  ChunkEncoder encoder_;
  Summary summary_;
  std::uint64_t commit_bytes_ = 0;  // of the object
  Bytes encoded_;                   // the chunk
  Bytes table_;
  Bytes block_;
  std::vector<std::uint32_t> block_sizes_;
  std::vector<ObjectNumber> table_starts_;
  Bytes written_;                 // not yet in the file
  std::uint64_t written_at_ = 0;  // where it goes
  std::uint64_t offset_ = 0;      // the end of the file, with what is not yet in it
};

}  // namespace perdure::log
