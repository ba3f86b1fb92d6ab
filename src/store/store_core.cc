#include "store/store_core.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "sqlite3.h"
#include "store/vfs.h"

namespace perdure::store {
namespace {

// How often the checkpointer looks by itself whether work is due, and tries again after a failure.
constexpr std::chrono::milliseconds kPollInterval{200};

std::string unique_vfs_name() {
  static std::atomic<std::uint64_t> count{0};
  return "perdure-" + std::to_string(count.fetch_add(1) + 1);
}

void initialize_sqlite() {
  static std::once_flag once;
  std::call_once(once, [] { sqlite3_initialize(); });
}

}  // namespace

StoreCore::StoreCore(StoreOptions options)
    : options_(std::move(options)),
      file_system_(options_.file_system != nullptr ? options_.file_system : &real_file_system()),
      open_files_(*file_system_),
      vfs_name_(unique_vfs_name()) {
  initialize_sqlite();
  vfs_ = make_vfs(*this);
  sqlite3_vfs_register(vfs_.get(), 0);
}

StoreCore::~StoreCore() {
  sqlite3_vfs_unregister(vfs_.get());
  log_.reset();
}

void StoreCore::open_log() {
  log::LogOptions options;
  options.file_system = file_system_;
  options.directory = options_.directory / "log";
  options.segment_bytes = options_.segment_bytes;
  options.flush_on_append = options_.flush_on_append;
  options.history = options_.history;
  options.on_poisoned = options_.on_poisoned;
  log_ = log::Log::open(options, [this](const log::RecordView& record) { replay(record); });
  for (const auto& [number, file] : dirty_) file->recovered(log_->epoch());
}

void StoreCore::close_log() {
  const std::scoped_lock lock(dirty_mutex_);
  dirty_.clear();
  log_.reset();
}

void StoreCore::replay(const log::RecordView& record) {
  number_max_ = std::max(number_max_, record.object);
  auto& file = dirty_[record.object];
  if (file == nullptr) {
    file = this->file(record.object, "");
    file->set_listed(true);
  }
  file->replay(record);
}

// ---- the table of files

std::shared_ptr<DatabaseFile> StoreCore::find_locked(ObjectNumber number) {
  const auto it = table_.find(number);
  return it == table_.end() ? nullptr : it->second.lock();
}

std::shared_ptr<DatabaseFile> StoreCore::find(ObjectNumber number) {
  const std::scoped_lock lock(table_mutex_);
  return find_locked(number);
}

std::shared_ptr<DatabaseFile> StoreCore::insert_locked(ObjectNumber number,
                                                       const std::string& path) {
  std::shared_ptr<DatabaseFile> file(new DatabaseFile(*this, number, path),
                                     [this, number](DatabaseFile* old) {
                                       delete old;
                                       forget(number);
                                     });
  table_[number] = file;
  return file;
}

std::shared_ptr<DatabaseFile> StoreCore::file(ObjectNumber number, const std::string& path) {
  std::shared_ptr<DatabaseFile> found;
  {
    const std::scoped_lock lock(table_mutex_);
    found = find_locked(number);
    if (found == nullptr) return insert_locked(number, path);
  }
  found->set_path(path);
  return found;
}

// Somebody may have asked for the file again meanwhile: then the entry is not the dead one.
void StoreCore::forget(ObjectNumber number) {
  const std::scoped_lock lock(table_mutex_);
  const auto it = table_.find(number);
  if (it != table_.end() && it->second.expired()) table_.erase(it);
}

void StoreCore::set_hooks(std::shared_ptr<CheckpointHooks> hooks) {
  const std::scoped_lock lock(control_mutex_);
  std::swap(hooks_, hooks);
}

std::shared_ptr<CheckpointHooks> StoreCore::hooks() const {
  const std::scoped_lock lock(control_mutex_);
  return hooks_;
}

// ---- the dirty list

void StoreCore::list_dirty(std::shared_ptr<DatabaseFile> file) {
  const std::scoped_lock lock(dirty_mutex_);
  const ObjectNumber number = file->number();
  dirty_[number] = std::move(file);
}

bool StoreCore::has_dirty() {
  const std::scoped_lock lock(dirty_mutex_);
  return !dirty_.empty();
}

std::vector<std::shared_ptr<DatabaseFile>> StoreCore::take_dirty() {
  std::vector<std::shared_ptr<DatabaseFile>> files;
  {
    const std::scoped_lock lock(dirty_mutex_);
    files.reserve(dirty_.size());
    for (auto& [number, file] : dirty_) files.push_back(std::move(file));
    dirty_ = {};
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a->number() < b->number(); });
  return files;
}

std::shared_ptr<DatabaseFile> StoreCore::take_dirty(ObjectNumber number) {
  const std::scoped_lock lock(dirty_mutex_);
  const auto it = dirty_.find(number);
  if (it == dirty_.end()) return nullptr;
  auto file = std::move(it->second);
  dirty_.erase(it);
  return file;
}

// ---- when to checkpoint

std::int64_t StoreCore::now_ms() const {
  if (options_.history.now_ms) return options_.history.now_ms();
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             system_clock::now().time_since_epoch())
      .count();
}

bool StoreCore::checkpoint_due() const {
  return dirty_bytes() >= options_.dirty_bytes_max ||
         log_->bytes_since_checkpoint() >= options_.checkpoint_log_bytes;
}

void StoreCore::admit_commit() {
  if (!log_->has_room()) {
    wake_checkpointer();
    throw Error(ErrorCode::kFull, "the disk has no room for the log");
  }
  const std::uint64_t limit = 2 * options_.dirty_bytes_max;
  if (dirty_bytes() < limit) return;
  std::unique_lock lock(control_mutex_);
  std::uint64_t seen = checkpoints_;
  while (dirty_bytes() >= limit && !stop_) {
    wake_ = true;
    control_changed_.notify_all();
    control_changed_.wait_for(lock, kPollInterval);
    if (checkpoints_ != seen && !last_succeeded_) {
      throw Error(ErrorCode::kFull, "too many committed pages wait for a checkpoint that fails");
    }
    seen = checkpoints_;
  }
}

void StoreCore::wake_checkpointer() {
  if (wake_.exchange(true)) return;
  const std::scoped_lock lock(control_mutex_);
  control_changed_.notify_all();
}

bool StoreCore::wait_for_work() {
  std::unique_lock lock(control_mutex_);
  control_changed_.wait(lock, [&] { return stop_ || wake_; });
  // After a failure (a full disk), not again at once.
  if (!last_succeeded_) control_changed_.wait_for(lock, kPollInterval, [&] { return stop_; });
  wake_ = false;
  return !stop_;
}

void StoreCore::checkpoint_ended(bool succeeded) {
  const std::scoped_lock lock(control_mutex_);
  ++checkpoints_;
  last_succeeded_ = succeeded;
  control_changed_.notify_all();
}

void StoreCore::stop_checkpointer() {
  const std::scoped_lock lock(control_mutex_);
  stop_ = true;
  control_changed_.notify_all();
}

}  // namespace perdure::store
