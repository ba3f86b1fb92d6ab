#include "log/history.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"
#include "log/history_keeper.h"
#include "log/log.h"
#include "log/page_delta.h"

namespace perdure::log {
namespace {

// A record of an object, and where the one before it is.
struct Position {
  Lsn lsn = 0;
  RecordLocation location;
};

std::string name(ObjectNumber object, Lsn lsn) {
  return "commit with LSN " + std::to_string(lsn) + " of object " + std::to_string(object);
}

[[noreturn]] void not_kept(ObjectNumber object, Lsn lsn) {
  throw Error(ErrorCode::kNotFound, "The history is not kept that far back any more: the " +
                                        name(object, lsn) + " is gone.");
}

[[noreturn]] void not_in_place(ObjectNumber object, const Position& at, const std::string& place) {
  throw Error(ErrorCode::kCorrupt, "The history is damaged: the " + name(object, at.lsn) +
                                       " is not at " + place + ", where it should be.");
}

CommitInfo info_of(const RecordView& record) {
  CommitInfo info{.lsn = record.lsn,
                  .number = record.number,
                  .previous_lsn = record.previous_lsn,
                  .time_ms = record.time_ms,
                  .page_size = record.page_size,
                  .pages_before = record.pages_before,
                  .pages_after = record.pages_after,
                  .flags = record.flags};
  record.for_each_delta([&info](std::uint32_t, std::span<const std::byte> delta) {
    ++info.changed_pages;
    info.bytes += delta.size();
  });
  return info;
}

// Composes the differences of commits that are taken back.
class UndoBuilder {
 public:
  UndoBuilder(ObjectNumber object, std::uint64_t bytes_max)
      : object_(object), bytes_max_(bytes_max) {}

  void add_commits(std::uint64_t commits, std::int64_t oldest_ms, std::uint32_t page_size,
                   std::uint32_t pages_before, std::uint32_t pages_after) {
    if (undo_.commits == 0) {
      undo_.page_size = page_size;
      undo_.pages_now = pages_after;
    } else if (page_size != undo_.page_size) {
      throw Error(ErrorCode::kInvalid,
                  "Object " + std::to_string(object_) +
                      " had another page size then, and cannot be taken back over that change.");
    }
    undo_.pages_then = pages_before;
    undo_.commits += commits;
    undo_.oldest_ms = oldest_ms;
  }

  void add_page(std::uint32_t page, std::span<const std::byte> delta) {
    std::vector<std::byte>& difference = undo_.pages[page];
    if (difference.empty()) {
      if (undo_.pages.size() * undo_.page_size > bytes_max_) {
        throw Error(ErrorCode::kFull, "Taking back object " + std::to_string(object_) +
                                          " changes more than " + std::to_string(bytes_max_) +
                                          " bytes of pages, which is the limit.");
      }
      difference.resize(undo_.page_size);
    }
    apply_delta(delta, difference);
  }

  Undo finish() {
    std::erase_if(undo_.pages, [](const auto& entry) {
      return std::all_of(entry.second.begin(), entry.second.end(),
                         [](std::byte b) { return b == std::byte{0}; });
    });
    return std::move(undo_);
  }

 private:
  const ObjectNumber object_;
  const std::uint64_t bytes_max_;
  Undo undo_;
};

// Visitors of a chain: see History::Impl::follow.

struct Walk {
  const std::function<bool(const CommitInfo&)>& visit;

  template <typename Commit>
  bool commit(const CommitInfo& info, const Commit&) {
    return visit(info);
  }
  bool file(HistoryFile::Reader&, const SealedObject&) { return false; }
  bool skips(const SealedObject::Chunk&) { return false; }
  bool goes_on() { return true; }
};

struct GoBack {
  const Lsn target;
  UndoBuilder builder;
  Lsn next;           // the newest commit that was not taken back yet
  Undo nothing = {};  // when that is the target already

