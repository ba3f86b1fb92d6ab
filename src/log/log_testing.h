#pragma once

#include <algorithm>
#include <atomic>
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

using Random = std::mt19937_64;
using State = std::vector<Bytes>;  // the pages of a database

inline constexpr std::size_t kTestPagesMax = 24;

// A database with a random history, all of which is remembered.
class RandomObject {
 public:
  RandomObject(ObjectNumber number, std::uint32_t page_size)
      : number_(number), page_size_(page_size) {
    states_.emplace_back();
  }

  void commit(Log& log, Random& random, std::int64_t time_ms = 0) {
    const State& before = states_.back();
    State after = before;
    change(after, random);
    const std::uint64_t epoch = log.epoch();
    std::vector<PageChange> changes;
    for (std::size_t i = 0; i < std::max(before.size(), after.size()); ++i) {
      add_change(before, after, i, epoch, changes);
    }
    Bytes record;
    encode_record({.object = number_,
                   .number = states_.size(),
                   .previous_lsn = last().lsn,
                   .previous = last().location,
                   .time_ms = time_ms,
                   .page_size = page_size_,
                   .pages_before = static_cast<std::uint32_t>(before.size()),
                   .pages_after = static_cast<std::uint32_t>(after.size()),
                   .flags = static_cast<std::uint32_t>(states_.size() % 3),
                   .changes = changes},
                  record);
    commits_.push_back({append_one(log, record), time_ms});
    states_.push_back(std::move(after));
  }

  // A crash has lost the commits after `lsn`.
  void forget_after(Lsn lsn) {
    while (last().lsn > lsn) {
      commits_.pop_back();
      states_.pop_back();
    }
    // So that full images are logged again.
    image_epochs_.clear();
  }

  [[nodiscard]] const std::vector<State>& states() const { return states_; }
  [[nodiscard]] ObjectNumber number() const { return number_; }
  [[nodiscard]] std::uint32_t page_size() const { return page_size_; }
  struct Committed {
    Appended at;
    std::int64_t time_ms = 0;
  };
  [[nodiscard]] const std::vector<Committed>& commits() const { return commits_; }
  [[nodiscard]] Appended last() const { return commits_.empty() ? Appended{} : commits_.back().at; }
  // The LSN after which it was at the state with this number.
  [[nodiscard]] Lsn lsn_of(std::size_t commit) const {
    return commit == 0 ? 0 : commits_[commit - 1].at.lsn;
  }

 private:
  void change(State& state, Random& random) const {
    const auto kind = random() % 10;
    if (state.empty() || (kind < 3 && state.size() < kTestPagesMax)) {
      for (std::uint64_t pages = 1 + random() % 3; pages > 0; --pages) {
        state.push_back(random() % 2 == 0 ? Bytes(page_size_) : random_bytes(random(), page_size_));
      }
    } else if (kind == 3) {
      state.resize(random() % state.size());
    }
    for (std::uint64_t edits = random() % 5; edits > 0 && !state.empty(); --edits) {
      edit(state[random() % state.size()], random);
    }
  }

  void edit(Bytes& page, Random& random) const {
    if (random() % 12 == 0) {
      page = random() % 2 == 0 ? Bytes(page_size_) : random_bytes(random(), page_size_);
      return;
    }
    const std::size_t at = random() % page_size_;
    const Bytes bytes =
        random_bytes(random(), std::min<std::size_t>(random() % 100, page_size_ - at));
    std::copy(bytes.begin(), bytes.end(), page.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void add_change(const State& before, const State& after, std::size_t i, std::uint64_t epoch,
                  std::vector<PageChange>& changes) {
    const std::span<const std::byte> old_page =
        i < before.size() ? std::span<const std::byte>(before[i]) : std::span<const std::byte>();
    const std::span<const std::byte> new_page =
        i < after.size() ? std::span<const std::byte>(after[i]) : std::span<const std::byte>();
    if (std::equal(old_page.begin(), old_page.end(), new_page.begin(), new_page.end())) return;
    const bool is_first = std::exchange(image_epochs_[i], epoch) != epoch;
    changes.push_back({.page = static_cast<std::uint32_t>(i + 1),
                       .before = old_page,
                       .after = new_page,
                       .full_image = is_first});
  }

  const ObjectNumber number_;
  const std::uint32_t page_size_;
  std::vector<State> states_;  // by commit number
  std::map<std::size_t, std::uint64_t> image_epochs_;
  std::vector<Committed> commits_;
};

// A log on a simulated disk, in small segments.
class TestLog {
 public:
  LogOptions options() {
    return {.file_system = &files,
            .directory = kTestDirectory,
            .segment_bytes = segment_bytes,
            .pending_bytes_max = pending_bytes_max,
            .flush_on_append = flush_on_append,
            .history = history,
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
  std::atomic<std::int64_t> now_ms = 0;
  HistoryOptions history{.enabled = false, .now_ms = [this] { return now_ms.load(); }};
  std::vector<std::string> poisoned;
  std::vector<std::pair<Lsn, std::uint64_t>> replayed;
  std::unique_ptr<Log> log;
};

}  // namespace perdure::log
