#include "runtime/point_in_time.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/utc.h"
#include "log/history.h"
#include "log/log.h"
#include "store/database_file.h"
#include "store/metadata.h"

namespace perdure::runtime {
namespace {

std::uint32_t flags_of(std::uint32_t restore) {
  return store::kRestoreFlag | restore << store::kFlagsNumberShift;
}

[[noreturn]] void refuse(ErrorCode code, const Bookmark& bookmark, const std::string& why) {
  throw Error(code, "The bookmark " + quoted_bookmark(bookmark.text()) + " " + why);
}

[[noreturn]] void refuse_expired(const Bookmark& bookmark, std::int64_t earliest_ms) {
  refuse(ErrorCode::kRange, bookmark,
         "has expired: this object can be taken back to " + utc_text(earliest_ms) +
             " at the earliest.");
}

[[noreturn]] void refuse_unknown(const Bookmark& bookmark) {
  if (bookmark.restore == 0) {
    refuse(ErrorCode::kInvalid, bookmark,
           "names a state that this object has not had: it is from the future, or a crash has "
           "taken that state back.");
  }
  refuse(ErrorCode::kInvalid, bookmark,
         "undoes a restore that this object has not had: another one has taken its place, or it "
         "was given up.");
}

}  // namespace

// An object as it is now.
struct PointInTime::State {
  std::shared_ptr<store::DatabaseFile> file;
  store::Head head;
};

PointInTime::State PointInTime::state(const PastOf& object) {
  auto file = catalog_.object(object.ns, object.id, object.name);
  const store::Head head = file->head();
  return {std::move(file), head};
}

std::uint64_t PointInTime::tag(const PastOf& object) {
  const log::LogId id = store_.log().id();
  return bookmark_object(id.high, id.low, catalog_.find_namespace(object.ns).key, object.id);
}

Bookmark PointInTime::current(const PastOf& object) {
  return {.lsn = state(object).head.last_lsn, .restore = 0, .object = tag(object)};
}

Bookmark PointInTime::at_time(const PastOf& object, std::int64_t time_ms) {
  log::History& history = store_.log().history();
  const std::int64_t now_ms = store_.now_ms();
  // Where nothing expires it says a time long before there was anything to keep.
  const std::int64_t earliest_ms = std::max<std::int64_t>(history.earliest_ms(), 0);
  const auto refuse_time = [&] {
    throw Error(ErrorCode::kRange, "There is no bookmark for " + utc_text(time_ms) +
                                       ": this object can be taken back to times from " +
                                       utc_text(earliest_ms) + " to " + utc_text(now_ms) + ".");
  };
  if (time_ms > now_ms || time_ms < earliest_ms) refuse_time();
  const auto [file, head] = state(object);
  Lsn lsn = 0;
  try {
    lsn = history.at_time(file->number(), head.last_lsn, head.location, time_ms, stopped_);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kNotFound) refuse_time();  // it has gone just now
    throw;
  }
  return {.lsn = lsn, .restore = 0, .object = tag(object)};
}

// The LSN of the state that the bookmark stands for; none when nothing is to be taken back.
std::optional<Lsn> PointInTime::find_target(const PastOf& object, const State& now,
                                            const Bookmark& bookmark) {
  if (bookmark.restore == 0) return bookmark.lsn;
  // What a restore undoes that has not happened is the state as it is then.
  const auto waiting = catalog_.find_restore(object.ns, object.id);
  if (waiting && waiting->number == bookmark.restore) return std::nullopt;
  std::optional<Lsn> target;
  const auto visit = [&](const log::CommitInfo& commit) {
    if (commit.lsn <= bookmark.lsn) return false;
    if (commit.flags == flags_of(bookmark.restore)) target = commit.previous_lsn;
    return !target.has_value();
  };
  store_.log().history().walk(now.file->number(), now.head.last_lsn, now.head.location, visit,
                              stopped_);
  if (!target) refuse_unreachable(now, bookmark, bookmark.lsn);
  return target;
}

// What takes the object back to that state now; nothing to do when it is there. Throws when it
// cannot be taken back.
std::optional<log::Undo> PointInTime::undo_to(const State& now, const Bookmark& bookmark,
                                              Lsn target) {
  if (target == now.head.last_lsn) return std::nullopt;
  if (target > now.head.last_lsn) refuse_unknown(bookmark);
  log::History& history = store_.log().history();
  const std::int64_t earliest_ms = history.earliest_ms();
  try {
    log::Undo undo = history.undo(now.file->number(), now.head.last_lsn, now.head.location, target,
                                  store_.transaction_bytes_max(), stopped_);
    // The state was replaced then.
    if (undo.oldest_ms < earliest_ms) refuse_expired(bookmark, earliest_ms);
    return undo;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kFull) {
      refuse(ErrorCode::kFull, bookmark,
             "is too far away: going there changes more than " +
                 std::to_string(store_.transaction_bytes_max() >> 20) + " MiB of the database.");
    }
    if (error.code() != ErrorCode::kNotFound) throw;
    refuse_unreachable(now, bookmark, target);
  }
}

