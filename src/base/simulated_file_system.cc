#include "base/simulated_file_system.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace perdure {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChunkBytes = 64 << 10;
constexpr std::size_t kSectorBytes = 512;
constexpr std::size_t kOperationKinds = 9;

// The bytes of a file. What was never written is zeros and takes no memory.
class Content {
 public:
  Content() = default;
  Content(const Content& other) : size_(other.size_) {
    for (const auto& [index, chunk] : other.chunks_) {
      chunks_.emplace(index, std::make_unique<Chunk>(*chunk));
    }
  }
  Content& operator=(const Content& other) {
    Content copy(other);
    std::swap(chunks_, copy.chunks_);
    size_ = copy.size_;
    return *this;
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  std::size_t read(std::uint64_t offset, std::span<std::byte> out) const {
    if (offset >= size_) return 0;
    out = out.first(std::min<std::uint64_t>(out.size(), size_ - offset));
    for_each_chunk(offset, out.size(),
                   [&](std::uint64_t index, std::size_t at, std::size_t done, std::size_t count) {
                     const auto found = chunks_.find(index);
                     if (found == chunks_.end()) {
                       std::memset(out.data() + done, 0, count);
                     } else {
                       std::memcpy(out.data() + done, found->second->data() + at, count);
                     }
                   });
    return out.size();
  }

  void write(std::uint64_t offset, std::span<const std::byte> data) {
    for_each_chunk(offset, data.size(),
                   [&](std::uint64_t index, std::size_t at, std::size_t done, std::size_t count) {
                     auto& chunk = chunks_[index];
                     if (!chunk) chunk = std::make_unique<Chunk>();
                     std::memcpy(chunk->data() + at, data.data() + done, count);
                   });
    size_ = std::max<std::uint64_t>(size_, offset + data.size());
  }

  void resize(std::uint64_t size) {
    if (size < size_) {
      const std::uint64_t whole = (size + kChunkBytes - 1) / kChunkBytes;
      chunks_.erase(chunks_.lower_bound(whole), chunks_.end());
      const auto last = chunks_.find(size / kChunkBytes);
      if (last != chunks_.end()) {
        const std::size_t kept = size % kChunkBytes;
        std::memset(last->second->data() + kept, 0, kChunkBytes - kept);
      }
    }
    size_ = size;
  }

 private:
  using Chunk = std::array<std::byte, kChunkBytes>;

  // Calls visit(chunk index, offset in the chunk, bytes done before, bytes in this chunk).
  template <typename Visit>
  static void for_each_chunk(std::uint64_t offset, std::size_t bytes, Visit visit) {
    for (std::size_t done = 0; done < bytes;) {
      const std::size_t at = (offset + done) % kChunkBytes;
      const std::size_t count = std::min(bytes - done, kChunkBytes - at);
      visit((offset + done) / kChunkBytes, at, done, count);
      done += count;
    }
  }

  std::map<std::uint64_t, std::unique_ptr<Chunk>> chunks_;
  std::uint64_t size_ = 0;
};

// A change of a file that was not synced.
struct Change {
  bool is_resize = false;
  std::uint64_t offset = 0;  // of a write; the new size of a resize
  std::vector<std::byte> data;
};

struct Inode {
  Content content;
  Content synced;
  std::vector<Change> unsynced;
  int names = 0;
};
using InodePtr = std::shared_ptr<Inode>;

// A change of a directory that was not synced.
struct NameChange {
  std::string removed;  // may be empty
  std::string added;    // may be empty
  InodePtr inode;
};

using Names = std::map<std::string, InodePtr>;

void apply_name_change(const NameChange& change, Names& names) {
  if (!change.removed.empty()) names.erase(change.removed);
  if (!change.added.empty()) names[change.added] = change.inode;
}

std::string normal(const fs::path& path) {
  std::string name = path.lexically_normal().string();
  if (name.size() > 1 && name.back() == '/') name.pop_back();
  return name;
}
std::string parent(const std::string& path) { return fs::path(path).parent_path().string(); }

// How much of what was not synced survives a crash.
class Fate {
 public:
  Fate(std::uint64_t seed, std::optional<int> kept_percent) : random_(seed) {
    // Everything and nothing are the likely cases of a real crash; random parts find the rest.
    constexpr std::array<int, 5> kPercents = {0, 100, 50, 90, 10};
    percent_ = kept_percent.value_or(kPercents[random_() % kPercents.size()]);
  }
  bool keeps() { return static_cast<int>(random_() % 100) < percent_; }

