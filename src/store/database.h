#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"

struct sqlite3;
struct sqlite3_stmt;

namespace perdure::log {
struct Undo;
}

namespace perdure::store {

class DatabaseFile;
class Store;

using perdure::SqlError;

// Who wrote a statement. User SQL passes the authorizer (store/authorizer.h): it can not reach
// internal tables (_cf_*), other files, transactions or settings. The engine's own can.
enum class Access : std::uint8_t { kUser, kEngine };

// A prepared statement. Belongs to one Database and its thread; finalized on destruction, which
// must come before the database's.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* handle, bool alters_as_user = false);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // For the hot path of a host: bind, step and read with SQLite's own functions.
  [[nodiscard]] sqlite3_stmt* handle() const noexcept { return handle_; }
  explicit operator bool() const noexcept { return handle_ != nullptr; }
  // True when running it can change the database.
  [[nodiscard]] bool writes() const noexcept { return writes_; }
  // True for an ALTER TABLE of user SQL: to be run by Database::alter_as_user().
  [[nodiscard]] bool alters_as_user() const noexcept { return alters_as_user_; }

 private:
  sqlite3_stmt* handle_ = nullptr;
  bool writes_ = false;
  bool alters_as_user_ = false;
};

class Database;

// A change of another database that is committed together with one's own: a crash leaves both or
// neither.
class Companion {
 public:
  virtual ~Companion() = default;
  // Makes the change, up to Database::stage_commit(), and returns that database. Called at most
  // once, when nothing waits for a checkpoint any more. What it throws fails the commit. Who made
  // the companion gives up what is staged still when the commit has failed.
  virtual Database& stage() = 0;
};

// One object's open SQLite database on the log. One thread at a time. The VFS below turns each
// commit into one record of the log; nothing here waits for the disk.
//
// A failed commit (disk full at the wrong moment, a limit) rolls the transaction back and throws;
// when SQLite itself is left in doubt, `broken()` is true and the database must be closed and
// opened anew: it then has the state of its last commit.
class Database {
 public:
  // Opens (or creates, at the first commit) the database.
  Database(Store& store, std::shared_ptr<DatabaseFile> file);
  // Opens it as it was before the commits that `undo` takes back, to be read only; nobody else has
  // it open. The commits are those that come last: nothing is committed until this goes, other than
  // by restore(). Throws Error(kInvalid) when they are not.
  Database(Store& store, std::shared_ptr<DatabaseFile> file, log::Undo undo);
  ~Database();  // rolls back what is open
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  [[nodiscard]] sqlite3* handle() const noexcept { return handle_; }

  // Prepares the first statement of `sql`; `tail` receives the offset behind it. An empty Statement
  // when there is none (only blanks and comments). Throws SqlError.
  Statement prepare(std::string_view sql, Access access, std::size_t* tail = nullptr);

  // sqlite3_step for a statement that was prepared with Access::kEngine: a change of the schema
  // makes SQLite prepare it again, which the authorizer must let through.
  int step(Statement& statement);

  // Runs a statement whose alters_as_user() holds. SQLite does not tell the authorizer
  // what a table is to be called, so the names are looked at afterwards: when there are more that
  // only the engine uses, all is undone and SqlError thrown. The transaction must be open.
  void alter_as_user(Statement& statement);

  // Runs statements of the engine's own, without results.
  void execute(const char* sql);

  // The implicit transaction. begin() without one open runs BEGIN; commit() publishes it to the log
  // and returns the LSN of the last commit (with nothing changed: of the one before). Throws
  // SqlError; the transaction is rolled back then.
  void begin();
  Lsn commit();
  // The same, in one atomic group of the log with the companion's change, also when there is
  // nothing else to commit. Returns what depends on both.
  Lsn commit(Companion& companion);
  void rollback();

  // The other side of it. Commits the transaction in SQLite alone; its record goes to the log with
  // the next commit of the database that takes it along, or by publish_staged(). Nobody may use
  // the database until then. Given up, it is broken(). Throws SqlError; the transaction is rolled
  // back then.
  void stage_commit();
  [[nodiscard]] bool staged() const noexcept;
  Lsn publish_staged();
  void abandon_staged() noexcept;
  [[nodiscard]] bool in_transaction() const noexcept;

  // Of a database that was opened with an Undo: makes that its state, by one commit whose record
  // has these flags (kRestoreFlag …) and is in one atomic group of the log with the companion's
  // change. Returns what depends on both. Once; the database is to be closed then. Throws Error,
  // with nothing changed: kFull, kPoisoned, kSql.
  Lsn restore(std::uint32_t flags, Companion& companion);

  // The LSN of this object's last commit in this process, or of the recovered one; 0 when it has
  // none in the current log.
  [[nodiscard]] Lsn last_lsn() const noexcept;
  [[nodiscard]] bool broken() const noexcept;

  // The error of the last failed call on `handle`, as SqlError words it.
  [[nodiscard]] SqlError error(int code) const;

  // (page_count - freelist_count) * page_size; a page at least.
  [[nodiscard]] std::uint64_t bytes_in_use();
  // Memory that SQLite holds for this connection: page cache, schema, statements.
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  Database(std::shared_ptr<DatabaseFile> file, log::Undo* undo);
  void run(Statement& statement, const char* sql);
  std::int64_t count_reserved_names();

  sqlite3* handle_ = nullptr;
  std::shared_ptr<DatabaseFile> file_;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace perdure::store
