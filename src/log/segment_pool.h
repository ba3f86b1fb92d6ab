#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "log/format.h"
#include "log/frame.h"

namespace perdure::log {

// Keeps one spare segment ready, under the name that is next in line, so that the log moves on to
// it without an operation on the directory and a full disk is noticed before a commit needs the
// room. A thread inside prepares it, from a segment that is not needed any more or from a new file,
// and tries again (kRetryMs) when that failed. Any thread.
class SegmentPool {
 public:
  struct Options {
    FileSystem* file_system = nullptr;
    std::filesystem::path directory;
    std::uint64_t segment_file_bytes = 0;
    LogId id;
  };
  // `next_number` is that of the spare; `spare` is null when there is none yet. `free` are the
  // numbers of segments that are not needed any more. `make_room` is called on the pool's
  // thread when the disk is full, and says whether it is worth trying again at once; not for a
  // segment that is to be larger than others, as one refused commit is better than a lost history.
  SegmentPool(Options options, std::uint64_t next_number, std::shared_ptr<Segment> spare,
              std::vector<std::uint64_t> free, std::function<bool()> make_room);
  ~SegmentPool();
  SegmentPool(const SegmentPool&) = delete;
  SegmentPool& operator=(const SegmentPool&) = delete;

  // False when the last attempt to prepare the spare failed.
  [[nodiscard]] bool has_room() const noexcept { return has_room_.load(std::memory_order_relaxed); }

  // The spare when it is ready and its file has `bytes`; otherwise null, at once.
  std::shared_ptr<Segment> try_take(std::uint64_t bytes);
  // Returns when try_take may succeed; makes the spare larger when that is needed. Throws
  // Error(kFull) when there is no spare because preparing it failed, or when it cannot be made
  // larger.
  void wait_ready(std::uint64_t bytes);

  // Segments that are not needed any more: kept for the next spares (kFreeSegmentsMax), or removed.
  void recycle(const std::vector<std::uint64_t>& numbers);

  // Creates the spare `number` from nothing. Throws what the file system throws.
  static std::shared_ptr<Segment> create(const Options& options, std::uint64_t number);

 private:
  void run();
  std::shared_ptr<Segment> prepare_or_make_room(std::uint64_t number, std::uint64_t free);
  std::shared_ptr<Segment> prepare(std::uint64_t number, std::uint64_t free);
  std::shared_ptr<Segment> reuse(std::uint64_t number, std::uint64_t free);
  void remove_quietly(std::uint64_t number) noexcept;
  void trim_free(std::unique_lock<std::mutex>& lock);
  void grow(std::uint64_t bytes, std::unique_lock<std::mutex>& lock);

  const Options options_;
  const std::function<bool()> make_room_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;     // for the thread
  std::condition_variable changed_;  // for wait_ready
  std::uint64_t next_number_;
  std::shared_ptr<Segment> spare_;
  bool spare_is_growing_ = false;
  std::string failure_;  // why there is no spare; empty while it is being prepared
  std::vector<std::uint64_t> free_;
  bool retry_now_ = false;
  bool stopping_ = false;
  std::atomic<bool> has_room_{true};
  std::thread thread_;
};

}  // namespace perdure::log