 private:
  std::mt19937_64 random_;
  int percent_ = 0;
};

}  // namespace

struct SimulatedFileSystem::Disk {
  explicit Disk(Options disk_options) : options(disk_options) {
    failures.fill({0, ErrorCode::kIo});
  }

  const Options options;
  mutable std::mutex mutex;
  Names names;
  Names synced_names;
  std::map<std::string, std::vector<NameChange>> unsynced_names;  // by directory
  std::set<std::string> directories;
  std::set<std::string> locks;
  std::uint64_t generation = 0;  // grows with each crash
  std::uint64_t operations = 0;
  std::uint64_t power_off_at = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t capacity = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t used = 0;
  std::chrono::microseconds sync_delay{0};
  struct Failure {
    std::uint64_t count;
    ErrorCode code;
  };
  std::array<Failure, kOperationKinds> failures;

  // All with the mutex held.

  [[noreturn]] static void refuse(const char* action, const std::string& path, const char* reason,
                                  ErrorCode code = ErrorCode::kIo) {
    throw Error(code, std::string("Cannot ") + action + " " + path + ": " + reason + ".");
  }

  [[nodiscard]] bool is_off() const { return operations >= power_off_at; }

  void check_failure(Operation operation, const char* action, const std::string& path) {
    Failure& failure = failures[static_cast<std::size_t>(operation)];
    if (failure.count == 0 || --failure.count > 0) return;
    if (failure.code == ErrorCode::kFull) {
      refuse(action, path, "No space left on device", ErrorCode::kFull);
    }
    refuse(action, path, "Input/output error", failure.code);
  }

  // Counts an operation; returns true when it is the one in which the power goes off, so that it is
  // to have its effect and then call power_fails.
  bool begin(Operation operation, const char* action, const std::string& path) {
    if (is_off()) refuse(action, path, "The power is off");
    if (operation != Operation::kRead) ++operations;
    check_failure(operation, action, path);
    return is_off();
  }

  [[noreturn]] static void power_fails(const char* action, const std::string& path) {
    refuse(action, path, "The power is off");
  }

  void take(std::uint64_t old_size, std::uint64_t new_size, const char* action,
            const std::string& path) {
    if (new_size > old_size && new_size - old_size > capacity - std::min(capacity, used)) {
      refuse(action, path, "No space left on device", ErrorCode::kFull);
    }
    used = used + new_size - old_size;
  }

  void change_name(const std::string& directory, NameChange change) {
    if (!change.added.empty()) {
      const auto replaced = names.find(change.added);
      if (replaced != names.end()) drop_name(*replaced->second);
    }
    apply_name_change(change, names);
    if (options.tracks_unsynced) unsynced_names[directory].push_back(std::move(change));
  }

  void drop_name(Inode& inode) {
    if (--inode.names == 0) used -= inode.content.size();
  }

  void record(Inode& inode, Change change) {
    if (options.tracks_unsynced) inode.unsynced.push_back(std::move(change));
  }

  static void apply_change(const Change& change, Content& content) {
    if (change.is_resize) {
      content.resize(change.offset);
    } else {
      content.write(change.offset, change.data);
    }
  }

  static void make_synced(Inode& inode) {
    for (const Change& change : inode.unsynced) apply_change(change, inode.synced);
    inode.unsynced.clear();
  }

  // A failed sync: the writes are dropped from the cache, and nobody writes them again.
  void lose_unsynced(Inode& inode) {
    if (!options.tracks_unsynced) return;
    inode.unsynced.clear();
  }

