#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/simulated_file_system.h"
#include "native/engine_state.h"
#include "perdure/perdure.h"
#include "sqlite3.h"

// A cached statement through include/perdure against the bare SQLite C API: the same library with
// the same options and settings, the same table, both inside a transaction that is open. The
// engine's disk and SQLite's are both memory. After the benchmarks, the ratios are measured once
// more, in turns of a few milliseconds, so that both sides meet the same noise: their medians are
// printed.

namespace perdure {
namespace {

constexpr char kCreate[] = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, s TEXT)";
constexpr char kFill[] =
    "WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 1000) "
    "INSERT INTO t SELECT x, x, 'text ' || x FROM i";
constexpr char kSelect[] = "SELECT n, s FROM t WHERE id = ?";
constexpr char kUpdate[] = "UPDATE t SET n = ? WHERE id = ?";
constexpr std::int64_t kRows = 1000;

// SQLite alone, set as the engine sets it (store/database.cc).
class Bare {
 public:
  Bare() {
    sqlite3_initialize();
    sqlite3_open_v2(":memory:", &handle_,
                    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    execute("PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON");
    execute(kCreate);
    execute(kFill);
    select = prepare(kSelect);
    update = prepare(kUpdate);
  }
  ~Bare() {
    sqlite3_finalize(select);
    sqlite3_finalize(update);
    sqlite3_close(handle_);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  void execute(const char* sql) {
    if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) std::abort();
  }
  void run_select(std::int64_t id) const {
    sqlite3_bind_int64(select, 1, id);
    if (sqlite3_step(select) != SQLITE_ROW) std::abort();
    benchmark::DoNotOptimize(sqlite3_column_int64(select, 0));
    benchmark::DoNotOptimize(sqlite3_column_text(select, 1));
    benchmark::DoNotOptimize(sqlite3_column_bytes(select, 1));
    sqlite3_reset(select);
  }
  void run_update(std::int64_t id) const {
    sqlite3_bind_int64(update, 1, id * 3);
    sqlite3_bind_int64(update, 2, id);
    if (sqlite3_step(update) != SQLITE_DONE) std::abort();
    sqlite3_reset(update);
  }

  sqlite3_stmt* select = nullptr;
  sqlite3_stmt* update = nullptr;

 private:
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) !=
        SQLITE_OK)
      std::abort();
    return statement;
  }

  sqlite3* handle_ = nullptr;
};

// The engine through its public interface.
class Ours {
 public:
  Ours() : engine_(open()) {
    storage_.sql().exec(kCreate);
    storage_.sql().exec(kFill);
    select_ = storage_.sql().prepare(kSelect);
    update_ = storage_.sql().prepare(kUpdate);
  }

  [[nodiscard]] Storage& storage() { return storage_; }
  void run_select(std::int64_t id) {
    select_.bind(1, id);
    if (!select_.step()) std::abort();
    benchmark::DoNotOptimize(select_.row().integer(0));
    benchmark::DoNotOptimize(select_.row().text(1));
    select_.reset();
  }
  void run_update(std::int64_t id) {
    update_.bind(1, id * 3);
    update_.bind(2, id);
    if (update_.step()) std::abort();
    update_.reset();
  }
  void exec_select(std::int64_t id) {
    auto cursor = storage_.sql().exec(kSelect, id);
    if (!cursor.next()) std::abort();
    benchmark::DoNotOptimize(cursor.row().integer(0));
    benchmark::DoNotOptimize(cursor.row().text(1));
  }
  void exec_update(std::int64_t id) { storage_.sql().exec(kUpdate, id * 3, id); }

 private:
  Engine open() {
    store::StoreOptions options;
    options.directory = "/data";
    options.file_system = &disk_;
    options.history.enabled = false;
    return native::EngineState::engine(native::EngineState::open(std::move(options), {}));
  }

  SimulatedFileSystem disk_{SimulatedFileSystem::Options{.tracks_unsynced = false}};
  Engine engine_;
  Storage storage_ =
      engine_.open_namespace("bench").open("a", Namespace::OpenMode::kCreateIfMissing);
  Statement select_;
  Statement update_;
};

std::int64_t next_id(std::int64_t& state) { return state = state % kRows + 1; }

using BareWork = void (Bare::*)(std::int64_t) const;
using OurWork = void (Ours::*)(std::int64_t);

void bench_bare(benchmark::State& state, BareWork work, bool in_transaction) {
  Bare bare;
  if (in_transaction) bare.execute("BEGIN");
  std::int64_t id = 0;
  for (auto _ : state) (bare.*work)(next_id(id));
  if (in_transaction) bare.execute("COMMIT");
}

void bench_ours(benchmark::State& state, OurWork work, bool in_transaction) {
  Ours ours;
  std::optional<Transaction> transaction;
  if (in_transaction) transaction.emplace(ours.storage().begin());
  std::int64_t id = 0;
  for (auto _ : state) (ours.*work)(next_id(id));
  if (transaction) transaction->commit();
}

BENCHMARK_CAPTURE(bench_bare, select, &Bare::run_select, true);
BENCHMARK_CAPTURE(bench_ours, select, &Ours::run_select, true);
BENCHMARK_CAPTURE(bench_ours, select_by_text, &Ours::exec_select, true);
BENCHMARK_CAPTURE(bench_bare, update, &Bare::run_update, true);
BENCHMARK_CAPTURE(bench_ours, update, &Ours::run_update, true);
BENCHMARK_CAPTURE(bench_ours, update_by_text, &Ours::exec_update, true);
// For information: ours is a commit in the log as well, SQLite's is none at all.
BENCHMARK_CAPTURE(bench_bare, autocommit_update, &Bare::run_update, false);
BENCHMARK_CAPTURE(bench_ours, autocommit_update, &Ours::run_update, false);

// ---- ratios

double nanoseconds(const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
}

void print_ratio(const char* what, BareWork bare_work, OurWork our_work) {
  constexpr int kTurns = 201;
  constexpr int kCallsInTurn = 5000;
  Bare bare;
  Ours ours;
  bare.execute("BEGIN");
  Transaction transaction = ours.storage().begin();
  std::vector<double> ratios;
  std::vector<double> times;
  std::int64_t bare_id = 0;
  std::int64_t our_id = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    const double bare_ns = nanoseconds([&] {
      for (int i = 0; i < kCallsInTurn; ++i) (bare.*bare_work)(next_id(bare_id));
    });
    const double our_ns = nanoseconds([&] {
      for (int i = 0; i < kCallsInTurn; ++i) (ours.*our_work)(next_id(our_id));
    });
    ratios.push_back(our_ns / bare_ns);
    times.push_back(bare_ns / kCallsInTurn);
  }
  transaction.rollback();
  std::sort(ratios.begin(), ratios.end());
  std::sort(times.begin(), times.end());
  std::printf("%-32s %.2f x the bare C API (%.0f ns); to be at most 1.30\n", what,
              ratios[kTurns / 2], times[kTurns / 2]);
}

}  // namespace
}  // namespace perdure

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  using perdure::Bare;
  using perdure::Ours;
  perdure::print_ratio("select, prepared", &Bare::run_select, &Ours::run_select);
  perdure::print_ratio("select, cached by its text", &Bare::run_select, &Ours::exec_select);
  perdure::print_ratio("update, prepared", &Bare::run_update, &Ours::run_update);
  perdure::print_ratio("update, cached by its text", &Bare::run_update, &Ours::exec_update);
}
