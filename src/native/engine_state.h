#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "perdure/engine.h"
#include "runtime/catalog.h"
#include "runtime/object_id.h"
#include "store/store.h"

namespace perdure::native {

// Throws Error(kInvalid).
store::StoreOptions store_options(const std::filesystem::path& directory, const Options& options);

// An open data directory, shared by the Engine, its Namespaces and its Storages. Any thread.
struct EngineState {
  // `options` without a handler for failures: that is made here. Throws what Store::open() throws.
  static std::shared_ptr<EngineState> open(store::StoreOptions options,
                                           std::function<void(const std::string&)> on_failure);
  static Engine engine(std::shared_ptr<EngineState> state) { return Engine(std::move(state)); }

  // While one of these lives the directory stays open. Throws Error(kInvalid) once it is closed.
  class Use {
   public:
    explicit Use(EngineState& engine);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    [[nodiscard]] store::Store& store() const noexcept { return *engine_.store_; }
    [[nodiscard]] runtime::Catalog& catalog() const noexcept { return *engine_.catalog_; }

   private:
    EngineState& engine_;
  };

  // Throws Error(kPoisoned) after a failure; to be asked before each write.
  void check_writable() const {
    if (failed_.load(std::memory_order_acquire)) throw_failure();
  }
  [[noreturn]] void throw_failure() const;

  // One Storage at a time for each object: throws Error(kLocked).
  void claim(const runtime::ObjectId& id);
  void give_back(const runtime::ObjectId& id) noexcept;

  void close();

 private:
  std::atomic<bool> failed_{false};
  std::string failure_;  // written before `failed_`
  // Null once closed; not changed while there are uses, or objects that are open.
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<runtime::Catalog> catalog_;

  std::mutex mutex_;
  std::size_t uses_ = 0;
  std::set<runtime::ObjectId::Bytes> open_;  // objects that a Storage has
};

}  // namespace perdure::native