  static void crash_file(Inode& inode, Fate& fate) {
    for (const Change& change : inode.unsynced) {
      if (change.is_resize) {
        if (fate.keeps()) inode.synced.resize(change.offset);
        continue;
      }
      for (std::size_t done = 0; done < change.data.size();) {
        const std::uint64_t at = change.offset + done;
        const std::size_t count =
            std::min<std::size_t>(change.data.size() - done, kSectorBytes - at % kSectorBytes);
        if (fate.keeps()) inode.synced.write(at, std::span(change.data).subspan(done, count));
        done += count;
      }
    }
    inode.unsynced.clear();
    inode.content = inode.synced;
  }

  // In an order that depends on names only, so that a seed always does the same.
  void crash_files(Fate& fate) {
    std::set<const Inode*> done;
    const auto crash_once = [&](const InodePtr& inode) {
      if (inode && done.insert(inode.get()).second) crash_file(*inode, fate);
    };
    for (const auto& [name, inode] : names) crash_once(inode);
    for (const auto& [name, inode] : synced_names) crash_once(inode);
    for (const auto& [directory, changes] : unsynced_names) {
      for (const NameChange& change : changes) crash_once(change.inode);
    }
  }

  void crash_names(Fate& fate) {
    for (const auto& [directory, changes] : unsynced_names) {
      for (const NameChange& change : changes) {
        if (fate.keeps()) apply_name_change(change, synced_names);
      }
    }
    unsynced_names.clear();
    names = synced_names;
  }

  void count_again() {
    used = 0;
    for (const auto& [name, inode] : names) inode->names = 0;
    for (const auto& [name, inode] : names) {
      if (inode->names++ == 0) used += inode->content.size();
    }
  }
};

class SimulatedFileSystem::OpenFile final : public File {
 public:
  OpenFile(std::shared_ptr<Disk> disk, std::string path, InodePtr inode, bool can_write)
      : disk_(std::move(disk)),
        path_(std::move(path)),
        inode_(std::move(inode)),
        generation_(disk_->generation),
        can_write_(can_write) {}

  std::size_t read(std::uint64_t offset, std::span<std::byte> out) override {
    const std::lock_guard lock(disk_->mutex);
    begin(Operation::kRead, "read");
    return inode_->content.read(offset, out);
  }

  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    const std::lock_guard lock(disk_->mutex);
    const bool is_last = begin(Operation::kWrite, "write");
    const std::uint64_t size = inode_->content.size();
    take(std::max<std::uint64_t>(size, offset + data.size()), "write");
    inode_->content.write(offset, data);
    disk_->record(*inode_, {false, offset, copy_when_tracked(data)});
    if (is_last) Disk::power_fails("write", path_);
  }

  void sync() override {
    wait_for_disk();
    const std::lock_guard lock(disk_->mutex);
    bool is_last = false;
    try {
      is_last = begin(Operation::kSync, "sync");
    } catch (const Error&) {
      if (!disk_->is_off()) disk_->lose_unsynced(*inode_);
      throw;
    }
    // When the power fails in a sync, anything may have been written: crash() decides.
    if (is_last) Disk::power_fails("sync", path_);
    if (disk_->options.tracks_unsynced) Disk::make_synced(*inode_);
  }

  [[nodiscard]] std::uint64_t size() override {
    const std::lock_guard lock(disk_->mutex);
    check_alive("inspect");
    return inode_->content.size();
  }

  void truncate(std::uint64_t size) override {
    const std::lock_guard lock(disk_->mutex);
    const bool is_last = begin(Operation::kTruncate, "truncate");
    resize(size, "truncate");
    if (is_last) Disk::power_fails("truncate", path_);
  }

  void preallocate(std::uint64_t size) override {
    const std::lock_guard lock(disk_->mutex);
    if (size <= inode_->content.size()) {
      check_alive("allocate room for");
      return;
    }
    const bool is_last = begin(Operation::kPreallocate, "allocate room for");
    resize(size, "allocate room for");
    if (is_last) Disk::power_fails("allocate room for", path_);
    if (disk_->options.tracks_unsynced) Disk::make_synced(*inode_);
  }

 private:
  void check_alive(const char* action) const {
    if (generation_ != disk_->generation) {
      Disk::refuse(action, path_, "The file was open when the power went off");
    }
    if (disk_->is_off()) Disk::power_fails(action, path_);
  }

  bool begin(Operation operation, const char* action) {
    check_alive(action);
    if (!can_write_ && operation != Operation::kRead && operation != Operation::kSync) {
      Disk::refuse(action, path_, "Bad file descriptor");
    }
    return disk_->begin(operation, action, path_);
  }

  void take(std::uint64_t new_size, const char* action) {
    // A file without a name takes no room that anybody could have back.
    if (inode_->names > 0) disk_->take(inode_->content.size(), new_size, action, path_);
  }

  void resize(std::uint64_t size, const char* action) {
    take(size, action);
    inode_->content.resize(size);
    disk_->record(*inode_, {true, size, {}});
  }

  [[nodiscard]] std::vector<std::byte> copy_when_tracked(std::span<const std::byte> data) const {
    if (!disk_->options.tracks_unsynced) return {};
    return {data.begin(), data.end()};
  }

  void wait_for_disk() const {
    std::chrono::microseconds delay;
    {
      const std::lock_guard lock(disk_->mutex);
      delay = disk_->sync_delay;
    }
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
  }

  const std::shared_ptr<Disk> disk_;
  const std::string path_;
  const InodePtr inode_;
  const std::uint64_t generation_;
  const bool can_write_;
};

