#pragma once

#include <memory>
#include <vector>

#include "base/simulated_file_system.h"
#include "node/napi.h"
#include "runtime/catalog.h"
#include "runtime/object_id.h"
#include "store/store.h"

namespace perdure::node {

// An open data directory as JavaScript holds it. Lives until its environment is torn down, so that
// a call after close() is an error and not a wild pointer.
struct Engine {
  std::unique_ptr<SimulatedFileSystem> memory;  // the disk of a directory that is kept nowhere
  std::unique_ptr<store::Store> store;
  std::unique_ptr<runtime::Catalog> catalog;
  // By namespace number.
  std::vector<std::unique_ptr<runtime::ObjectIdFactory>> ids;

  store::Store& open_store() const;
  const runtime::ObjectIdFactory& id_factory(std::uint32_t ns) const;
};

// exports.openEngine(directory: string | undefined, memoryBytes?: number) -> engine
//   undefined: in memory, touching no file; nothing is left after close()
//   memoryBytes: what the process may take, which the engine keeps its own share of
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
