#include "log/log.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"
#include "log/format.h"
#include "log/frame.h"
#include "log/history_keeper.h"
#include "log/log_reader.h"
#include "log/recovery.h"
#include "log/segment_pool.h"
#include "log/segment_reader.h"

namespace perdure::log {
namespace {

// Exit status of a process that cannot store what it was given (EX_IOERR of <sysexits.h>).
constexpr int kPoisonedStatus = 74;
// Frame buffers that are kept for the next frames: how many, and how large at most, in bytes.
constexpr std::size_t kKeptBuffersMax = 2;
// Without flush_on_append: so much is never left lying for want of a flush().
constexpr std::uint64_t kUnflushedBytesMax = std::uint64_t{1} << 20;
constexpr std::size_t kKeptBufferBytesMax = 4 << 20;
[[noreturn]] void end_process(const std::string& message) {
  std::fprintf(stderr, "perdure: %s\n", message.c_str());
  std::fflush(stderr);
  std::_Exit(kPoisonedStatus);
}

std::int64_t wall_clock_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

LogOptions checked(LogOptions options) {
  if (options.file_system == nullptr) {
    throw Error(ErrorCode::kInvalid, "The log needs a file system.");
  }
  if (options.segment_bytes == 0 ||
      options.segment_bytes > kSegmentFileBytesMax - kSegmentOverheadBytes - kBlockBytes) {
    throw Error(ErrorCode::kInvalid, "A log segment has between 1 byte and 4 GiB.");
  }
  if (options.history.sealing_bytes_per_second == 0) {
    throw Error(ErrorCode::kInvalid, "The pace of sealing is 1 byte a second at least.");
  }
  if (!options.on_poisoned) options.on_poisoned = end_process;
  if (!options.history.now_ms) options.history.now_ms = wall_clock_ms;
  return options;
}

std::uint64_t segment_file_bytes(const LogOptions& options) {
  return round_up(options.segment_bytes, kBlockBytes) + kSegmentOverheadBytes;
}

// The threads and callbacks that wait for durability.
class Subscribers {
 public:
  std::uint64_t add(std::function<void(Lsn)> on_advance) {
    const std::lock_guard lock(mutex_);
    callbacks_.emplace(++last_, std::move(on_advance));
    return last_;
  }
  void remove(std::uint64_t subscription) {
    const std::lock_guard lock(mutex_);
    callbacks_.erase(subscription);
  }
  void call(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, callback] : callbacks_) callback(lsn);
  }

 private:
  std::mutex mutex_;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, std::function<void(Lsn)>> callbacks_;
};

}  // namespace

struct Log::Impl {
  Impl(LogOptions log_options, RecoveredLog recovered);
  ~Impl();

  bool append(std::span<const std::span<const std::byte>> records, std::uint64_t epoch,
              std::span<Appended> out);
  void flush();
  void wait_durable(Lsn lsn);
  CheckpointStart begin_checkpoint();
  void complete_checkpoint(const CheckpointStart& start);

  // With mutex_ held.
  bool make_room(std::uint64_t bytes, std::unique_lock<std::mutex>& lock);
  Frame& frame_with_room(std::uint64_t bytes);
  void close_open_frame();
  Bytes take_buffer();
  void throw_if_poisoned() const;

  // On the flusher's thread.
  void run_flusher();
  bool want_flush();
  void write_in_flight();
  void write_frame(Frame& frame);
  void publish(std::size_t frames);
  void write_closing_frame();
  void poison(const std::string& message) noexcept;

  bool is_live(std::uint64_t segment) const;
  bool copy_unwritten(RecordLocation location, Bytes& entry) const;
  std::uint64_t checkpoint_chain(const CheckpointStart& start) const;
  std::vector<std::uint64_t> take_below(const RecoveredLog& recovered);
  void retire_segments_below(std::uint64_t segment);
  void free_segments(const std::vector<std::uint64_t>& numbers);
  Lsn end_of_segment(std::uint64_t number);
  std::vector<std::uint64_t> live_segments();
  std::optional<std::int64_t> first_time_ms(std::uint64_t number);

