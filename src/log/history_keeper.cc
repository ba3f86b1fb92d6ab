#include "log/history_keeper.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"

namespace perdure::log {
namespace {

// How often it looks for what has expired, and tries again what a full disk had stopped.
constexpr std::chrono::seconds kInterval{10};
// The lowest priority of a thread.
constexpr int kNice = 19;

std::string label(std::uint64_t number) { return "segment " + std::to_string(number); }

}  // namespace

HistoryKeeper::HistoryKeeper(Options options)
    : options_(std::move(options)),
      clock_(options_.history.pace_clock != nullptr ? *options_.history.pace_clock
                                                    : real_pace_clock()),
      pace_(options_.history.sealing_bytes_per_second) {
  load();
}

HistoryKeeper::~HistoryKeeper() { stop(); }

void HistoryKeeper::start() {
  thread_ = std::thread([this] { run(); });
}

void HistoryKeeper::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void HistoryKeeper::load() {
  FileSystem& files = *options_.file_system;
  if (!files.exists(options_.history_directory)) return;
  for (const std::string& name : files.list(options_.history_directory)) {
    const auto path = options_.history_directory / name;
    if (name == kHistoryTempName) files.remove(path);
    if (const auto number = parse_history_name(name)) files_[*number] = load_entry(*number, path);
    if (const auto number = parse_unsealed_name(name)) unsealed_ = std::max(unsealed_, *number);
  }
}

// A damaged file is no reason not to start: only who reads it is told.
HistoryKeeper::Entry HistoryKeeper::load_entry(std::uint64_t number,
                                               const std::filesystem::path& path) {
  const auto file = options_.file_system->open(path, FileSystem::Mode::kRead);
  try {
    const auto [header, bytes] =
        HistoryFile::read_header(*file, path.string(), options_.id, number);
    return entry_of(header, bytes);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kIo) throw;
    return {.bytes = file->size(), .is_damaged = true};
  }
}

HistoryKeeper::Entry HistoryKeeper::entry_of(const HistoryHeader& header, std::uint64_t bytes) {
  return {.bytes = bytes,
          .first_lsn = header.first_lsn,
          .min_time_ms = header.min_time_ms,
          .max_time_ms = header.max_time_ms,
          .commits = header.commits};
}

std::optional<Lsn> HistoryKeeper::first_lsn(std::uint64_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = files_.find(number);
  if (found == files_.end() || found->second.is_damaged) return std::nullopt;
  return found->second.first_lsn;
}

void HistoryKeeper::add(const std::vector<std::uint64_t>& numbers) {
  if (numbers.empty()) return;
  const std::lock_guard lock(mutex_);
  waiting_.insert(waiting_.end(), numbers.begin(), numbers.end());
  ++requested_;
  wake_.notify_all();
}

// On the disk before the segments go.
void HistoryKeeper::leave_out(const std::vector<std::uint64_t>& numbers) {
  const std::lock_guard lock(mutex_);
  const auto last = std::find_if(numbers.rbegin(), numbers.rend(),
                                 [this](std::uint64_t number) { return !files_.contains(number); });
  if (last == numbers.rend() || *last <= unsealed_) return;
  if (files_.empty() || files_.begin()->first > *last) return;
  const std::filesystem::path& directory = options_.history_directory;
  const auto path = unsealed_path(directory, *last);
  try {
    if (unsealed_ != 0) {
      options_.file_system->rename(unsealed_path(directory, unsealed_), path);
    } else {
      options_.file_system->open(path, FileSystem::Mode::kCreate);
    }
    options_.file_system->sync_directory(directory);
    unsealed_ = *last;
  } catch (const Error& error) {
    say_once(std::string("What is missing in the history will seem to be lost: ") + error.what());
  }
}

void HistoryKeeper::catch_up() {
  Lock lock(mutex_);
  const std::uint64_t request = ++requested_;
  urgent_ = request;
  wake_.notify_all();
  changed_.wait(lock, [&] { return stopping_ || completed_ >= request; });
}

void HistoryKeeper::run() {
  // Of this thread alone, as Linux has it.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
  Lock lock(mutex_);
  while (!stopping_) {
    const std::uint64_t request = requested_;
    try {
      while (!stopping_ && seal_next(lock)) {
      }
      if (!stopping_) expire(lock);
    } catch (const std::exception& error) {
      if (!lock.owns_lock()) lock.lock();
      say_once(std::string("The history cannot be tidied up: ") + error.what());
    }
    completed_ = request;
    changed_.notify_all();
    wake_.wait_for(lock, kInterval, [&] { return stopping_ || requested_ != request; });
  }
}

