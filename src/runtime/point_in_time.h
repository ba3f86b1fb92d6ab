#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/lsn.h"
#include "base/stop.h"
#include "log/history.h"
#include "runtime/bookmark.h"
#include "runtime/catalog.h"
#include "runtime/object_id.h"
#include "store/database.h"
#include "store/read_view.h"
#include "store/store.h"

namespace perdure::runtime {

// An object with SQLite storage whose past is asked for. The name is empty when its id has none.
struct PastOf {
  NamespaceNumber ns;
  const ObjectId& id;
  std::string_view name;
};

// A restore that is due, ready to be committed. The object's storage is closed until this is gone.
struct DueRestore {
  std::uint32_t number = 0;  // of its record: see Catalog::ScheduledRestore
  std::unique_ptr<store::Database> restored;
  std::optional<std::uint64_t> alarm_ms;  // of the restored state

  // What the state of the object depends on then. Throws Error: kFull, kPoisoned; nothing has
  // changed then.
  Lsn commit(Catalog::RestoreChange& change) const;
};

// Point-in-time recovery of objects with SQLite storage: what their states are called, and how one
// of them gets back to an older one. A state is what a commit of the object has left. A restore is
// a commit like any other: it can be taken back by a restore, too.
//
// Any thread, as the catalog and the log's history are. They must outlive it.
class PointInTime {
 public:
  // What reads the past asks `stopped` now and then, on its own thread: true ends it with Stopped,
  // and nothing has changed.
  PointInTime(store::Store& store, Catalog& catalog, StopCheck stopped = {})
      : store_(store), catalog_(catalog), stopped_(std::move(stopped)) {}

  // The last committed state.
  [[nodiscard]] Bookmark current(const PastOf& object);

  // The state at that time, in milliseconds since 1970. Throws Error(kRange) when it is in the
  // future, or before what is kept.
  [[nodiscard]] Bookmark at_time(const PastOf& object, std::int64_t time_ms);

  // Has the object taken back to a bookmark when its next session begins (due()), instead of what
  // was asked for before. Throws Error, with nothing changed: kInvalid for what is no bookmark of
  // this object; kRange when it has expired; kFull when the pages that differ are more than one
  // transaction may change (StoreOptions::transaction_bytes_max); kCorrupt, kIo.
  struct Scheduled {
    Bookmark undo;  // the state immediately before the restore
    Lsn lsn = 0;    // what knowing it depends on
  };
  Scheduled schedule(const PastOf& object, std::string_view bookmark);

  // What schedule() would take back, with nothing changed, and what restoring would do. Throws what
  // that throws.
  struct Plan {
    Lsn target_lsn = 0;  // the commit that is the last one then
    std::uint64_t commits = 0;
    std::uint64_t changed_pages = 0;
  };
  [[nodiscard]] Plan plan(const PastOf& object, std::string_view bookmark);

  // The commits of the object, the last one first, `most` at most, each with the bookmark of the
  // state that it has left. kStopped: there are more.
  struct PastCommit {
    Bookmark bookmark;
    log::CommitInfo commit;
  };
  struct Past {
    std::vector<PastCommit> commits;
    log::History::End end = log::History::End::kBeginning;
  };
  [[nodiscard]] Past past(const PastOf& object, std::size_t most);

  // The state that a bookmark names, to be read. Throws what schedule() throws.
  [[nodiscard]] std::unique_ptr<store::ReadView> view(const PastOf& object,
                                                      std::string_view bookmark);

  // At the beginning of a session, with the object's storage closed: the restore that was asked
  // for, if any. When it cannot be made any more (its history was lost meanwhile) it is given up,
  // and what is thrown says so: the object is as it was. After kIo it is still asked for.
  [[nodiscard]] std::optional<DueRestore> due(const PastOf& object);

 private:
  struct State;
  [[nodiscard]] Bookmark parse(const PastOf& object, std::string_view text);
  [[nodiscard]] State state(const PastOf& object);
  [[nodiscard]] std::uint64_t tag(const PastOf& object);
  [[nodiscard]] std::optional<Lsn> find_target(const PastOf& object, const State& now,
                                               const Bookmark& bookmark);
  [[nodiscard]] std::optional<log::Undo> undo_to(const State& now, const Bookmark& bookmark,
                                                 Lsn target);
  [[noreturn]] void refuse_unreachable(const State& now, const Bookmark& bookmark, Lsn target);

  store::Store& store_;
  Catalog& catalog_;
  const StopCheck stopped_;
};

}  // namespace perdure::runtime