  const LogOptions options;
  const LogId id;
  const RecoveryReport report;
  const std::uint64_t run = random_number();
  const Lsn recovered_next_lsn;

  // Guards what follows.
  mutable std::mutex mutex;
  std::condition_variable work;                  // for the flusher
  std::condition_variable written;               // for append at its limit
  std::condition_variable durable;               // for wait_durable
  std::deque<std::unique_ptr<Frame>> queue;      // gathered, to be written
  std::deque<std::unique_ptr<Frame>> in_flight;  // being written; the flusher alone changes it
  Frame* open_frame = nullptr;                   // the last of `queue`, when it takes more records
  std::shared_ptr<Segment> current;              // where the next frame goes …
  std::uint64_t next_offset = 0;                 // … and where in it, when none is open
  std::vector<Bytes> kept_buffers;
  // The segments that can be read, and the LSN of the first record in each; 0 when only its header
  // says it.
  std::map<std::uint64_t, Lsn> live;
  std::uint64_t history_end = 0;  // segments before it were handed to the keeper
  std::uint64_t pending_bytes = 0;
  std::uint64_t appended_bytes = 0;    // since the log was opened, or replayed
  std::uint64_t checkpoint_bytes = 0;  // of these, before the last complete checkpoint
  std::uint64_t last_chain = 0;        // of the last frame that was written
  bool flusher_sleeps = false;
  bool flush_wanted = false;  // never with an empty queue
  bool stopping = false;
  bool poisoned = false;
  std::string poison_message;
  // The checkpoint that was begun last.
  struct {
    CheckpointStart start;
    std::uint64_t appended_bytes = 0;
    std::uint64_t chain = 0;
    bool has_chain = false;
  } checkpoint;

  std::atomic<Lsn> appended_lsn;
  std::atomic<Lsn> durable_lsn;
  std::atomic<std::uint64_t> epoch;
  std::atomic<std::uint64_t> bytes_since_checkpoint;

  // The flusher's own.
  Bytes tail;
  std::uint64_t chain = 0;
  Lsn proven_durable_lsn = 0;

  std::mutex checkpoint_mutex;  // one complete_checkpoint at a time
  Subscribers subscribers;
  LogReader reader;
  // The thread of each calls the other.
  HistoryKeeper keeper;
  SegmentPool pool;
  History history;
  std::thread flusher;
};

Log::Impl::Impl(LogOptions log_options, RecoveredLog recovered)
    : options(std::move(log_options)),
      id(recovered.id),
      report(recovered.report),
      recovered_next_lsn(recovered.next_lsn),
      current(recovered.segment),
      next_offset(recovered.offset),
      appended_bytes(recovered.report.bytes),
      last_chain(recovered.chain),
      appended_lsn(recovered.next_lsn - 1),
      durable_lsn(recovered.next_lsn - 1),
      epoch(recovered.epoch),
      bytes_since_checkpoint(recovered.report.bytes),
      tail(std::move(recovered.tail)),
      chain(recovered.chain),
      proven_durable_lsn(recovered.proven_durable_lsn),
      reader({.file_system = options.file_system,
              .directory = options.directory,
              .id = id,
              .is_live = [this](std::uint64_t segment) { return is_live(segment); },
              .copy_unwritten = [this](RecordLocation location,
                                       Bytes& entry) { return copy_unwritten(location, entry); }}),
      keeper({.file_system = options.file_system,
              .log_directory = options.directory,
              .history_directory = options.directory.parent_path() / kHistoryDirectory,
              .segment_bytes = segment_file_bytes(options),
              .id = id,
              .history = options.history,
              .end_of_segment = [this](std::uint64_t number) { return end_of_segment(number); },
              .release = [this](std::uint64_t number) { free_segments({number}); }}),
      pool({options.file_system, options.directory, segment_file_bytes(options), id},
           current->number + 1, recovered.spare, take_below(recovered),
           [this] { return keeper.give_up_oldest(); }),
      history(options.history,
              {.read = [this](RecordLocation location,
                              ReadWindow& window) { return reader.read(location, window); },
               .live_segments = [this] { return live_segments(); },
               .first_time_ms = [this](std::uint64_t number) { return first_time_ms(number); },
               .keeper = keeper}) {
  {
    const std::lock_guard lock(mutex);
    for (const std::uint64_t number : recovered.live) live.emplace(number, 0);
    history_end = recovered.live.front();
  }
  keeper.start();
  flusher = std::thread([this] { run_flusher(); });
}

