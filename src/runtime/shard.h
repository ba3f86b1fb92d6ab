#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "object/object.h"
#include "runtime/alarm_clock.h"
#include "runtime/catalog.h"
#include "runtime/object_id.h"
#include "runtime/point_in_time.h"
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
  // A failed alarm is tried again after `alarm_retry_ms`, then after twice that, and so on.
  Shard(store::Store& store, Catalog& catalog,
        std::uint64_t alarm_retry_ms = object::AlarmState::kRetryFirstMs)
      : store_(store),
        catalog_(catalog),
        point_in_time_(store, catalog),
        alarm_retry_ms_(alarm_retry_ms) {}

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
  // A session of the object begins: it is about to be constructed. True: it was taken back to an
  // older state, as restore_at_next_session() was told, with the alarm of that state on the clock.
  // Statements prepared on the storage must be gone. Throws Error: the object is as it was; kFull:
  // the next session tries again, others: it does not.
  bool begin_session(Slot slot);
  // Bookmarks (runtime/point_in_time.h), for code of the object, so for one with SQLite storage
  // that has an instance.
  Bookmark current_bookmark(Slot slot);
  Bookmark bookmark_at(Slot slot, std::int64_t time_ms);
  // Returns what takes the restore back.
  Bookmark restore_at_next_session(Slot slot, std::string_view bookmark);

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

  // Empties the object's storage, as part of the open transaction; its alarm, too, or that stays.
  void remove_all(Slot slot, bool with_alarm);

  // Alarms. The clock has those of the objects that are this shard's, in memory or not: when the
  // first one is due the host lets its object come to memory, asks alarm_due(), and has an event
  // arrive there. What the core says of an alarm (object/object.h) the functions here do on the
  // disk as well.
  //
  // Puts the stored alarms of a namespace on the clock, of the objects that `owns` says are this
  // shard's. Before any of these is added.
  void load_alarms(NamespaceNumber ns, const std::function<bool(const ObjectId&)>& owns);
  // The same for one object, where that is all that the shard will have.
  void load_alarm(NamespaceNumber ns, const ObjectId& id);
  [[nodiscard]] const AlarmClock& clock() const noexcept { return clock_; }
  // The stored alarm that is due first, if it is due; none also when it is gone by now.
  struct DueAlarm {
    NamespaceNumber ns;
    ObjectId id;
    std::string name;
  };
  [[nodiscard]] std::optional<DueAlarm> first_due(std::uint64_t now_ms);
  // True: it is off the clock, and an event is to arrive at the object for it.
  bool alarm_due(Slot slot, std::uint64_t now_ms);
  std::optional<object::AlarmRun> alarm_begins(Slot slot, std::uint64_t now_ms);
  // The handler has returned. The host commits then.
  void alarm_returned(Slot slot);
  // The handler has thrown, or the object was reset while an alarm was at work. Without the disk
  // (an error is thrown then) what the core has decided holds for as long as the process runs.
  object::AlarmFailure alarm_failed(Slot slot, std::uint64_t now_ms,
                                    object::AlarmFault fault = object::AlarmFault::kHandler);
  // Of the open transaction: begin_write() comes before.
  void set_alarm(Slot slot, std::uint64_t time_ms, std::uint64_t now_ms);
  void delete_alarm(Slot slot);

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
  Lsn commit_storage(ShardObject& object);
  Lsn commit_with_alarm(ShardObject& object);
  void load_alarm(ShardObject& object);
  void tell_clock(const ShardObject& object);

  store::Store& store_;
  Catalog& catalog_;
  PointInTime point_in_time_;
  const std::uint64_t alarm_retry_ms_;
  AlarmClock clock_;
  std::vector<std::unique_ptr<ShardObject>> objects_;
  std::vector<Slot> free_;
};

}  // namespace perdure::runtime
