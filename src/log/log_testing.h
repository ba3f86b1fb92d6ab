#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/simulated_file_system.h"
#include "log/log.h"
#include "log/record.h"

// Helpers of the tests of the log.

namespace perdure::log {

inline constexpr std::uint32_t kTestPageSize = 512;
inline constexpr const char* kTestDirectory = "/data/log";

inline Bytes random_bytes(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// A record that `number` determines, of about `bytes` bytes.
inline Bytes test_record(std::uint64_t number, std::size_t bytes = 100, ObjectNumber object = 1,
                         Lsn previous_lsn = 0, RecordLocation previous = {}) {
  std::vector<Bytes> pages;
  std::vector<PageChange> changes;
  for (std::size_t done = 0; done < bytes; done += kTestPageSize) {
    Bytes page(kTestPageSize);
    const Bytes content =
        random_bytes(number * 1000 + done, std::min<std::size_t>(bytes - done, kTestPageSize));
    std::copy(content.begin(), content.end(), page.begin());
    pages.push_back(std::move(page));
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    changes.push_back({.page = static_cast<std::uint32_t>(i + 1), .before = {}, .after = pages[i]});
  }
  Bytes record;
  encode_record({.object = object,
                 .number = number,
                 .previous_lsn = previous_lsn,
                 .previous = previous,
                 .page_size = kTestPageSize,
                 .pages_after = static_cast<std::uint32_t>(pages.size()),
                 .changes = changes},
                record);
  return record;
}

inline std::vector<Appended> append_group(Log& log, const std::vector<Bytes>& records) {
  std::vector<std::span<const std::byte>> spans(records.begin(), records.end());
  std::vector<Appended> out(records.size());
  if (!log.append(spans, log.epoch(), out)) return {};
  return out;
}

inline Appended append_one(Log& log, const Bytes& record) {
  return append_group(log, {record}).front();
}

// A log on a simulated disk, in small segments.
class TestLog {
 public:
  LogOptions options() {
    return {.file_system = &files,
            .directory = kTestDirectory,
            .segment_bytes = segment_bytes,
            .pending_bytes_max = pending_bytes_max,
            .flush_on_append = flush_on_append,
            .keep_segments = keep_segments,
            .on_poisoned = [this](const std::string& message) { poisoned.push_back(message); }};
  }

  // Keeps the number (Commit::number) of each record that is replayed.
  Log& open() {
    log.reset();
    replayed.clear();
    log = Log::open(options(), [this](const RecordView& record) {
      replayed.emplace_back(record.lsn, record.number);
    });
    return *log;
  }

  [[nodiscard]] static std::string segment(int number) {
    const std::string digits = std::to_string(number);
    return std::string(kTestDirectory) + "/" + std::string(16 - digits.size(), '0') + digits +
           ".log";
  }

  // Changes a byte of a file, durably.
  void flip(const std::string& path, std::uint64_t offset) {
    const auto file = files.open(path, FileSystem::Mode::kReadWrite);
    Bytes byte(1);
    file->read(offset, byte);
    byte[0] ^= std::byte{1};
    file->write(offset, byte);
    file->sync();
  }

  SimulatedFileSystem files;
  std::uint64_t segment_bytes = 64 << 10;
  std::uint64_t pending_bytes_max = 64 << 20;
  bool flush_on_append = true;
  bool keep_segments = false;
  std::vector<std::string> poisoned;
  std::vector<std::pair<Lsn, std::uint64_t>> replayed;
  std::unique_ptr<Log> log;
};

}  // namespace perdure::log
