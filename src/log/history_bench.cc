#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/file.h"
#include "log/log.h"
#include "log/record.h"

// Making segments into history, finding a time in a long one, and taking a large object back.

namespace perdure::log {
namespace {

constexpr std::uint32_t kPageSize = 4096;
constexpr std::uint64_t kUndoBytesMax = std::uint64_t{1} << 30;
constexpr std::uint64_t kSegmentBytes = 64 << 20;

class BenchLog {
 public:
  explicit BenchLog(HistoryOptions history = {}) {
    history.now_ms = [] { return std::int64_t{0}; };
    std::string name = (std::filesystem::current_path() / "history_bench.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
    log_ = Log::open({.file_system = &real_file_system(),
                      .directory = directory_ / "log",
                      .segment_bytes = kSegmentBytes,
                      .history = history},
                     [](const RecordView&) {});
  }
  ~BenchLog() {
    log_.reset();
    std::filesystem::remove_all(directory_);
  }
  Log& operator*() { return *log_; }

  // Everything becomes history but what is in the last segment.
  void seal() {
    log_->complete_checkpoint(log_->begin_checkpoint());
    log_->history().catch_up();
  }

 private:
  std::filesystem::path directory_;
  std::unique_ptr<Log> log_;
};

struct Object {
  ObjectNumber number = 0;
  std::uint64_t commits = 0;
  Appended last = {};

  // Changes some bytes of pages, each a small number of them.
  void commit(Log& log, std::span<const std::uint32_t> pages, std::uint32_t size,
              std::int64_t time_ms, std::mt19937_64& random) {
    static const Bytes before(kPageSize);
    std::vector<Bytes> after;
    std::vector<PageChange> changes;
    for (const std::uint32_t page : pages) {
      Bytes& content = after.emplace_back(kPageSize);
      store(content.data() + 24, commits);
      for (int i = 0; i < 4; ++i) store(content.data() + random() % (kPageSize - 8), random());
      changes.push_back({.page = page, .before = before, .after = content});
    }
    for (std::size_t i = 0; i < changes.size(); ++i) changes[i].after = after[i];
    append(log, changes, size, time_ms);
  }

  void commit_small(Log& log, std::mt19937_64& random) {
    const std::uint32_t pages[] = {1, 2};
    commit(log, pages, 2, 0, random);
  }

  // Writes so many new pages of random bytes.
  void commit_random(Log& log, std::uint32_t pages, std::mt19937_64& random) {
    Bytes content(std::size_t{pages} * kPageSize);
    for (std::size_t at = 0; at < content.size(); at += 8) store(content.data() + at, random());
    std::vector<PageChange> changes;
    for (std::uint32_t i = 0; i < pages; ++i) {
      changes.push_back({.page = i + 1,
                         .before = {},
                         .after = std::span(content).subspan(i * kPageSize, kPageSize)});
    }
    append(log, changes, pages, 0);
  }

  void append(Log& log, std::span<const PageChange> changes, std::uint32_t size,
              std::int64_t time_ms) {
    Bytes record;
    encode_record({.object = number,
                   .number = ++commits,
                   .previous_lsn = last.lsn,
                   .previous = last.location,
                   .time_ms = time_ms,
                   .page_size = kPageSize,
                   .pages_before = size,
                   .pages_after = size,
                   .changes = changes},
                  record);
    const std::span<const std::byte> span(record);
    if (!log.append({&span, 1}, log.epoch(), {&last, 1})) std::abort();
  }
};

// 10 million commits over 10,000 objects, one each millisecond.
struct LongHistory {
  static constexpr std::int64_t kCommits = 10'000'000;
  static constexpr std::uint64_t kObjects = 10'000;

  LongHistory() {
    for (std::uint64_t i = 0; i < kObjects; ++i) objects.push_back({.number = 100 + i});
    for (std::int64_t time_ms = 0; time_ms < kCommits; ++time_ms) {
      const std::uint32_t pages[] = {1, 2};
      objects[random() % kObjects].commit(*log, pages, 2, time_ms, random);
    }
    log.seal();
  }

