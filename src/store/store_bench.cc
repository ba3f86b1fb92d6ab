#include <algorithm>
#include <deque>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <malloc.h>

#include "base/simulated_file_system.h"
#include "sqlite3.h"
#include "store/database.h"
#include "store/key_value.h"
#include "store/store.h"

// Commits a second, CPU for a commit, key-value calls, the cost of an open database. The directory
// is $BENCH_DIR or the working directory: /tmp is often not a disk.

namespace perdure::store {
namespace {

constexpr std::size_t kOutstanding = 32;  // commits that nobody has been told about yet
constexpr char kCreate[] = "CREATE TABLE c(id INTEGER PRIMARY KEY, n); INSERT INTO c VALUES (1, 0)";
constexpr char kUpdate[] = "UPDATE c SET n = n + 1 WHERE id = 1";

std::filesystem::path fresh_directory() {
  const char* base = std::getenv("BENCH_DIR");
  auto directory = std::filesystem::path(base == nullptr ? "." : base) / "store_bench_data";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  return directory;
}

struct Object {
  std::unique_ptr<Database> database;
  Statement update;
};

std::vector<Object> make_objects(Store& store, std::size_t count) {
  std::vector<Object> objects(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string path = "objects/" + std::to_string(i) + ".sqlite";
    Object& object = objects[i];
    object.database = std::make_unique<Database>(store, store.file(20 + i, path));
    object.database->begin();
    object.database->execute(kCreate);
    object.database->commit();
    object.update = object.database->prepare(kUpdate, Access::kEngine);
  }
  return objects;
}

Lsn update(Object& object) {
  object.database->begin();
  sqlite3_step(object.update.handle());
  sqlite3_reset(object.update.handle());
  return object.database->commit();
}

// Durable commits with up to kOutstanding of them waiting, as a server has.
void BM_CommitDurable(benchmark::State& state) {
  StoreOptions options;
  options.directory = fresh_directory();
  auto store = Store::open(options);
  auto objects = make_objects(*store, static_cast<std::size_t>(state.range(0)));
  std::mt19937 random(1);
  std::deque<Lsn> outstanding;
  for (auto _ : state) {
    outstanding.push_back(update(objects[random() % objects.size()]));
    if (outstanding.size() > kOutstanding) {
      store->log().wait_durable(outstanding.front());
      outstanding.pop_front();
    }
  }
  if (!outstanding.empty()) store->log().wait_durable(outstanding.back());
  state.SetItemsProcessed(state.iterations());
  objects.clear();
  store.reset();
  std::filesystem::remove_all(options.directory);
}
BENCHMARK(BM_CommitDurable)->Arg(1)->Arg(32)->Arg(1000)->UseRealTime();

// The same updates, each object a file of its own in WAL mode with synchronous=FULL.
void BM_CommitDurableSqliteWal(benchmark::State& state) {
  sqlite3_initialize();
  const auto directory = fresh_directory();
  struct Plain {
    sqlite3* handle = nullptr;
    sqlite3_stmt* update = nullptr;
  };
  std::vector<Plain> objects(static_cast<std::size_t>(state.range(0)));
  for (std::size_t i = 0; i < objects.size(); ++i) {
    auto& [handle, statement] = objects[i];
    sqlite3_open((directory / (std::to_string(i) + ".sqlite")).c_str(), &handle);
    sqlite3_exec(handle,
                 (std::string("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; "
                              "PRAGMA synchronous=FULL;") +
                  kCreate)
                     .c_str(),
                 nullptr, nullptr, nullptr);
    if (sqlite3_prepare_v2(handle, kUpdate, -1, &statement, nullptr) != SQLITE_OK) {
      state.SkipWithError(sqlite3_errmsg(handle));
      return;
    }
  }
  std::mt19937 random(1);
  for (auto _ : state) {
    auto* statement = objects[random() % objects.size()].update;
    if (sqlite3_step(statement) != SQLITE_DONE) state.SkipWithError("step failed");
    sqlite3_reset(statement);
  }
  state.SetItemsProcessed(state.iterations());
  for (auto& [handle, statement] : objects) {
    sqlite3_finalize(statement);
    sqlite3_close(handle);
  }
  std::filesystem::remove_all(directory);
}
BENCHMARK(BM_CommitDurableSqliteWal)->Arg(1)->Arg(32)->Arg(1000)->UseRealTime();

// A store on a disk in memory, for what the processor does alone.
struct MemoryStore {
  MemoryStore() : disk({.tracks_unsynced = false}) {
    StoreOptions options;
    options.directory = "/data";
    options.file_system = &disk;
    store = Store::open(options);
  }
  SimulatedFileSystem disk;
  std::unique_ptr<Store> store;
};

void BM_CommitCpu(benchmark::State& state) {
  MemoryStore memory;
  auto objects = make_objects(*memory.store, static_cast<std::size_t>(state.range(0)));
  std::size_t next = 0;
  for (auto _ : state) {
    update(objects[next]);
    next = (next + 1) % objects.size();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CommitCpu)->Arg(1)->Arg(1000);

struct KeyValueBench {
  KeyValueBench() : database(*memory.store, memory.store->file(20, "a")), kv(database) {
    for (int i = 0; i < 1000; ++i) keys.push_back("key-" + std::to_string(i));
    for (const auto& key : keys) put(key);
  }
  void put(const std::string& key) { kv.put(key, std::as_bytes(std::span(value)), true); }
  MemoryStore memory;
  Database database;
  KeyValue kv;
  std::vector<std::string> keys;
  std::string value = R"({"name":"example","count":12345,"tags":["a","b"]})";
};

void BM_KeyValueGet(benchmark::State& state) {
  KeyValueBench bench;
  std::size_t next = 0;
  bench.database.begin();
  for (auto _ : state) benchmark::DoNotOptimize(bench.kv.get(bench.keys[next++ % 1000]));
  bench.database.commit();
}
BENCHMARK(BM_KeyValueGet);

void BM_KeyValueGetOutsideTransaction(benchmark::State& state) {
  KeyValueBench bench;
  std::size_t next = 0;
  for (auto _ : state) benchmark::DoNotOptimize(bench.kv.get(bench.keys[next++ % 1000]));
}
BENCHMARK(BM_KeyValueGetOutsideTransaction);

void BM_KeyValuePut(benchmark::State& state) {
  KeyValueBench bench;
  std::size_t next = 0;
  bench.database.begin();
  for (auto _ : state) bench.put(bench.keys[next++ % 1000]);
  bench.database.commit();
}
BENCHMARK(BM_KeyValuePut);

void BM_KeyValueList100(benchmark::State& state) {
  KeyValueBench bench;
  for (auto _ : state) {
    auto cursor = bench.kv.list({.start = "key-5", .limit = 100});
    while (cursor.next()) benchmark::DoNotOptimize(cursor.value());
  }
}
BENCHMARK(BM_KeyValueList100);

// Opening and closing a database with two tables, and reading one row of it.
void BM_OpenSmall(benchmark::State& state) {
  MemoryStore memory;
  const auto file = memory.store->file(20, "a");
  {
    Database database(*memory.store, file);
    database.execute("CREATE TABLE a(x, y); CREATE TABLE b(x, y); INSERT INTO a VALUES (1, 2)");
  }
  for (auto _ : state) {
    Database database(*memory.store, file);
    auto statement = database.prepare("SELECT x FROM a", Access::kUser);
    sqlite3_step(statement.handle());
  }
}
BENCHMARK(BM_OpenSmall);

// Creating a database: the first commit of an object.
void BM_OpenNew(benchmark::State& state) {
  MemoryStore memory;
  ObjectNumber number = 20;
  for (auto _ : state) {
    Database database(*memory.store,
                      memory.store->file(number, "objects/" + std::to_string(number)));
    ++number;
    database.execute("CREATE TABLE c(id INTEGER PRIMARY KEY, n)");
  }
}
BENCHMARK(BM_OpenNew)->Iterations(20000);

// Heap for each open idle database with two tables and a row, and for each that is closed and waits
// for its checkpoint.
void BM_MemoryOfSmall(benchmark::State& state) {
  constexpr std::size_t kCount = 2000;
  for (auto _ : state) {
    MemoryStore memory;
    std::vector<std::unique_ptr<Database>> open;
    const auto used = [] { return static_cast<double>(mallinfo2().uordblks); };
    const double before = used();
    for (std::size_t i = 0; i < kCount; ++i) {
      open.push_back(std::make_unique<Database>(
          *memory.store, memory.store->file(20 + i, "objects/" + std::string(70, 'x'))));
      Database& database = *open.back();
      database.begin();
      database.execute("CREATE TABLE a(x, y); CREATE TABLE b(x, y); INSERT INTO a VALUES (1, 2)");
      database.commit();
    }
    memory.store->log().wait_durable(memory.store->log().appended_lsn());
    const double all = used();
    state.counters["sqlite_bytes"] = static_cast<double>(open[0]->memory_bytes());
    open.clear();
    const double closed = used();
    state.counters["open_bytes"] = (all - closed) / kCount;
    state.counters["dirty_bytes"] = (closed - before) / kCount;
  }
}
BENCHMARK(BM_MemoryOfSmall)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace perdure::store