Log::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  work.notify_all();
  flusher.join();
  keeper.stop();
}

void Log::Impl::throw_if_poisoned() const {
  if (poisoned) throw Error(ErrorCode::kPoisoned, poison_message);
}

bool Log::Impl::append(std::span<const std::span<const std::byte>> records,
                       std::uint64_t record_epoch, std::span<Appended> out) {
  assert(records.size() == out.size());
  std::uint64_t bytes = 0;
  for (const auto& record : records) bytes += entry_bytes(record);
  std::unique_lock lock(mutex);
  for (;;) {
    throw_if_poisoned();
    if (record_epoch != epoch.load(std::memory_order_relaxed)) return false;
    if (records.empty()) return true;
    if (pending_bytes > 0 && pending_bytes + bytes > options.pending_bytes_max) {
      if (want_flush()) work.notify_one();
      written.wait(lock);
    } else if (make_room(bytes, lock)) {
      break;
    }
  }
  Frame& frame = frame_with_room(bytes);
  Lsn lsn = appended_lsn.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < records.size(); ++i) out[i] = {++lsn, frame.append(records[i])};
  appended_lsn.store(lsn, std::memory_order_release);
  pending_bytes += bytes;
  appended_bytes += bytes;
  bytes_since_checkpoint.store(appended_bytes - checkpoint_bytes, std::memory_order_relaxed);
  const bool due = options.flush_on_append || pending_bytes >= kUnflushedBytesMax;
  const bool wake = due && want_flush();
  lock.unlock();
  if (wake) work.notify_one();
  return true;
}

// Under the mutex: true when the flusher sleeps and is to be woken.
bool Log::Impl::want_flush() {
  if (queue.empty()) return false;  // the flusher has everything
  flush_wanted = true;
  return std::exchange(flusher_sleeps, false);
}

void Log::Impl::flush() {
  std::unique_lock lock(mutex);
  const bool wake = want_flush();
  lock.unlock();
  if (wake) work.notify_one();
}

// True when the group fits where the next record goes. Otherwise the lock was released, and
// everything is to be checked again.
bool Log::Impl::make_room(std::uint64_t bytes, std::unique_lock<std::mutex>& lock) {
  const std::uint64_t end =
      open_frame != nullptr ? open_frame->end() + bytes : next_offset + kFrameHeaderBytes + bytes;
  if (end <= current->bytes) return true;
  const std::uint64_t file_bytes =
      round_up(kSegmentHeaderBytes + kFrameHeaderBytes + bytes, kBlockBytes);
  if (file_bytes > kSegmentFileBytesMax) {
    throw Error(ErrorCode::kFull, "The commit is larger than a log segment may be (4 GiB).");
  }
  std::shared_ptr<Segment> next = pool.try_take(file_bytes);
  if (!next) {
    lock.unlock();
    pool.wait_ready(file_bytes);
    lock.lock();
    return false;
  }
  close_open_frame();
  current = std::move(next);
  next_offset = kSegmentHeaderBytes;
  live.emplace(current->number, appended_lsn.load(std::memory_order_relaxed) + 1);
  return true;
}

Frame& Log::Impl::frame_with_room(std::uint64_t bytes) {
  if (open_frame == nullptr) {
    auto frame = std::make_unique<Frame>(
        id, current, next_offset, appended_lsn.load(std::memory_order_relaxed) + 1, take_buffer());
    frame->reserve(bytes);
    queue.push_back(std::move(frame));
    open_frame = queue.back().get();
  } else {
    open_frame->reserve(bytes);
  }
  return *open_frame;
}

void Log::Impl::close_open_frame() {
  if (open_frame == nullptr) return;
  open_frame->close();
  next_offset = open_frame->end();
  open_frame = nullptr;
}

