#include "log/segment_pool.h"

#include <chrono>
#include <utility>

#include "base/error.h"

namespace perdure::log {
namespace {

// Pause between attempts to prepare a spare segment, in milliseconds.
constexpr std::chrono::milliseconds kRetryMs{200};
// Segments kept for reuse, so that a log that moves steadily never allocates; a checkpoint frees
// two or three at once.
constexpr std::size_t kFreeSegmentsMax = 4;

// A spare: its header, and zeros where the first frame will be.
void write_spare_header(File& file, const LogId& id, std::uint64_t number) {
  Bytes start(kSegmentHeaderBytes + kBlockBytes);
  encode_segment_header({.id = id, .number = number}, std::span(start).first(kSegmentHeaderBytes));
  file.write(0, start);
  file.sync();
}

// Opened again, so that errors name the file as it is called now.
std::shared_ptr<Segment> move_into_place(const SegmentPool::Options& options,
                                         const std::filesystem::path& from, std::uint64_t number) {
  FileSystem& files = *options.file_system;
  const auto path = segment_path(options.directory, number);
  files.rename(from, path);
  files.sync_directory(options.directory);
  return std::make_shared<Segment>(number, options.segment_file_bytes,
                                   files.open(path, FileSystem::Mode::kReadWrite));
}

}  // namespace

SegmentPool::SegmentPool(Options options, std::uint64_t next_number, std::shared_ptr<Segment> spare,
                         std::vector<std::uint64_t> free, std::function<bool()> make_room)
    : options_(std::move(options)),
      make_room_(std::move(make_room)),
      next_number_(next_number),
      spare_(std::move(spare)),
      free_(std::move(free)) {
  thread_ = std::thread([this] { run(); });
}

SegmentPool::~SegmentPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

std::shared_ptr<Segment> SegmentPool::try_take(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!spare_ || spare_is_growing_ || spare_->bytes < bytes) return nullptr;
  ++next_number_;
  wake_.notify_all();
  return std::exchange(spare_, nullptr);
}

void SegmentPool::wait_ready(std::uint64_t bytes) {
  std::unique_lock lock(mutex_);
  if (!spare_ && !failure_.empty()) {
    // There may be room by now.
    failure_.clear();
    retry_now_ = true;
    wake_.notify_all();
  }
  changed_.wait(lock, [this] { return (spare_ && !spare_is_growing_) || !failure_.empty(); });
  if (!spare_) {
    throw Error(ErrorCode::kFull, "The log has no room for the commit: " + failure_);
  }
  if (spare_->bytes < bytes) grow(bytes, lock);
}

void SegmentPool::grow(std::uint64_t bytes, std::unique_lock<std::mutex>& lock) {
  spare_is_growing_ = true;
  const std::shared_ptr<Segment> spare = spare_;
  lock.unlock();
  std::string failure;
  try {
    spare->file->preallocate(bytes);
  } catch (const std::exception& error) {
    failure = error.what();
  }
  lock.lock();
  if (failure.empty()) spare->bytes = bytes;
  spare_is_growing_ = false;
  changed_.notify_all();
  if (!failure.empty()) {
    throw Error(ErrorCode::kFull, "The log has no room for the commit: " + failure);
  }
}

void SegmentPool::recycle(const std::vector<std::uint64_t>& numbers) {
  std::unique_lock lock(mutex_);
  free_.insert(free_.end(), numbers.begin(), numbers.end());
  retry_now_ = true;
  wake_.notify_all();
}

void SegmentPool::trim_free(std::unique_lock<std::mutex>& lock) {
  while (free_.size() > kFreeSegmentsMax) {
    const std::uint64_t number = free_.back();
    free_.pop_back();
    lock.unlock();
    remove_quietly(number);
    lock.lock();
  }
}

void SegmentPool::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (spare_) {
      trim_free(lock);
      if (!stopping_ && free_.size() <= kFreeSegmentsMax && spare_) wake_.wait(lock);
      continue;
    }
    const std::uint64_t number = next_number_;
    const std::uint64_t free = free_.empty() ? 0 : free_.front();
    if (free != 0) free_.erase(free_.begin());
    retry_now_ = false;
    lock.unlock();
    std::shared_ptr<Segment> spare;
    std::string failure;
    try {
      spare = prepare_or_make_room(number, free);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    lock.lock();
    spare_ = std::move(spare);
    failure_ = std::move(failure);
    has_room_.store(spare_ != nullptr, std::memory_order_relaxed);
    changed_.notify_all();
    if (!spare_) wake_.wait_for(lock, kRetryMs, [this] { return stopping_ || retry_now_; });
  }
}

std::shared_ptr<Segment> SegmentPool::prepare_or_make_room(std::uint64_t number,
                                                           std::uint64_t free) {
  for (;;) {
    try {
      return prepare(number, free);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kFull || !make_room_()) throw;
    }
    // A segment that was given back just now is the best there is.
    const std::lock_guard lock(mutex_);
    free = 0;
    if (stopping_) throw Error(ErrorCode::kFull, "The log is closing.");
    if (!free_.empty()) {
      free = free_.front();
      free_.erase(free_.begin());
    }
  }
}

std::shared_ptr<Segment> SegmentPool::prepare(std::uint64_t number, std::uint64_t free) {
  if (free == 0) return create(options_, number);
  try {
    return reuse(number, free);
  } catch (const std::exception&) {
    // Its state is unknown, so it is of no use any more; a new file takes its place.
    remove_quietly(free);
    remove_quietly(number);
    return create(options_, number);
  }
}

// It loses its old name for good before it is changed: whatever is called like a segment is whole.
std::shared_ptr<Segment> SegmentPool::reuse(std::uint64_t number, std::uint64_t free) {
  FileSystem& files = *options_.file_system;
  const auto temp = options_.directory / kSpareTempName;
  files.rename(segment_path(options_.directory, free), temp);
  files.sync_directory(options_.directory);
  {
    const auto file = files.open(temp, FileSystem::Mode::kReadWrite);
    if (file->size() > options_.segment_file_bytes) file->truncate(options_.segment_file_bytes);
    file->preallocate(options_.segment_file_bytes);
    write_spare_header(*file, options_.id, number);
  }
  return move_into_place(options_, temp, number);
}

std::shared_ptr<Segment> SegmentPool::create(const Options& options, std::uint64_t number) {
  FileSystem& files = *options.file_system;
  const auto temp = options.directory / kSpareTempName;
  try {
    const auto file = files.open(temp, FileSystem::Mode::kCreate);
    file->truncate(0);
    file->preallocate(options.segment_file_bytes);
    write_spare_header(*file, options.id, number);
    return move_into_place(options, temp, number);
  } catch (...) {
    try {
      if (files.exists(temp)) files.remove(temp);
    } catch (const Error&) {
      // The first error is the one to report; the next attempt starts with the leftover.
    }
    throw;
  }
}

void SegmentPool::remove_quietly(std::uint64_t number) noexcept {
  try {
    const auto path = segment_path(options_.directory, number);
    if (options_.file_system->exists(path)) options_.file_system->remove(path);
  } catch (const std::exception&) {
    // It only takes room, and the next start finds it again.
  }
}

}  // namespace perdure::log