// There is no way back to the commit `target`: says whether there was one.
void PointInTime::refuse_unreachable(const State& now, const Bookmark& bookmark, Lsn target) {
  std::int64_t oldest_ms = store_.now_ms();
  const auto visit = [&](const log::CommitInfo& commit) {
    oldest_ms = commit.time_ms;
    return commit.previous_lsn > target;
  };
  const auto end = store_.log().history().walk(now.file->number(), now.head.last_lsn,
                                               now.head.location, visit, stopped_);
  if (end == log::History::End::kExpired) refuse_expired(bookmark, oldest_ms);
  refuse_unknown(bookmark);
}

Bookmark PointInTime::parse(const PastOf& object, std::string_view text) {
  const Bookmark parsed = Bookmark::parse(text);
  if (parsed.object != tag(object)) {
    refuse(ErrorCode::kInvalid, parsed,
           "is of another object, or of an object of another data directory.");
  }
  return parsed;
}

PointInTime::Scheduled PointInTime::schedule(const PastOf& object, std::string_view bookmark) {
  const Bookmark parsed = parse(object, bookmark);
  const State now = state(object);
  const auto target = find_target(object, now, parsed);
  if (target) static_cast<void>(undo_to(now, parsed, *target));
  const auto [number, lsn] = catalog_.schedule_restore(object.ns, object.id, target);
  return {.undo = {.lsn = now.head.last_lsn, .restore = number, .object = parsed.object},
          .lsn = lsn};
}

PointInTime::Plan PointInTime::plan(const PastOf& object, std::string_view bookmark) {
  const Bookmark parsed = parse(object, bookmark);
  const State now = state(object);
  const Lsn target = find_target(object, now, parsed).value_or(now.head.last_lsn);
  const auto undo = undo_to(now, parsed, target);
  if (!undo) return {.target_lsn = target};
  return {.target_lsn = target, .commits = undo->commits, .changed_pages = undo->pages.size()};
}

PointInTime::Past PointInTime::past(const PastOf& object, std::size_t most) {
  const State now = state(object);
  const std::uint64_t own_tag = tag(object);
  Past past;
  past.end = store_.log().history().walk(
      now.file->number(), now.head.last_lsn, now.head.location,
      [&](const log::CommitInfo& commit) {
        past.commits.push_back({{.lsn = commit.lsn, .restore = 0, .object = own_tag}, commit});
        return past.commits.size() < most;
      },
      stopped_);
  return past;
}

std::unique_ptr<store::ReadView> PointInTime::view(const PastOf& object,
                                                   std::string_view bookmark) {
  auto view = catalog_.view(object.ns, object.id);
  // As the view has it: the object goes on.
  State seen = state(object);
  seen.head.last_lsn = view->lsn();
  seen.head.location = view->location();
  const Bookmark parsed = parse(object, bookmark);
  const auto target = find_target(object, seen, parsed);
  if (!target) return view;
  if (auto undo = undo_to(seen, parsed, *target)) view->take_back(std::move(*undo));
  return view;
}

std::optional<DueRestore> PointInTime::due(const PastOf& object) {
  const auto scheduled = catalog_.find_restore(object.ns, object.id);
  if (!scheduled) return std::nullopt;
  const auto [file, head] = state(object);
  DueRestore due;
  due.number = scheduled->number;
  try {
    log::Undo undo;
    undo.page_size = file->page_size();
    undo.pages_now = undo.pages_then = file->page_count();
    if (scheduled->target_lsn && *scheduled->target_lsn != head.last_lsn) {
      undo = store_.log().history().undo(file->number(), head.last_lsn, head.location,
                                         *scheduled->target_lsn, store_.transaction_bytes_max(),
                                         stopped_);
    }
    due.restored = std::make_unique<store::Database>(store_, file, std::move(undo));
    due.alarm_ms = store::stored_alarm_time(*due.restored);
  } catch (const Error& error) {
    // What passes is tried again when the object is started next.
    if (error.code() == ErrorCode::kPoisoned || error.code() == ErrorCode::kIo) throw;
    catalog_.give_up_restore(object.id);
    throw Error(error.code(), "The restore of the object " + object.id.hex() +
                                  " is given up, and the object as it was: " + error.what());
  }
  return due;
}

Lsn DueRestore::commit(Catalog::RestoreChange& change) const {
  return restored->restore(flags_of(number), change);
}

}  // namespace perdure::runtime
