#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "object/object.h"
#include "runtime/catalog.h"
#include "runtime/object_id.h"
#include "store/database.h"
#include "store/key_value.h"
#include "store/key_value_buffer.h"
#include "store/store.h"

namespace perdure::runtime {

// An object's place on its shard. Handed out again after the object is forgotten.
using Slot = std::uint32_t;

// One object as its shard holds it: the decisions, and the open storage, which is looked up at its
// first use, so an object that never touches it costs the core alone. By the kind of its namespace
// that is a database, or a buffer over the shared key-value file.
struct ShardObject {
  ShardObject(NamespaceNumber number, StorageKind storage, const ObjectId& object_id,
              std::string_view object_name)
      : ns(number), kind(storage), id(object_id), name(object_name) {}

  NamespaceNumber ns;
  StorageKind kind;
  ObjectId id;
  std::string name;
  object::Object core;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<store::KeyValue> kv;  // after `database`: its statements go first
  std::unique_ptr<store::KeyValueBuffer> buffer;
};

// The objects that one thread runs. One thread; a data directory has as many as the host starts.
class Shard {
 public:
  Shard(store::Store& store, Catalog& catalog) : store_(store), catalog_(catalog) {}

  [[nodiscard]] store::Store& store() noexcept { return store_; }

  // Makes room for an object that is not here yet. The host remembers which object has which slot.
  Slot add(NamespaceNumber ns, const ObjectId& id, std::string_view name);
  // Forgets an object that has no instance; its slot is free then.
  void remove(Slot slot);
  [[nodiscard]] ShardObject& at(Slot slot);

  // The object's database, opened when it is not. Throws Error(kInvalid) for an object of key-value
  // storage, which has none.
  store::Database& database(Slot slot);
  // Calls `run` with the object's key-value storage: a store::KeyValue, or a store::KeyValueBuffer,
  // which has the same functions.
  template <typename Run>
  auto with_key_value(Slot slot, Run&& run) {
    ShardObject& object = at(slot);
    return object.kind == StorageKind::kSqlite ? run(key_value(object, slot)) : run(buffer(object));
  }
  // Rolls back what is open and closes the storage. Statements prepared on it must be gone.
  void close_storage(Slot slot);

  // Forgets all objects. What was not committed is rolled back.
  void close();

  // Opens the object's transaction when none is open; true when it did: the host then calls
  // commit() at the end of the synchronous run, or at the end of storage.transaction(). Throws when
  // the object has no instance. Each write calls begin_write(), which is counted.
  bool begin(Slot slot);
  bool begin_write(Slot slot);
  // Opens the transaction of storage.transaction(), when none is open.
  void begin_explicit(Slot slot);
  // Commits the transaction if one is open; returns what outputs depend on now. So many of its
  // writes said `allowUnconfirmed`. After an error (thrown) nothing of the transaction is left, and
  // the object must be reset.
  Lsn commit(Slot slot, std::uint32_t unconfirmed_writes = 0);
  // Nothing is left of the transaction, if one is open.
  void rollback(Slot slot);

  // Transactions inside the open one, the outermost with depth 0. Rolling back to one ends it, too.
  void open_savepoint(Slot slot, std::uint32_t depth);
  void release_savepoint(Slot slot, std::uint32_t depth);
  void rollback_savepoint(Slot slot, std::uint32_t depth);

  // Slots whose instance has been idle for idle_ms.
  [[nodiscard]] std::vector<Slot> idle(std::uint64_t now_ms, std::uint64_t idle_ms) const;
  // Up to `count` slots whose objects have nothing to do, those that had it longest ago first.
  [[nodiscard]] std::vector<Slot> least_recently_used(std::size_t count) const;

 private:
  store::KeyValue& key_value(ShardObject& object, Slot slot);
  store::KeyValueBuffer& buffer(ShardObject& object);
  bool begin(ShardObject& object, Slot slot, bool to_write);
  void begin_database(ShardObject& object, Slot slot);

  store::Store& store_;
  Catalog& catalog_;
  std::vector<std::unique_ptr<ShardObject>> objects_;
  std::vector<Slot> free_;
};

}  // namespace perdure::runtime