Bytes Log::Impl::take_buffer() {
  if (kept_buffers.empty()) return {};
  Bytes buffer = std::move(kept_buffers.back());
  kept_buffers.pop_back();
  return buffer;
}

void Log::Impl::run_flusher() {
  std::unique_lock lock(mutex);
  for (;;) {
    while (!flush_wanted && !stopping) {
      flusher_sleeps = true;
      work.wait(lock);
    }
    if (queue.empty() || poisoned) break;
    flush_wanted = false;
    close_open_frame();
    in_flight.swap(queue);
    lock.unlock();
    try {
      write_in_flight();
    } catch (const std::exception& error) {
      poison(error.what());
      return;
    }
    lock.lock();
  }
  lock.unlock();
  try {
    write_closing_frame();
  } catch (const std::exception& error) {
    poison(error.what());
  }
}

// One sync for each segment, and what it made durable is published at once.
void Log::Impl::write_in_flight() {
  while (!in_flight.empty()) {
    const std::shared_ptr<Segment> segment = in_flight.front()->segment();
    std::size_t frames = 0;
    while (frames < in_flight.size() && in_flight[frames]->segment() == segment) {
      write_frame(*in_flight[frames++]);
    }
    segment->file->sync();
    publish(frames);
  }
}

void Log::Impl::write_frame(Frame& frame) {
  const Lsn known_durable = durable_lsn.load(std::memory_order_relaxed);
  chain = frame.seal({tail, chain, known_durable, run});
  frame.segment()->file->write(frame.write_offset(), frame.write_bytes());
  tail.assign(frame.tail().begin(), frame.tail().end());
  proven_durable_lsn = known_durable;
}

void Log::Impl::publish(std::size_t frames) {
  Lsn lsn = 0;
  {
    const std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < frames; ++i) {
      Frame& frame = *in_flight.front();
      lsn = frame.last_lsn();
      last_chain = frame.checksum();
      if (lsn == checkpoint.start.lsn) {
        checkpoint.chain = last_chain;
        checkpoint.has_chain = true;
      }
      pending_bytes -= frame.entries_bytes();
      Bytes buffer = frame.take_storage();
      if (kept_buffers.size() < kKeptBuffersMax && buffer.capacity() <= kKeptBufferBytesMax) {
        kept_buffers.push_back(std::move(buffer));
      }
      in_flight.pop_front();
    }
    durable_lsn.store(lsn, std::memory_order_release);
  }
  written.notify_all();
  durable.notify_all();
  subscribers.call(lsn);
}

// An empty frame at a clean end says that the last frames are durable: without it, damage to them
// could not be told from a torn end.
void Log::Impl::write_closing_frame() {
  const Lsn lsn = durable_lsn.load(std::memory_order_relaxed);
  const bool fits = next_offset + kFrameHeaderBytes <= current->bytes;
  if (proven_durable_lsn == lsn || !fits) return;
  Frame frame(id, current, next_offset, lsn + 1, {});
  frame.close();
  write_frame(frame);
  current->file->sync();
}

void Log::Impl::poison(const std::string& message) noexcept {
  const std::string whole =
      "The log cannot be written, so nothing is acknowledged any more. " + message;
  {
    const std::lock_guard lock(mutex);
    poisoned = true;
    poison_message = whole;
  }
  written.notify_all();
  durable.notify_all();
  options.on_poisoned(whole);
}

void Log::Impl::wait_durable(Lsn lsn) {
  std::unique_lock lock(mutex);
  if (lsn > appended_lsn.load(std::memory_order_relaxed)) {
    throw Error(ErrorCode::kInvalid, "Nothing with that log sequence number was appended yet.");
  }
  if (durable_lsn.load(std::memory_order_relaxed) < lsn && want_flush()) work.notify_one();
  durable.wait(lock,
               [&] { return poisoned || durable_lsn.load(std::memory_order_relaxed) >= lsn; });
  if (durable_lsn.load(std::memory_order_relaxed) < lsn) throw_if_poisoned();
}

