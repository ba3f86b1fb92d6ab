#include "store/store.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include "base/error.h"
#include "store/checkpoint.h"
#include "store/data_directory.h"
#include "store/store_core.h"

namespace perdure::store {
namespace {

constexpr int kExitIoError = 74;  // EX_IOERR

}  // namespace

struct Store::Impl {
  explicit Impl(StoreOptions options) : core(std::move(options)) {}

  void checkpoint();
  void run_checkpointer();
  void stop_checkpointer();
  void fail(const std::string& message);

  std::unique_ptr<FileLock> lock;
  StoreCore core;
  log::RecoveryReport recovery;
  std::mutex checkpoint_mutex;
  std::thread checkpointer;
  bool closed = false;
};

void Store::Impl::checkpoint() {
  const std::scoped_lock guard(checkpoint_mutex);
  try {
    Checkpoint(core).run();
  } catch (...) {
    core.checkpoint_ended(false);
    throw;
  }
  core.checkpoint_ended(true);
}

// Files that can not be written can not be caught up with either. The log has everything; the next
// start will replay it.
void Store::Impl::fail(const std::string& message) {
  const std::string text = "The checkpoint failed: " + message;
  if (core.options().on_poisoned) return core.options().on_poisoned(text);
  std::fprintf(stderr, "perdure: %s\n", text.c_str());
  std::_Exit(kExitIoError);
}

void Store::Impl::run_checkpointer() {
  while (core.wait_for_work()) {
    try {
      checkpoint();
    } catch (const Error& error) {
      // A full disk may get room again: commits are refused meanwhile when it comes to that.
      if (error.code() == ErrorCode::kFull) {
        core.log().history().give_up_oldest();
        continue;
      }
      return fail(error.what());
    } catch (const std::exception& error) {
      return fail(error.what());
    }
  }
}

void Store::Impl::stop_checkpointer() {
  core.stop_checkpointer();
  if (checkpointer.joinable()) checkpointer.join();
}

std::unique_ptr<Store> Store::open(StoreOptions options) {
  std::unique_ptr<Store> store(new Store);
  store->impl_ = std::make_unique<Impl>(std::move(options));
  Impl& impl = *store->impl_;
  impl.closed = true;  // nothing to close until everything is open
  impl.lock = claim_data_directory(impl.core.file_system(), impl.core.options().directory);
  impl.core.open_log();
  impl.recovery = impl.core.log().recovery();
  impl.checkpointer = std::thread([&impl] { impl.run_checkpointer(); });
  impl.closed = false;
  return store;
}

Store::~Store() {
  try {
    close();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "perdure: %s\n", error.what());
  }
}

void Store::close() {
  if (impl_->closed) return;
  impl_->closed = true;
  impl_->stop_checkpointer();
  const auto release = [this] {
    if (const auto hooks = impl_->core.hooks()) hooks->closing();
    impl_->core.set_hooks(nullptr);
    impl_->core.close_log();
    impl_->lock.reset();
  };
  try {
    impl_->checkpoint();
  } catch (...) {
    release();
    throw;
  }
  release();
}

log::Log& Store::log() noexcept { return impl_->core.log(); }

const log::RecoveryReport& Store::recovery() const noexcept { return impl_->recovery; }

ObjectNumber Store::number_max() const noexcept { return impl_->core.number_max(); }

std::uint64_t Store::transaction_bytes_max() const noexcept {
  return impl_->core.options().transaction_bytes_max;
}

std::int64_t Store::now_ms() const { return impl_->core.now_ms(); }

std::uint64_t Store::dirty_bytes() const noexcept { return impl_->core.dirty_bytes(); }

void Store::set_checkpoint_hooks(std::shared_ptr<CheckpointHooks> hooks) {
  impl_->core.set_hooks(std::move(hooks));
}

std::shared_ptr<DatabaseFile> Store::file(ObjectNumber number, const std::string& path) {
  return impl_->core.file(number, path);
}

std::shared_ptr<DatabaseFile> Store::find(ObjectNumber number) { return impl_->core.find(number); }

void Store::place_files(std::span<const Placement> placements) {
  FileSystem& file_system = impl_->core.file_system();
  const std::filesystem::path root = impl_->core.options().directory;
  std::set<std::filesystem::path> changed = {root};
  for (const auto& [from, relative] : placements) {
    const std::filesystem::path to = impl_->core.full_path(relative);
    for (auto folder = to.parent_path(); changed.insert(folder).second;) {
      file_system.create_directories(folder);
      folder = folder.parent_path();
    }
    file_system.rename(from, to);
  }
  for (const auto& folder : changed) file_system.sync_directory(folder);
}

ForeignFile Store::placed_file(const std::string& path, ObjectNumber database) {
  return read_foreign_file(impl_->core.file_system(), impl_->core.full_path(path), database);
}

void Store::request_checkpoint() noexcept { impl_->core.wake_checkpointer(); }

void Store::checkpoint() { impl_->checkpoint(); }

void Store::between_checkpoints(const std::function<void()>& body) {
  const std::scoped_lock guard(impl_->checkpoint_mutex);
  body();
}

}  // namespace perdure::store