// Returns true when it is worth calling again.
bool HistoryKeeper::seal_next(Lock& lock) {
  if (waiting_.empty() || !options_.history.enabled) return false;
  const std::uint64_t number = sealing_ = waiting_.front();
  abandon_ = false;
  lock.unlock();
  std::optional<HistoryWriter::Result> result;
  std::optional<Error> failure;
  try {
    // Not assigned at once: GCC 12 has the function write into it, and leaves that when it throws.
    const auto done = seal(number);
    result = done;
  } catch (const Error& error) {
    failure = error;
  }
  lock.lock();
  sealing_ = 0;
  if (result) {
    sealed(number, *result);
    release_waiting(number, lock);
  } else if (abandon_) {
    release_waiting(number, lock);
  } else if (failure) {
    could_not_seal(number, *failure, lock);
    return waiting_.empty() || waiting_.front() != number;
  }
  if (!stopping_) expire(lock);
  return true;
}

std::optional<HistoryWriter::Result> HistoryKeeper::seal(std::uint64_t number) {
  const SealRequest request{
      .file_system = options_.file_system,
      .log_directory = options_.log_directory,
      .history_directory = options_.history_directory,
      .id = options_.id,
      .number = number,
      .end_lsn = options_.end_of_segment(number),
      .first_object = options_.history.first_object,
      .goes_on = [this](std::uint64_t bytes) { return goes_on(bytes); },
  };
  return seal_segment(request);
}

bool HistoryKeeper::goes_on(std::uint64_t bytes) {
  Lock lock(mutex_);
  const auto due = pace_.after(bytes, clock_.now());
  for (;;) {
    if (stopping_ || abandon_) return false;
    const auto now = clock_.now();
    if (is_urgent()) {
      pace_.restart(now);
      return true;
    }
    if (now >= due) return true;
    clock_.wait(wake_, lock, due - now);
  }
}

bool HistoryKeeper::is_urgent() const {
  if (disk_was_full_ || completed_ < urgent_ || waiting_.size() > kPacedSegmentsMax) return true;
  return waiting_.size() * options_.segment_bytes > options_.history.bytes_max / kWaitingPartMax;
}

void HistoryKeeper::sealed(std::uint64_t number, const HistoryWriter::Result& result) {
  files_[number] = entry_of(result.header, result.bytes);
  open_.forget(number);
}

void HistoryKeeper::could_not_seal(std::uint64_t number, const Error& error, Lock& lock) {
  if (error.code() == ErrorCode::kFull) disk_was_full_ = true;
  // The newest history is worth more than the oldest; else the segment itself stays for now.
  if (error.code() == ErrorCode::kFull && !files_.empty()) {
    drop_oldest("the disk is full", lock);
    ++requested_;  // again, at once
    return;
  }
  say_once("The log's " + label(number) +
           " stays as it is and does not become history yet: " + error.what());
  if (error.code() != ErrorCode::kCorrupt && error.code() != ErrorCode::kVersion) return;
  std::erase(waiting_, number);
  unsealable_.push_back(number);
}

// The first one first, one by one: whatever a crash leaves of this, there is never a gap.
void HistoryKeeper::expire(Lock& lock) {
  const std::int64_t oldest_ms = options_.history.now_ms() - options_.history.retention_ms;
  std::uint64_t last = 0;
  for (const auto& [number, entry] : files_) {
    if (!entry.is_damaged && entry.max_time_ms < oldest_ms) last = number;
  }
  // Whatever the clock was, what comes before is older, and nobody gets there any more.
  while (!stopping_ && !files_.empty() && files_.begin()->first <= last) {
    if (!remove(files_.begin()->first, lock)) break;
  }
  const std::vector<std::uint64_t> damaged = unsealable_;
  for (const std::uint64_t number : damaged) {
    if (number < last) release_waiting(number, lock);
  }
  while (!stopping_ && bytes_locked() > options_.history.bytes_max) {
    if (!drop_oldest("all of it is larger than its limit", lock)) break;
  }
  forget_unsealed(lock);
}

// It says something about what follows older files, so it goes with the last of these.
void HistoryKeeper::forget_unsealed(Lock& lock) {
  if (unsealed_ == 0 || (!files_.empty() && files_.begin()->first < unsealed_)) return;
  const auto path = unsealed_path(options_.history_directory, std::exchange(unsealed_, 0));
  lock.unlock();
  options_.file_system->remove(path);
  lock.lock();
}