CheckpointStart Log::Impl::begin_checkpoint() {
  const std::lock_guard lock(mutex);
  close_open_frame();
  const std::uint64_t next_epoch = epoch.load(std::memory_order_relaxed) + 1;
  checkpoint.start = {next_epoch,
                      appended_lsn.load(std::memory_order_relaxed),
                      {current->number, static_cast<std::uint32_t>(next_offset)}};
  checkpoint.appended_bytes = appended_bytes;
  // Otherwise the last frame on its way brings it: see publish.
  checkpoint.has_chain = queue.empty() && in_flight.empty();
  checkpoint.chain = last_chain;
  epoch.store(next_epoch, std::memory_order_release);
  return checkpoint.start;
}

std::uint64_t Log::Impl::checkpoint_chain(const CheckpointStart& start) const {
  const std::lock_guard lock(mutex);
  if (checkpoint.start.epoch != start.epoch) {
    throw Error(ErrorCode::kInvalid, "A later checkpoint was begun, so this one cannot complete.");
  }
  assert(checkpoint.has_chain);
  return checkpoint.chain;
}

void Log::Impl::complete_checkpoint(const CheckpointStart& start) {
  const std::lock_guard only_one(checkpoint_mutex);
  wait_durable(start.lsn);
  write_checkpoint(*options.file_system, options.directory,
                   {id, start.epoch, start.lsn, start.next, checkpoint_chain(start)});
  {
    const std::lock_guard lock(mutex);
    checkpoint_bytes = checkpoint.appended_bytes;
    bytes_since_checkpoint.store(appended_bytes - checkpoint_bytes, std::memory_order_relaxed);
  }
  retire_segments_below(start.next.segment);
}

// What can be given back at once of the segments that recovery found below the checkpoint: all that
// are sealed, and what a crash has left of those that had been given back before.
std::vector<std::uint64_t> Log::Impl::take_below(const RecoveredLog& recovered) {
  if (!options.history.enabled) {
    keeper.leave_out(recovered.below);
    return recovered.below;
  }
  std::vector<std::uint64_t> free;
  std::vector<std::uint64_t> unsealed;
  std::uint64_t next = recovered.live.front();
  for (auto at = recovered.below.rbegin(); at != recovered.below.rend(); ++at) {
    while (next > *at + 1 && keeper.first_lsn(next - 1)) --next;
    // They are given back in order: where one is missing, the older ones were not needed any more.
    const bool is_next = next == *at + 1;
    if (is_next) next = *at;
    const bool is_unsealed = is_next && !keeper.first_lsn(*at);
    (is_unsealed ? unsealed : free).push_back(*at);
  }
  std::reverse(free.begin(), free.end());
  std::reverse(unsealed.begin(), unsealed.end());
  for (const std::uint64_t number : unsealed) live.emplace(number, 0);
  keeper.add(unsealed);
  return free;
}

void Log::Impl::retire_segments_below(std::uint64_t segment) {
  std::vector<std::uint64_t> retired;
  {
    const std::lock_guard lock(mutex);
    for (auto at = live.lower_bound(history_end); at != live.end() && at->first < segment; ++at) {
      retired.push_back(at->first);
    }
    history_end = std::max(history_end, segment);
  }
  if (options.history.enabled) {
    keeper.add(retired);
  } else {
    keeper.leave_out(retired);
    free_segments(retired);
  }
}

void Log::Impl::free_segments(const std::vector<std::uint64_t>& numbers) {
  {
    const std::lock_guard lock(mutex);
    for (const std::uint64_t number : numbers) live.erase(number);
  }
  for (const std::uint64_t number : numbers) reader.forget(number);
  if (!numbers.empty()) pool.recycle(numbers);
}

// The LSN of the first record behind a segment that is below the checkpoint.
Lsn Log::Impl::end_of_segment(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex);
    const auto next = live.find(number + 1);
    if (next != live.end() && next->second != 0) return next->second;
  }
  if (const auto sealed = keeper.first_lsn(number + 1)) return *sealed;
  SegmentReader next(id, number + 1, segment_path(options.directory, number + 1),
                     reader.open(number + 1));
  const auto header = next.header();
  if (!header) {
    throw Error(ErrorCode::kCorrupt,
                "The log segment " + next.path() + " does not match its checksum at byte 0.");
  }
  // Where recovery went on with a segment that was still empty, its header says nothing.
  return header->first_lsn != 0 ? header->first_lsn : recovered_next_lsn;
}