class SimulatedFileSystem::Lock final : public FileLock {
 public:
  Lock(std::shared_ptr<Disk> disk, std::string path)
      : disk_(std::move(disk)), path_(std::move(path)), generation_(disk_->generation) {}
  ~Lock() override {
    const std::lock_guard lock(disk_->mutex);
    if (generation_ == disk_->generation) disk_->locks.erase(path_);
  }

 private:
  const std::shared_ptr<Disk> disk_;
  const std::string path_;
  const std::uint64_t generation_;
};

SimulatedFileSystem::SimulatedFileSystem() : SimulatedFileSystem(Options{}) {}
SimulatedFileSystem::SimulatedFileSystem(Options options)
    : disk_(std::make_shared<Disk>(options)) {}
SimulatedFileSystem::~SimulatedFileSystem() = default;

std::unique_ptr<File> SimulatedFileSystem::open(const fs::path& path, Mode mode) {
  const std::string name = normal(path);
  const std::lock_guard lock(disk_->mutex);
  if (disk_->is_off()) Disk::power_fails("open", name);
  const auto found = disk_->names.find(name);
  const bool creates = mode == Mode::kCreate || mode == Mode::kCreateNew;
  if (found != disk_->names.end()) {
    if (mode == Mode::kCreateNew) Disk::refuse("open", name, "File exists");
    return std::make_unique<OpenFile>(disk_, name, found->second, mode != Mode::kRead);
  }
  const std::string directory = parent(name);
  if (!creates ||
      (!directory.empty() && directory != "/" && !disk_->directories.contains(directory))) {
    Disk::refuse("open", name, "No such file or directory");
  }
  const bool is_last = disk_->begin(Operation::kOpen, "open", name);
  auto inode = std::make_shared<Inode>();
  inode->names = 1;
  disk_->change_name(directory, {"", name, inode});
  if (is_last) Disk::power_fails("open", name);
  return std::make_unique<OpenFile>(disk_, name, std::move(inode), true);
}

bool SimulatedFileSystem::exists(const fs::path& path) {
  const std::string name = normal(path);
  const std::lock_guard lock(disk_->mutex);
  return disk_->names.contains(name) || disk_->directories.contains(name);
}

void SimulatedFileSystem::remove(const fs::path& path) {
  const std::string name = normal(path);
  const std::lock_guard lock(disk_->mutex);
  const bool is_last = disk_->begin(Operation::kRemove, "remove", name);
  const auto found = disk_->names.find(name);
  if (found == disk_->names.end()) Disk::refuse("remove", name, "No such file or directory");
  disk_->drop_name(*found->second);
  disk_->change_name(parent(name), {name, "", nullptr});
  if (is_last) Disk::power_fails("remove", name);
}

