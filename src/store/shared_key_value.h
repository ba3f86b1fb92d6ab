#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/lsn.h"
#include "store/database.h"
#include "store/key_range.h"

namespace perdure::store {

class DatabaseFile;
class Store;

// Whose keys: the namespace's key and the object's id, as they stand in the table.
struct KeyOwner {
  std::string ns;
  std::string id;
};

// A value by itself; `is_text` is its SQLite type, TEXT or BLOB.
struct StoredValue {
  std::string bytes;
  bool is_text = false;
};

// What one transaction writes: by key the new value, or none for a key that is deleted.
using KeyWrites = std::map<std::string, std::optional<StoredValue>, std::less<>>;

// The key-value storage of all objects that have no database of their own, in one database with the
// table `do_storage (namespace, id, key, value)`. An object's writes come as a whole and are one
// commit of it, so no object ever sees, commits or rolls back what another one has not committed;
// KeyValueBuffer is where they gather.
//
// Any thread (a mutex inside, which an open Cursor holds). Every function throws SqlError, and
// Error(kInvalid) once it is closed.
class SharedKeyValue {
 public:
  // A key and its value, in bytes: as much as the buffer of an object takes. Programs may write
  // less (131072 bytes of value); what they wrote elsewhere may be larger.
  static constexpr std::size_t kPairBytesMax = std::size_t{64} << 20;
  // The pair, its owner (a key of a namespace is far shorter) and what SQLite puts around them.
  static constexpr int kRowBytesMax = static_cast<int>(kPairBytesMax) + (1 << 20);

  SharedKeyValue(Store& store, std::shared_ptr<DatabaseFile> file);
  ~SharedKeyValue();
  SharedKeyValue(const SharedKeyValue&) = delete;
  SharedKeyValue& operator=(const SharedKeyValue&) = delete;

  std::optional<StoredValue> get(const KeyOwner& owner, std::string_view key);

  // The committed pairs of a range, in the order of the keys' bytes or against it. Use no other
  // function on the same thread while one is there.
  class Cursor {
   public:
    Cursor(Cursor&& other) noexcept;
    Cursor& operator=(Cursor&&) = delete;
    ~Cursor();

    // Moves to the next pair; false after the last one. What key() and value() returned is gone
    // then.
    bool next();
    [[nodiscard]] std::string_view key() const;
    [[nodiscard]] KeyValue::Value value() const;

   private:
    friend class SharedKeyValue;
    Cursor(SharedKeyValue& shared, std::unique_lock<std::mutex> lock, Statement* statement);

    SharedKeyValue* shared_;
    std::unique_lock<std::mutex> lock_;
    Statement* statement_;  // null: there is nothing to list
  };
  Cursor list(const KeyOwner& owner, const KeyRange& range, bool reverse);

  // All of it or, when it throws, nothing: first everything of the owner is deleted, if `clear`;
  // then `writes`. Returns the LSN of the commit; 0 when there was nothing to write.
  // A companion is committed in any case, in one atomic group with the rest.
  Lsn commit(const KeyOwner& owner, bool clear, const KeyWrites& writes,
             Companion* companion = nullptr);

  // Whether the owner has any keys.
  bool contains(const KeyOwner& owner);

  // Deletes everything of an owner, however much it is, in commits of a few rows each. When it
  // throws, some of it is left.
  void discard(const KeyOwner& owner);

  // The LSN of the last commit of any object.
  [[nodiscard]] Lsn last_lsn();

  // Closes the database and lets go of the store, which may go then; it must not go before.
  void close() noexcept;

 private:
  // To an end or not; forwards or backwards.
  static constexpr std::size_t kListVariants = 4;

  struct Statements {
    Statement get;
    Statement put;
    Statement remove;
    Statement clear;
    Statement clear_some;
    Statement lists[kListVariants];
  };

  void require_open() const;
  void open();
  bool has_table();
  Statement& prepared(Statement& statement, const char* sql);
  void write(const KeyOwner& owner, const std::string& key,
             const std::optional<StoredValue>& value);

  Store& store_;
  std::mutex mutex_;
  std::shared_ptr<DatabaseFile> file_;  // null once closed
  std::unique_ptr<Database> database_;
  Statements statements_;
  bool table_ = false;
};

}  // namespace perdure::store
