#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "perdure/export.h"
#include "perdure/kv.h"
#include "perdure/object_id.h"
#include "perdure/sql.h"
#include "perdure/types.h"

namespace perdure {

namespace native {
struct StorageState;
}

// A transaction of one object: all of what its statements and key-value calls write is committed,
// or nothing. One inside another is a savepoint of it. It is rolled back when it goes without
// commit().
//
// When the failure of a statement has taken the whole transaction with it (a full disk, a limit),
// writes and commit() throw Error(kInvalid): roll it back.
class PERDURE_API Transaction {
 public:
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&& other) = delete;
  ~Transaction();

  // Ends it. Returns the LSN of the commit, or of the object's last one when nothing was written; 0
  // for a transaction inside another. Throws SqlError (for example, a deferred foreign key is
  // violated) and Error: kFull, kPoisoned; kInvalid when it has ended, or one inside it has not.
  // Nothing of it is left then.
  Lsn commit();
  // Takes back what was written in it. Does nothing when it has ended.
  void rollback();

 private:
  friend class Storage;
  Transaction(std::shared_ptr<native::StorageState> storage, std::uint32_t depth,
              std::uint64_t serial) noexcept;

  std::shared_ptr<native::StorageState> storage_;
  std::uint32_t depth_;  // 1: the outermost
  std::uint64_t serial_;
};

// What restore() would do.
struct PERDURE_API RestorePlan {
  std::uint64_t commits = 0;        // that it takes back
  std::uint64_t changed_pages = 0;  // of the database
};

// A commit of an object, as its history has it.
struct PERDURE_API PastCommit {
  std::string bookmark;  // of the state that it has left
  Time time;
  std::uint32_t changed_pages = 0;
  std::uint64_t bytes = 0;           // of what it has changed, as the log keeps it
  std::uint64_t database_bytes = 0;  // size of the database after it
  bool is_restore = false;
};

// The newest commits of an object, the last one first.
struct PERDURE_API Past {
  enum class End : std::uint8_t {
    kMore,       // there are older ones
    kBeginning,  // the object's first commit is the last in the list
    kExpired,    // older ones are not kept any more
  };
  std::vector<PastCommit> commits;
  End end = End::kBeginning;
};

// One object's storage, opened by Namespace::open(). One thread at a time, any, for it and for all
// that comes from it (Sql, Statement, Cursor, Kv, KvCursor, Transaction).
//
// Commits. Each write is a commit of its own, or part of the open Transaction. A commit is atomic,
// and visible at once; it returns before it is on the disk. It is durable, and survives a crash or
// the loss of power, once sync() or Engine::wait_durable() has returned; all commits of all objects
// that came before it are durable then, too. Tell nobody outside the process about a commit before
// that. Without a call of those it becomes durable soon (milliseconds).
//
// Errors, beside those that functions name: Error(kInvalid) for every call after close();
// Error(kPoisoned) for every write after the log has failed (Options::on_failure).
class PERDURE_API Storage {
 public:
  Storage(Storage&& other) noexcept;
  Storage& operator=(Storage&& other) noexcept;
  // close(); errors of the rollback are lost, and nothing else.
  ~Storage();

  [[nodiscard]] const ObjectId& id() const noexcept;
  [[nodiscard]] StorageKind kind() const noexcept;

  // The object's SQLite database. Error(kInvalid) for an object of key-value storage, which has
  // none. Other Error when the database can not be opened: kCorrupt, kIo. The reference lives as
  // long as the Storage.
  [[nodiscard]] Sql& sql();
  // Key-value storage, of either kind. Lives as long as the Storage.
  [[nodiscard]] Kv& kv();

  // Begins a transaction, inside the innermost one that is open.
  [[nodiscard]] Transaction begin();
  // Runs `body` in a transaction, commits it and returns what it returned. An exception rolls the
  // transaction back and goes on. (transactionSync() in JavaScript.)
  template <typename Body>
  auto transaction_sync(Body&& body) {
    Transaction transaction = begin();
    if constexpr (std::is_void_v<std::invoke_result_t<Body>>) {
      std::forward<Body>(body)();
      transaction.commit();
    } else {
      auto result = std::forward<Body>(body)();
      transaction.commit();
      return result;
    }
  }

  // Empties the object: keys, tables, views, triggers; its alarm, too. A write; Error(kInvalid) in
  // a transaction that is inside another.
  void delete_all();

  // The object's one alarm, which rings when its class is served: at that time or, when it has
  // passed, at once. A write each, and part of the open transaction. The first
  // millisecond of 1970 and times before it are Error(kInvalid).
  [[nodiscard]] std::optional<Time> get_alarm();
  void set_alarm(Time time);
  void delete_alarm();

  // Point-in-time recovery. A bookmark names a state that the object had: what one of its commits
  // has left. It is a text of 59 characters, the same as JavaScript's, and string order is time
  // order. Only with SQLite storage, and outside transactions: Error(kInvalid) otherwise.
  //
  // The state now: after the last commit, which may not be durable yet (sync()).
  [[nodiscard]] std::string get_current_bookmark();
  // The state at that time. Error(kRange), with what there is, when it is in the future or before
  // what is kept.
  [[nodiscard]] std::string get_bookmark_for_time(Time time);
  // What restore() of that bookmark would do, with nothing done. Throws what restore() throws.
  [[nodiscard]] RestorePlan plan_restore(std::string_view bookmark);
  // The object's last commits, `commits_max` of them at most. Error: kCorrupt, kIo.
  [[nodiscard]] Past past(std::size_t commits_max);
  // Takes the object back (or forth) to that state: SQL, key-value and alarm, in one commit.
  // Returns the bookmark that undoes it. Statements, Cursors and transactions of this Storage are
  // closed by it; the Storage goes on. Error, with nothing changed: kInvalid for what is no
  // bookmark of this object; kRange when it has expired; kFull when more than 256 MiB of pages
  // differ or the disk is full; kCorrupt, kIo. A crash leaves the state before or the state after;
  // if it was before, and the bookmark was accepted, the next open() of the object makes the
  // restore.
  std::string restore(std::string_view bookmark);

  // The LSN of the object's last commit that this process knows; 0 when it has none. With
  // key-value storage, of the last commit of this Storage.
  [[nodiscard]] Lsn last_commit();
  // Waits until last_commit() is durable. Error(kPoisoned) when the log has failed: then nobody
  // knows whether it is.
  void sync();

  // Ends it: rolls back open transactions, and closes everything that came from it. The object can
  // be opened again then. What is committed stays so, and becomes durable. Does nothing the second
  // time.
  void close();

 private:
  friend class Namespace;
  explicit Storage(std::shared_ptr<native::StorageState> state) noexcept;
  std::shared_ptr<native::StorageState> state_;
};

}  // namespace perdure
