#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "log/history_format.h"

namespace perdure::log {

// An open history file. Errors of its methods name the file and the byte that is wrong. Any thread.
class HistoryFile {
 public:
  // Reads the header and the directory. `id` and `number`: the log and the segment that it is to be
  // of. Throws Error: kCorrupt, kVersion, kIo.
  HistoryFile(FileSystem& files, const std::filesystem::path& path, const LogId& id,
              std::uint64_t number);

  // Only the header, with the size of the file in bytes. Throws likewise.
  struct Header {
    HistoryHeader header;
    std::uint64_t bytes = 0;
  };
  static Header read_header(File& file, const std::string& path, const LogId& id,
                            std::uint64_t number);

  [[nodiscard]] const HistoryHeader& header() const noexcept { return header_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  // Where the index of an object is; its commits are in front of it, from where the one of the
  // object before ends.
  struct TableEntry {
    ObjectNumber object = 0;
    std::uint64_t address = 0;
    std::uint32_t bytes = 0;
  };

  // Reads one file for one caller: keeps the block that was read last.
  class Reader {
   public:
    explicit Reader(std::shared_ptr<const HistoryFile> file) : file_(std::move(file)) {}
    [[nodiscard]] const HistoryFile& file() const noexcept { return *file_; }

    // Nothing when the file holds no commits of the object.
    std::optional<SealedObject> find(ObjectNumber object);
    void for_each_entry(const std::function<void(const TableEntry&)>& visit);
    SealedObject read_index(const TableEntry& entry);
    // Valid until the next call of commits() or for_each_summary_page().
    std::vector<SealedCommit> commits(const SealedObject::Chunk& chunk);
    void for_each_summary_page(
        const SealedObject& object,
        const std::function<void(std::uint32_t page, std::span<const std::byte> delta)>& visit);
    // The offset in the file of the block that holds an address.
    [[nodiscard]] std::uint64_t offset_of(std::uint64_t address) const;

   private:
    std::optional<TableEntry> find_entry(ObjectNumber object);
    void read(std::uint64_t address, std::uint64_t bytes, Bytes& out);
    const Bytes& block(std::uint32_t index);
    template <typename Action>
    auto located(std::uint64_t address, Action action);

    const std::shared_ptr<const HistoryFile> file_;
    std::optional<std::uint32_t> block_index_;
    Bytes block_;
    Bytes data_;
  };

  // Decompresses a block into `out`; checks all of its bytes.
  void read_block(std::uint32_t index, Bytes& out) const;
  [[nodiscard]] std::uint64_t block_offset(std::uint32_t index) const noexcept {
    return offsets_[index];
  }

 private:
  [[noreturn]] void corrupt(const std::string& problem, std::uint64_t offset) const;
  void read_directory(std::uint64_t file_bytes);

  const std::string path_;
  const std::unique_ptr<File> file_;
  HistoryHeader header_;
  std::vector<std::uint64_t> offsets_;  // of each block, and of the directory
  std::vector<ObjectNumber> table_starts_;
};

}  // namespace perdure::log
