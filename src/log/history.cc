#include "log/history.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/error.h"
#include "log/page_delta.h"

namespace perdure::log {
namespace {

std::int64_t wall_clock_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

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

  void add_commits(std::uint64_t commits, std::uint32_t page_size, std::uint32_t pages_before,
                   std::uint32_t pages_after) {
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

}  // namespace

struct History::Impl {
  // Reads the record of `object` at a position; false when it is not kept any more.
  bool read(ObjectNumber object, const Position& at, RecordView& record, Bytes& buffer) const {
    try {
      record = source.read(at.location, buffer);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kNotFound) return false;
      throw;
    }
    if (record.object != object || record.lsn != at.lsn) {
      throw Error(ErrorCode::kCorrupt, "The " + name(object, at.lsn) +
                                           " is not where it should be: at byte " +
                                           std::to_string(at.location.offset) + " of segment " +
                                           std::to_string(at.location.segment) + " is the " +
                                           name(record.object, record.lsn) + ".");
    }
    return true;
  }

  // Calls `visit(record)` from `at` backwards until it returns false.
  template <typename Visit>
  End walk(ObjectNumber object, Position at, Visit visit) const {
    Bytes buffer;
    RecordView record;
    while (at.lsn != 0) {
      if (!read(object, at, record, buffer)) return End::kExpired;
      if (!visit(record)) return End::kStopped;
      at = {record.previous_lsn, record.previous};
    }
    return End::kBeginning;
  }

  const HistoryOptions options;
  const Source source;
};

History::History(HistoryOptions options, Source source) {
  if (!options.now_ms) options.now_ms = wall_clock_ms;
  impl_ = std::make_unique<Impl>(std::move(options), std::move(source));
}

History::~History() = default;

History::End History::walk(ObjectNumber object, Lsn head_lsn, RecordLocation head,
                           const std::function<bool(const CommitInfo&)>& visit) {
  return impl_->walk(object, {head_lsn, head},
                     [&](const RecordView& record) { return visit(info_of(record)); });
}

Undo History::undo(ObjectNumber object, Lsn head_lsn, RecordLocation head, Lsn target_lsn,
                   std::uint64_t bytes_max) {
  UndoBuilder builder(object, bytes_max);
  Lsn next = head_lsn;
  Undo nothing;
  const End end = impl_->walk(object, {head_lsn, head}, [&](const RecordView& record) {
    if (record.lsn <= target_lsn) {
      if (record.lsn == head_lsn) {
        nothing.page_size = record.page_size;
        nothing.pages_now = nothing.pages_then = record.pages_after;
      }
      return false;
    }
    builder.add_commits(1, record.page_size, record.pages_before, record.pages_after);
    record.for_each_delta([&builder](std::uint32_t page, std::span<const std::byte> delta) {
      builder.add_page(page, delta);
    });
    next = record.previous_lsn;
    // The commit that is gone back to need not be there itself.
    return next != target_lsn;
  });
  if (end == End::kExpired && next != target_lsn) not_kept(object, next);
  if (next != target_lsn) {
    throw Error(ErrorCode::kNotFound, "There is no " + name(object, target_lsn) + ".");
  }
  return target_lsn == head_lsn ? nothing : builder.finish();
}

Lsn History::at_time(ObjectNumber object, Lsn head_lsn, RecordLocation head, std::int64_t time_ms) {
  Lsn found = head_lsn;
  const End end = impl_->walk(object, {head_lsn, head}, [&](const RecordView& record) {
    found = record.lsn;
    if (record.time_ms <= time_ms) return false;
    found = record.previous_lsn;
    return true;
  });
  if (end != End::kExpired) return found;
  const auto oldest = impl_->source.oldest_time_ms();
  if (oldest && time_ms < *oldest) not_kept(object, found);
  return found;
}

std::int64_t History::earliest_ms() const {
  const std::int64_t kept = impl_->options.now_ms() - impl_->options.retention_ms;
  return std::max(
      kept, impl_->source.oldest_time_ms().value_or(std::numeric_limits<std::int64_t>::min()));
}

}  // namespace perdure::log
