#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "sqlite3.h"
#include "store/database.h"
#include "store/store.h"

// What the history costs: bytes on the disk for each commit of a counter, and commits a second with
// and without it. The directory is $BENCH_DIR or the working directory: /tmp is often not a disk.

namespace perdure::store {
namespace {

constexpr std::size_t kOutstanding = 32;  // commits that nobody has been told about yet
constexpr int kCounterCommits = 1'000'000;

class Counters {
 public:
  Counters(StoreOptions options, std::size_t count) {
    const char* base = std::getenv("BENCH_DIR");
    directory_ = std::filesystem::path(base == nullptr ? "." : base) / "history_bench_data";
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    options.directory = directory_;
    store_ = Store::open(std::move(options));
    for (std::size_t i = 0; i < count; ++i) {
      auto& [database, update] = objects_.emplace_back();
      const std::string path = "objects/" + std::to_string(i) + ".sqlite";
      database = std::make_unique<Database>(*store_, store_->file(kReservedNumbers + 1 + i, path));
      database->begin();
      database->execute("CREATE TABLE c(id INTEGER PRIMARY KEY, n); INSERT INTO c VALUES (1, 0)");
      database->commit();
      update = database->prepare("UPDATE c SET n = n + 1 WHERE id = 1", Access::kEngine);
    }
  }
  ~Counters() {
    objects_.clear();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  [[nodiscard]] Store& store() { return *store_; }

  Lsn increment(std::size_t i) {
    auto& [database, update] = objects_[i];
    database->begin();
    sqlite3_step(update.handle());
    sqlite3_reset(update.handle());
    return database->commit();
  }

 private:
  struct Object {
    std::unique_ptr<Database> database;
    Statement update;
  };
  std::filesystem::path directory_;
  std::unique_ptr<Store> store_;
  std::vector<Object> objects_;
};

// A counter that is incremented a million times. The commits of the segment that is not full yet
// are not history, so they do not count.
void BM_BytesOfACounter(benchmark::State& state) {
  for (auto _ : state) {
    Counters counters({}, 1);
    for (int i = 0; i < kCounterCommits; ++i) counters.increment(0);
    counters.store().checkpoint();
    counters.store().log().history().catch_up();
    const log::HistoryUsage usage = counters.store().log().history().usage();
    state.counters["bytes_per_commit"] =
        static_cast<double>(usage.bytes) / static_cast<double>(usage.commits);
    state.counters["files"] = static_cast<double>(usage.files);
    state.counters["sealed_commits"] = static_cast<double>(usage.commits);
  }
}
BENCHMARK(BM_BytesOfACounter)->Iterations(1)->Unit(benchmark::kSecond)->UseRealTime();

// Durable commits with up to kOutstanding of them waiting, as a server has. The time is that of all
// threads; in segments that are small enough for most of the commits to become history meanwhile.
void BM_CommitDurable(benchmark::State& state) {
  StoreOptions options;
  options.history.enabled = state.range(0) != 0;
  options.segment_bytes = 8 << 20;
  options.checkpoint_log_bytes = 16 << 20;
  const auto objects = static_cast<std::size_t>(state.range(1));
  Counters counters(options, objects);
  std::mt19937 random(1);
  std::deque<Lsn> outstanding;
  for (auto _ : state) {
    outstanding.push_back(counters.increment(random() % objects));
    if (outstanding.size() > kOutstanding) {
      counters.store().log().wait_durable(outstanding.front());
      outstanding.pop_front();
    }
  }
  counters.store().log().wait_durable(outstanding.back());
  state.SetItemsProcessed(state.iterations());
  const log::HistoryUsage usage = counters.store().log().history().usage();
  state.counters["files"] = static_cast<double>(usage.files);
  state.counters["waiting"] = static_cast<double>(usage.waiting_segments);
}
BENCHMARK(BM_CommitDurable)
    ->ArgNames({"history", "objects"})
    ->ArgsProduct({{1, 0}, {1, 1000}})
    ->Iterations(400'000)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace perdure::store