std::vector<std::uint64_t> Log::Impl::live_segments() {
  std::vector<std::uint64_t> numbers;
  const std::lock_guard lock(mutex);
  for (const auto& [number, lsn] : live) numbers.push_back(number);
  return numbers;
}

std::optional<std::int64_t> Log::Impl::first_time_ms(std::uint64_t number) {
  ReadWindow window;
  try {
    return reader.read({number, kSegmentHeaderBytes + kFrameHeaderBytes}, window).time_ms;
  } catch (const Error& error) {
    // Nothing was appended to it yet, or it is not there any more.
    if (error.code() == ErrorCode::kIo) throw;
    return std::nullopt;
  }
}

bool Log::Impl::is_live(std::uint64_t segment) const {
  const std::lock_guard lock(mutex);
  return live.contains(segment);
}

bool Log::Impl::copy_unwritten(RecordLocation location, Bytes& entry) const {
  const std::lock_guard lock(mutex);
  for (const auto* frames : {&in_flight, &queue}) {
    for (const auto& frame : *frames) {
      const std::span<const std::byte> found = frame->find(location);
      if (found.empty()) continue;
      const auto size = static_cast<std::ptrdiff_t>(Entry::parse(found).size());
      entry.assign(found.begin(), found.begin() + size);
      return true;
    }
  }
  return false;
}

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

std::unique_ptr<Log> Log::open(LogOptions options,
                               const std::function<void(const RecordView&)>& replay) {
  options = checked(std::move(options));
  RecoveredLog recovered = recover(options, segment_file_bytes(options), replay);
  return std::unique_ptr<Log>(
      new Log(std::make_unique<Impl>(std::move(options), std::move(recovered))));
}

Log::~Log() = default;

const RecoveryReport& Log::recovery() const noexcept { return impl_->report; }

bool Log::append(std::span<const std::span<const std::byte>> records, std::uint64_t epoch,
                 std::span<Appended> out) {
  return impl_->append(records, epoch, out);
}

bool Log::has_room() const noexcept { return impl_->pool.has_room(); }

Lsn Log::appended_lsn() const noexcept {
  return impl_->appended_lsn.load(std::memory_order_acquire);
}

Lsn Log::durable_lsn() const noexcept { return impl_->durable_lsn.load(std::memory_order_acquire); }

std::uint64_t Log::subscribe(std::function<void(Lsn)> on_advance) {
  return impl_->subscribers.add(std::move(on_advance));
}

void Log::unsubscribe(std::uint64_t subscription) { impl_->subscribers.remove(subscription); }

void Log::flush() { impl_->flush(); }

void Log::wait_durable(Lsn lsn) { impl_->wait_durable(lsn); }

std::uint64_t Log::epoch() const noexcept { return impl_->epoch.load(std::memory_order_acquire); }

std::uint64_t Log::bytes_since_checkpoint() const noexcept {
  return impl_->bytes_since_checkpoint.load(std::memory_order_relaxed);
}

CheckpointStart Log::begin_checkpoint() { return impl_->begin_checkpoint(); }

LogId Log::id() const noexcept { return impl_->id; }

History& Log::history() noexcept { return impl_->history; }

void Log::complete_checkpoint(const CheckpointStart& start) { impl_->complete_checkpoint(start); }

RecordView Log::read(RecordLocation location, std::vector<std::byte>& buffer) const {
  ReadWindow window{.bytes = std::move(buffer), .start = {}, .last = {}};
  const RecordView view = impl_->reader.read(location, window);
  buffer = std::move(window.bytes);  // with what the view points into
  return view;
}

RecordView Log::read(RecordLocation location, ReadWindow& window) const {
  return impl_->reader.read(location, window);
}

}  // namespace perdure::log
