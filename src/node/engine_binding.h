#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/simulated_file_system.h"
#include "node/napi.h"
#include "runtime/catalog.h"
#include "runtime/object_id.h"
#include "store/store.h"

namespace perdure::node {

class HttpFront;

// An open data directory and the HTTP front of its process. Several environments (threads) can use
// it at one time. What is null has not been opened, or has been closed.
struct DataDirectory {
  DataDirectory();
  ~DataDirectory();

  std::unique_ptr<SimulatedFileSystem> memory;  // the disk of a directory that is kept nowhere
  std::unique_ptr<store::Store> store;
  std::unique_ptr<runtime::Catalog> catalog;
  std::unique_ptr<HttpFront> http;
};

// The data directory as one JavaScript environment holds it. Lives until the environment is torn
// down, so that a call after close() is an error and not a wild pointer.
struct Engine {
  std::shared_ptr<DataDirectory> directory;
  // By namespace number: those that this environment has opened.
  std::vector<std::unique_ptr<runtime::ObjectIdFactory>> ids;

  store::Store& open_store() const;
  runtime::Catalog& open_catalog() const;
  const runtime::ObjectIdFactory& id_factory(std::uint32_t ns) const;
};

// exports.openEngine(directory: string | undefined, memoryBytes?, historyMs?, historyBytes?) ->
// engine
//   undefined: in memory, touching no file; nothing is left after close()
//   memoryBytes: what the process may take, which the engine keeps its own share of
//   historyMs, historyBytes: how long and how much of the past is kept; 0 ms: nothing
// exports.attachEngine(engine.token) -> the engine of another environment of this process, for this
//   one. Only the one that opened it closes it, after all shards.
// exports.releaseFreeMemory(): see base/memory.h
// exports.copyDatabase(source, target, isKeyValue) -> alarm in ms or undefined: see
//   store/foreign_database.h
void define_engine(napi_env env, napi_value exports);

// Deletes `object` when the environment goes; newest first, as Node-API promises.
template <typename T>
T* owned_by_environment(napi_env env, std::unique_ptr<T> object) {
  T* raw = object.release();
  check(env, napi_add_env_cleanup_hook(
                 env, [](void* data) { delete static_cast<T*>(data); }, raw));
  return raw;
}

}  // namespace perdure::node
