#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "base/simulated_file_system.h"
#include "runtime/catalog.h"
#include "store/database.h"
#include "store/store.h"

namespace perdure::runtime {
namespace {

// The first touch of an object: its row in the catalog, its database, its first commit. On a disk
// in memory, with the checkpoints that so many new objects bring about.
void BM_FirstTouch(benchmark::State& state) {
  SimulatedFileSystem disk({.tracks_unsynced = false});
  store::StoreOptions options;
  options.directory = "/data";
  options.file_system = &disk;
  auto store = store::Store::open(options);
  Catalog catalog(*store);
  const ObjectIdFactory ids("bench");
  const NamespaceNumber ns = catalog.open_namespace("bench");
  std::uint64_t next = 0;
  for (auto _ : state) {
    const std::string name = std::to_string(next++);
    store::Database database(*store, catalog.object(ns, ids.from_name(name), name));
    database.begin();
    database.execute("CREATE TABLE c(id INTEGER PRIMARY KEY, n); INSERT INTO c VALUES (1, 1)");
    database.commit();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_FirstTouch)->Iterations(100'000)->UseRealTime();

}  // namespace
}  // namespace perdure::runtime