  BenchLog log;
  std::mt19937_64 random{1};
  std::vector<Object> objects;
};

// A time in the first so many percent of the history.
void BM_AtTime(benchmark::State& state) {
  static LongHistory history;
  Log& log = *history.log;
  for (auto _ : state) {
    const Object& object = history.objects[history.random() % LongHistory::kObjects];
    const auto time_ms =
        static_cast<std::int64_t>(history.random() % LongHistory::kCommits) * state.range(0) / 100;
    benchmark::DoNotOptimize(
        log.history().at_time(object.number, object.last.lsn, object.last.location, time_ms));
  }
  const HistoryUsage usage = log.history().usage();
  state.counters["files"] = static_cast<double>(usage.files);
  state.counters["bytes_per_commit"] =
      static_cast<double>(usage.bytes) / static_cast<double>(usage.commits);
}
BENCHMARK(BM_AtTime)->ArgName("percent")->Arg(100)->Arg(1)->Iterations(1000)->Unit(
    benchmark::kMillisecond);

// The time before 500,000 commits of one object, in the log alone and mostly in history files.
void BM_AtTimeOfACounter(benchmark::State& state) {
  BenchLog log;
  std::mt19937_64 random(1);
  Object counter{.number = 1};
  for (std::int64_t time_ms = 1; time_ms <= 500'000; ++time_ms) {
    const std::uint32_t pages[] = {1};
    counter.commit(*log, pages, 1, time_ms, random);
  }
  (*log).wait_durable((*log).appended_lsn());
  if (state.range(0) != 0) log.seal();
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        (*log).history().at_time(1, counter.last.lsn, counter.last.location, 10));
  }
  state.counters["files"] = static_cast<double>((*log).history().usage().files);
}
BENCHMARK(BM_AtTimeOfACounter)
    ->ArgName("sealed")
    ->Arg(0)
    ->Arg(1)
    ->Iterations(5)
    ->Unit(benchmark::kMillisecond);

// 10,000 commits, of three pages each, of an object of 100 MB, among three times as many others.
void BM_Undo(benchmark::State& state) {
  constexpr std::uint64_t kCommits = 10'000;
  constexpr std::uint32_t kPages = 100'000'000 / kPageSize;
  BenchLog log;
  std::mt19937_64 random(1);
  Object large{.number = 1};
  Object other{.number = 2};
  for (std::uint64_t i = 0; i < kCommits; ++i) {
    const std::uint32_t pages[] = {1, static_cast<std::uint32_t>(2 + random() % (kPages - 1)),
                                   static_cast<std::uint32_t>(2 + random() % (kPages - 1))};
    large.commit(*log, pages, kPages, 0, random);
    for (int j = 0; j < 3; ++j) other.commit(*log, std::span(pages).first(1), kPages, 0, random);
  }
  if (state.range(0) != 0) {
    // Something to end the last segment with.
    for (std::uint64_t i = 0; i < 20 * kCommits; ++i) {
      const std::uint32_t pages[] = {1, 2, 3, 4, 5, 6, 7, 8};
      other.commit(*log, pages, kPages, 0, random);
    }
    log.seal();
  }
  (*log).wait_durable((*log).appended_lsn());
  for (auto _ : state) {
    const Undo undo =
        (*log).history().undo(large.number, large.last.lsn, large.last.location, 0, kUndoBytesMax);
    if (undo.commits != kCommits) std::abort();
    benchmark::DoNotOptimize(undo.pages.size());
  }
  state.counters["files"] = static_cast<double>((*log).history().usage().files);
}
BENCHMARK(BM_Undo)->ArgName("sealed")->Arg(1)->Arg(0)->Unit(benchmark::kMillisecond);

// Small commits of many objects at random, or large ones of pages that do not compress.
void BM_Seal(benchmark::State& state) {
  constexpr std::uint64_t kSegments = 4;
  const bool is_large = state.range(0) != 0;
  BenchLog log;
  std::mt19937_64 random(1);
  std::vector<Object> objects;
  for (std::uint64_t i = 0; i < 10'000; ++i) objects.push_back({.number = 100 + i});
  std::uint64_t segment = 1;
  for (auto _ : state) {
    state.PauseTiming();
    const std::uint64_t end = segment + kSegments;
    while (segment < end) {
      Object& object = objects[random() % objects.size()];
      if (is_large) {
        object.commit_random(*log, 8, random);
      } else {
        object.commit_small(*log, random);
      }
      segment = object.last.location.segment;
    }
    (*log).wait_durable((*log).appended_lsn());
    state.ResumeTiming();
    log.seal();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(kSegments * kSegmentBytes) *
                          state.iterations());
}
BENCHMARK(BM_Seal)
    ->ArgName("large")
    ->Arg(0)
    ->Arg(1)
    ->Iterations(3)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// One durable commit after the other while segments are sealed at a pace in MiB/s (0: history is
// off).
void BM_CommitWhileSealing(benchmark::State& state) {
  constexpr std::uint64_t kSegments = 6;
  HistoryOptions history;
  history.enabled = state.range(0) != 0;
  if (history.enabled) {
    history.sealing_bytes_per_second = static_cast<std::uint64_t>(state.range(0)) << 20;
  }
  BenchLog log(history);
  std::mt19937_64 random(1);
  std::vector<Object> objects;
  for (std::uint64_t i = 0; i < 10'000; ++i) objects.push_back({.number = 100 + i});
  const auto commit = [&] {
    Object& object = objects[random() % objects.size()];
    object.commit_small(*log, random);
    return object.last;
  };
  while (commit().location.segment <= kSegments) {
  }
  (*log).complete_checkpoint((*log).begin_checkpoint());
  std::vector<double> microseconds;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    (*log).wait_durable(commit().lsn);
    microseconds.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::sort(microseconds.begin(), microseconds.end());
  state.counters["p50_us"] = microseconds[microseconds.size() / 2];
  state.counters["p99_us"] = microseconds[microseconds.size() * 99 / 100];
  state.counters["sealed"] = static_cast<double>((*log).history().usage().files);
}
BENCHMARK(BM_CommitWhileSealing)
    ->ArgName("pace")
    ->Arg(0)
    ->Arg(32)
    ->Arg(64)
    ->Arg(1 << 20)
    ->Iterations(20'000)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace perdure::log