  template <typename Commit>
  bool commit(const CommitInfo& info, const Commit& commit) {
    if (info.lsn <= target) {
      nothing.page_size = info.page_size;
      nothing.pages_now = nothing.pages_then = info.pages_after;
      return false;
    }
    builder.add_commits(1, info.time_ms, info.page_size, info.pages_before, info.pages_after);
    commit.for_each_delta([this](std::uint32_t page, std::span<const std::byte> delta) {
      builder.add_page(page, delta);
    });
    next = info.previous_lsn;
    return goes_on();
  }
  bool file(HistoryFile::Reader& reader, const SealedObject& object) {
    if (object.summary_bytes == 0 || object.first_lsn <= target) return false;
    builder.add_commits(object.commits, object.min_time_ms, object.page_size, object.pages_before,
                        object.pages_after);
    reader.for_each_summary_page(object,
                                 [this](std::uint32_t page, std::span<const std::byte> delta) {
                                   builder.add_page(page, delta);
                                 });
    next = object.previous_lsn;
    return true;
  }
  bool skips(const SealedObject::Chunk&) { return false; }
  // The commit that is gone back to need not be there itself.
  bool goes_on() { return next > target; }
};

struct FindTime {
  const std::int64_t time_ms;
  Lsn found;

  template <typename Commit>
  bool commit(const CommitInfo& info, const Commit&) {
    const bool is_newer = info.time_ms > time_ms;
    found = is_newer ? info.previous_lsn : info.lsn;
    return is_newer;
  }
  bool file(HistoryFile::Reader&, const SealedObject& object) {
    if (object.min_time_ms <= time_ms) return false;
    found = object.previous_lsn;
    return true;
  }
  bool skips(const SealedObject::Chunk& chunk) { return chunk.min_time_ms > time_ms; }
  bool goes_on() { return true; }
};

}  // namespace

struct History::Impl {
  // Follows the chain of an object from `at` backwards. Calls
  //   visitor.commit(info, commit)   for each commit; false: stop. `commit` has for_each_delta().
  //   visitor.file(reader, object)   before all commits of a history file: true when it has dealt
  //                                  with them;
  //   visitor.goes_on()              after that: false: stop;
  //   visitor.skips(chunk)           true when none of these commits is of interest.
  template <typename Visitor>
  End follow(ObjectNumber object, Position at, Visitor& visitor, const StopCheck& stopped) {
    ReadWindow window;
    while (at.lsn != 0) {
      throw_if_stopped(stopped);
      bool goes_on = false;
      if (const auto file = source.keeper.open(at.location.segment)) {
        goes_on = follow_file(object, file, at, visitor, stopped);
      } else if (const auto record = read(object, at, window)) {
        goes_on = visitor.commit(info_of(*record), *record);
        at = {record->previous_lsn, record->previous};
      } else if (source.keeper.open(at.location.segment) != nullptr) {
        continue;  // it has become history just now
      } else {
        return End::kExpired;
      }
      if (!goes_on) return End::kStopped;
    }
    return End::kBeginning;
  }

  // The part of the chain that is in one history file; moves `at`.
  template <typename Visitor>
  bool follow_file(ObjectNumber object, const std::shared_ptr<const HistoryFile>& file,
                   Position& at, Visitor& visitor, const StopCheck& stopped) {
    HistoryFile::Reader reader(file);
    const auto sealed = reader.find(object);
    if (!sealed || at.lsn < sealed->first_lsn || at.lsn > sealed->last_lsn) {
      not_in_place(object, at, file->path());
    }
    const Position before{sealed->previous_lsn, sealed->previous};
    if (at.lsn == sealed->last_lsn && visitor.file(reader, *sealed)) {
      at = before;
      return visitor.goes_on();
    }
    for (std::size_t i = sealed->chunks.size(); i > 0; --i) {
      const Lsn last_before = i > 1 ? sealed->chunks[i - 2].last_lsn : before.lsn;
      if (i > 1 && at.lsn <= last_before) continue;
      throw_if_stopped(stopped);
      if (visitor.skips(sealed->chunks[i - 1])) {
        at.lsn = last_before;
      } else if (!follow_chunk(object, reader, sealed->chunks[i - 1], at, visitor)) {
        return false;
      }
    }
    if (at.lsn != before.lsn) not_in_place(object, at, file->path());
    at = before;
    return true;
  }