std::uint64_t HistoryKeeper::bytes_locked() const {
  std::uint64_t bytes = (waiting_.size() + unsealable_.size()) * options_.segment_bytes;
  for (const auto& [number, entry] : files_) bytes += entry.bytes;
  return bytes;
}

// One at a time, as the next one may go only when this one has: there is never a gap. False: it is
// still there.
bool HistoryKeeper::remove(std::uint64_t number, Lock& lock) {
  changed_.wait(lock, [&] { return !removing_; });
  const auto found = files_.find(number);
  if (found == files_.end()) return true;
  const Entry entry = found->second;
  files_.erase(found);
  open_.forget(number);
  removing_ = true;
  lock.unlock();
  std::string failure;
  const auto path = history_path(options_.history_directory, number);
  try {
    if (options_.file_system->exists(path)) {
      options_.file_system->remove(path);
      options_.file_system->sync_directory(options_.history_directory);
    }
  } catch (const Error& error) {
    failure = error.what();
  }
  lock.lock();
  removing_ = false;
  changed_.notify_all();
  if (failure.empty()) return true;
  files_[number] = entry;
  say_once(failure);
  return false;
}

// The oldest of all: a file, or a segment that waits to become one.
bool HistoryKeeper::drop_oldest(const char* reason, Lock& lock) {
  std::uint64_t raw = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t number : waiting_) raw = std::min(raw, number);
  for (const std::uint64_t number : unsealable_) raw = std::min(raw, number);
  if (!files_.empty() && files_.begin()->first <= raw) {
    const std::uint64_t number = files_.begin()->first;
    say_once("The history of the log's " + label(number) + " was given up: " + reason + ".");
    return remove(number, lock);
  }
  if (waiting_.empty() && unsealable_.empty()) return false;
  if (raw == sealing_) {
    // Its thread gives it back as soon as it notices.
    if (abandon_) return false;
    abandon_ = true;
  }
  say_once("The log's " + label(raw) + " does not become history: " + reason + ".");
  if (raw != sealing_) release_waiting(raw, lock);
  return true;
}

void HistoryKeeper::release_waiting(std::uint64_t number, Lock& lock) {
  // Somebody else may have made room of it just now.
  if (std::erase(waiting_, number) + std::erase(unsealable_, number) == 0) return;
  if (waiting_.empty()) disk_was_full_ = false;
  lock.unlock();
  options_.release(number);
  lock.lock();
}

bool HistoryKeeper::give_up_oldest() {
  Lock lock(mutex_);
  disk_was_full_ = !waiting_.empty();
  wake_.notify_all();
  return drop_oldest("the disk is full", lock);
}

std::shared_ptr<const HistoryFile> HistoryKeeper::open(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    if (auto file = open_.find(number)) return file;
    if (!files_.contains(number)) return nullptr;
  }
  const auto path = history_path(options_.history_directory, number);
  std::shared_ptr<const HistoryFile> file;
  try {
    file = std::make_shared<HistoryFile>(*options_.file_system, path, options_.id, number);
  } catch (const Error& error) {
    // It may have expired meanwhile, or somebody has removed it.
    if (error.code() == ErrorCode::kIo && !options_.file_system->exists(path)) return nullptr;
    throw;
  }
  const std::lock_guard lock(mutex_);
  if (files_.contains(number)) open_.put(number, file);
  return file;
}

HistoryKeeper::Oldest HistoryKeeper::oldest(const std::vector<std::uint64_t>& live) const {
  const std::lock_guard lock(mutex_);
  Oldest oldest{.number = live.back(), .time_ms = {}};
  for (;;) {
    const std::uint64_t number = oldest.number - 1;
    const auto found = files_.find(number);
    if (found != files_.end() && !found->second.is_damaged) {
      oldest = {number, found->second.min_time_ms};
    } else if (std::binary_search(live.begin(), live.end(), number)) {
      oldest = {number, std::nullopt};
    } else {
      return oldest;
    }
  }
}

HistoryUsage HistoryKeeper::usage() const {
  const std::lock_guard lock(mutex_);
  HistoryUsage usage;
  usage.files = files_.size();
  usage.waiting_segments = waiting_.size() + unsealable_.size();
  for (const auto& [number, entry] : files_) {
    usage.bytes += entry.bytes;
    usage.commits += entry.commits;
  }
  return usage;
}

// A full disk would have it say the same again and again.
void HistoryKeeper::say_once(const std::string& message) {
  if (message == last_said_) return;
  last_said_ = message;
  std::fprintf(stderr, "perdure: %s\n", message.c_str());
}

}  // namespace perdure::log