void SimulatedFileSystem::rename(const fs::path& from, const fs::path& to) {
  const std::string old_name = normal(from);
  const std::string new_name = normal(to);
  const std::lock_guard lock(disk_->mutex);
  const bool is_last = disk_->begin(Operation::kRename, "rename", old_name);
  const auto found = disk_->names.find(old_name);
  if (found == disk_->names.end()) Disk::refuse("rename", old_name, "No such file or directory");
  if (old_name != new_name) {
    disk_->change_name(parent(new_name), {old_name, new_name, found->second});
  }
  if (is_last) Disk::power_fails("rename", old_name);
}

void SimulatedFileSystem::create_directories(const fs::path& path) {
  const std::lock_guard lock(disk_->mutex);
  if (disk_->is_off()) Disk::power_fails("create the directory", path.string());
  for (fs::path at = normal(path); !at.empty() && at != at.root_path(); at = at.parent_path()) {
    disk_->directories.insert(at.string());
  }
}

std::vector<std::string> SimulatedFileSystem::list(const fs::path& path) {
  const std::string directory = normal(path);
  const std::lock_guard lock(disk_->mutex);
  if (disk_->is_off()) Disk::power_fails("list the directory", directory);
  if (!disk_->directories.contains(directory)) {
    Disk::refuse("list the directory", directory, "No such file or directory");
  }
  std::vector<std::string> result;
  for (const auto& [name, inode] : disk_->names) {
    if (parent(name) == directory) result.push_back(fs::path(name).filename().string());
  }
  for (const std::string& name : disk_->directories) {
    if (parent(name) == directory) result.push_back(fs::path(name).filename().string());
  }
  std::sort(result.begin(), result.end());
  return result;
}

void SimulatedFileSystem::sync_directory(const fs::path& path) {
  const std::string directory = normal(path);
  const std::lock_guard lock(disk_->mutex);
  const bool is_last = disk_->begin(Operation::kSyncDirectory, "sync the directory", directory);
  if (is_last) Disk::power_fails("sync the directory", directory);
  for (const NameChange& change : disk_->unsynced_names[directory]) {
    apply_name_change(change, disk_->synced_names);
  }
  disk_->unsynced_names.erase(directory);
}

std::unique_ptr<FileLock> SimulatedFileSystem::try_lock(const fs::path& path) {
  open(path, Mode::kCreate);
  const std::string name = normal(path);
  const std::lock_guard lock(disk_->mutex);
  if (!disk_->locks.insert(name).second) return nullptr;
  return std::make_unique<Lock>(disk_, name);
}

void SimulatedFileSystem::crash(std::uint64_t seed, std::optional<int> kept_percent) {
  const std::lock_guard lock(disk_->mutex);
  Fate fate(seed, kept_percent);
  if (disk_->options.tracks_unsynced) {
    disk_->crash_files(fate);
    disk_->crash_names(fate);
  }
  disk_->count_again();
  disk_->locks.clear();
  ++disk_->generation;
  disk_->power_off_at = std::numeric_limits<std::uint64_t>::max();
}

void SimulatedFileSystem::power_off_at(std::uint64_t count) {
  const std::lock_guard lock(disk_->mutex);
  disk_->power_off_at = disk_->operations + count;
}

bool SimulatedFileSystem::is_power_off() const {
  const std::lock_guard lock(disk_->mutex);
  return disk_->is_off();
}

std::uint64_t SimulatedFileSystem::operations() const {
  const std::lock_guard lock(disk_->mutex);
  return disk_->operations;
}

void SimulatedFileSystem::fail(Operation operation, std::uint64_t count, ErrorCode code) {
  const std::lock_guard lock(disk_->mutex);
  disk_->failures[static_cast<std::size_t>(operation)] = {count, code};
}

void SimulatedFileSystem::set_capacity(std::uint64_t bytes) {
  const std::lock_guard lock(disk_->mutex);
  disk_->capacity = bytes;
}

std::uint64_t SimulatedFileSystem::used_bytes() const {
  const std::lock_guard lock(disk_->mutex);
  return disk_->used;
}

void SimulatedFileSystem::set_sync_delay(std::chrono::microseconds delay) {
  const std::lock_guard lock(disk_->mutex);
  disk_->sync_delay = delay;
}

}  // namespace perdure