  template <typename Visitor>
  bool follow_chunk(ObjectNumber object, HistoryFile::Reader& reader,
                    const SealedObject::Chunk& chunk, Position& at, Visitor& visitor) {
    const std::vector<SealedCommit> commits = reader.commits(chunk);
    for (auto commit = commits.rbegin(); commit != commits.rend(); ++commit) {
      if (commit->info.lsn > at.lsn) continue;
      if (commit->info.lsn != at.lsn) not_in_place(object, at, reader.file().path());
      if (!visitor.commit(commit->info, *commit)) return false;
      at.lsn = commit->info.previous_lsn;
    }
    return true;
  }

  // The record of `object` at a position in the log; nothing when it is not kept any more.
  std::optional<RecordView> read(ObjectNumber object, const Position& at, ReadWindow& window) {
    std::optional<RecordView> record;
    try {
      record = source.read(at.location, window);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kNotFound) return std::nullopt;
      throw;
    }
    if (record->object != object || record->lsn != at.lsn) {
      not_in_place(object, at,
                   "byte " + std::to_string(at.location.offset) + " of segment " +
                       std::to_string(at.location.segment));
    }
    return record;
  }

  // When the oldest record was written; nothing when none is missing.
  [[nodiscard]] std::optional<std::int64_t> oldest_time_ms() const {
    const HistoryKeeper::Oldest oldest = source.keeper.oldest(source.live_segments());
    if (oldest.number == 1) return std::nullopt;
    if (oldest.time_ms) return oldest.time_ms;
    return source.first_time_ms(oldest.number).value_or(options.now_ms());
  }

  const HistoryOptions options;
  const Source source;
};

History::History(HistoryOptions options, Source source)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(source))) {}

History::~History() = default;

History::End History::walk(ObjectNumber object, Lsn head_lsn, RecordLocation head,
                           const std::function<bool(const CommitInfo&)>& visit,
                           const StopCheck& stopped) {
  Walk visitor{visit};
  return impl_->follow(object, {head_lsn, head}, visitor, stopped);
}

Undo History::undo(ObjectNumber object, Lsn head_lsn, RecordLocation head, Lsn target_lsn,
                   std::uint64_t bytes_max, const StopCheck& stopped) {
  GoBack back{.target = target_lsn, .builder = {object, bytes_max}, .next = head_lsn};
  const End end = impl_->follow(object, {head_lsn, head}, back, stopped);
  if (back.next != target_lsn) {
    if (end == End::kExpired) not_kept(object, back.next);
    throw Error(ErrorCode::kNotFound, "There is no " + name(object, target_lsn) + ".");
  }
  return target_lsn == head_lsn ? back.nothing : back.builder.finish();
}

Lsn History::at_time(ObjectNumber object, Lsn head_lsn, RecordLocation head, std::int64_t time_ms,
                     const StopCheck& stopped) {
  FindTime find{.time_ms = time_ms, .found = head_lsn};
  if (impl_->follow(object, {head_lsn, head}, find, stopped) != End::kExpired) return find.found;
  const auto oldest = impl_->oldest_time_ms();
  if (oldest && time_ms < *oldest) not_kept(object, find.found);
  return find.found;
}

std::int64_t History::earliest_ms() const {
  const std::int64_t kept = impl_->options.now_ms() - impl_->options.retention_ms;
  return std::max(kept, impl_->oldest_time_ms().value_or(kept));
}

void History::catch_up() { impl_->source.keeper.catch_up(); }

bool History::give_up_oldest() { return impl_->source.keeper.give_up_oldest(); }

HistoryUsage History::usage() const { return impl_->source.keeper.usage(); }

}  // namespace perdure::log
