#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "native/engine_state.h"
#include "perdure/storage.h"
#include "runtime/point_in_time.h"
#include "runtime/shard.h"
#include "store/database.h"

struct sqlite3_stmt;

namespace perdure::native {

struct CachedStatement;

// A prepared statement, owned by the Statement or Cursor that uses it, or by the cache while nobody
// does. When its storage closes it is finalized, and outlives that as one that refuses.
struct StatementState {
  StatementState(StorageState& of, store::Statement prepared);
  ~StatementState();
  StatementState(const StatementState&) = delete;
  StatementState& operator=(const StatementState&) = delete;

  void close() noexcept;
  // After a step that failed: throws what SQLite says of it.
  [[noreturn]] void fail(int code);
  // Gives up the rows that are left, which ends a transaction of its own: that may fail. Quietly:
  // the storage keeps the error for the next one who asks.
  void end();
  void end_quietly() noexcept;
  // Runs an ALTER TABLE.
  void alter();

  store::Statement statement;
  sqlite3_stmt* handle;   // null once closed
  StorageState* storage;  // null once closed
  CachedStatement* cached = nullptr;
  StatementState* previous = nullptr;  // in the storage's list
  StatementState* next = nullptr;
  const bool writes;
  int columns = 0;  // of the row that it stands on; 0: it does not run
};

// An entry of the cache. `idle` is null while a Cursor uses the statement.
struct CachedStatement {
  std::string sql;
  std::unique_ptr<StatementState> idle;
  std::list<CachedStatement>::iterator place;
};

// Prepared statements by their text, least recently used first out. One thread.
class StatementCache {
 public:
  // The statement with this text, which the caller has until give_back(); null when there is none
  // or it is in use.
  StatementState* take(std::string_view sql);
  // Keeps a new one, which the caller goes on using.
  void add(std::string_view sql, StatementState& state);
  static void give_back(StatementState* state) noexcept;
  void clear() noexcept;
  // Of SQL text.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  void make_room();

  std::list<CachedStatement> entries_;  // the most recently used first
  std::unordered_map<std::string_view, CachedStatement*> by_sql_;
  std::size_t bytes_ = 0;
};

// Throws Error(kInvalid): an object of key-value storage has none.
[[noreturn]] void refuse_bookmarks(const ObjectId& id);

// One open object: a shard of one (runtime/shard.h), whose code is the C++ program. One thread.
struct StorageState {
  StorageState(std::shared_ptr<EngineState> owner, store::Store& store, runtime::Catalog& catalog,
               runtime::NamespaceNumber number, const runtime::ObjectId& object, ObjectId public_id,
               StorageKind storage_kind);
  ~StorageState();
  StorageState(const StorageState&) = delete;
  StorageState& operator=(const StorageState&) = delete;

  void check_open() const;
  // Throws what nobody has seen yet of a write that failed.
  void check_failures();
  // The database; opened when it is not. Throws Error(kInvalid) for one of key-value storage.
  store::Database& open_database();
  // SQLite, or the buffer of a key-value object, has taken back the open transaction by itself.
  [[nodiscard]] bool transaction_lost();
  // Throws when writing is of no use: the log has failed, or the transaction is lost.
  void check_writable();
  [[nodiscard]] Lsn last_commit();
  // Runs `body`, which writes, in the open transaction or one of its own.
  template <typename Body>
  auto write(Body&& body) {
    check_open();
    check_writable();
    const bool alone = shard.begin_write(slot);
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<Body>>) {
        body();
        if (alone) shard.commit(slot);
      } else {
        auto result = body();
        if (alone) shard.commit(slot);
        return result;
      }
    } catch (...) {
      if (alone) shard.rollback(slot);
      leave_broken_database();
      throw;
    }
  }
  // A failed commit may leave SQLite in doubt: then it is closed, and opened anew by its next use.
  void leave_broken_database() noexcept;
  // All statements and open transactions end, and the storage is closed in the shard.
  void close_database() noexcept;
  void close() noexcept;

  const std::shared_ptr<EngineState> engine;
  const runtime::ObjectId object;
  const ObjectId id;
  const StorageKind kind;
  const runtime::NamespaceNumber ns;
  runtime::PointInTime point_in_time;
  runtime::Shard shard;
  runtime::Slot slot;
  bool closed = false;
  std::uint32_t depth = 0;         // of open transactions
  std::uint64_t transactions = 0;  // outermost ones that were begun
  StatementState* statements = nullptr;
  StatementCache cache;
  store::Database* database = nullptr;  // once it is open
  std::optional<SqlError> unseen_failure;
  Sql sql{*this};
  Kv kv{*this};
};

}  // namespace perdure::native
