#include "runtime/shard.h"

#include <algorithm>

#include "base/error.h"
#include "store/metadata.h"
#include "store/shared_key_value.h"

namespace perdure::runtime {

Slot Shard::add(NamespaceNumber ns, const ObjectId& id, std::string_view name) {
  auto object = std::make_unique<ShardObject>(ns, catalog_.find_namespace(ns).kind, id, name);
  if (clock_.contains(id)) load_alarm(*object);
  if (free_.empty()) {
    objects_.push_back(std::move(object));
    return static_cast<Slot>(objects_.size() - 1);
  }
  const Slot slot = free_.back();
  free_.pop_back();
  objects_[slot] = std::move(object);
  return slot;
}

void Shard::remove(Slot slot) {
  close_storage(slot);
  objects_[slot].reset();
  free_.push_back(slot);
}

ShardObject& Shard::at(Slot slot) {
  if (slot >= objects_.size() || objects_[slot] == nullptr)
    throw Error(ErrorCode::kInvalid, "no object has slot " + std::to_string(slot));
  return *objects_[slot];
}

store::Database& Shard::database(Slot slot) {
  ShardObject& object = at(slot);
  if (object.kind != StorageKind::kSqlite)
    throw Error(ErrorCode::kInvalid, "An object of key-value storage has no database.");
  if (object.database == nullptr) {
    object.database = std::make_unique<store::Database>(
        store_, catalog_.object(object.ns, object.id, object.name));
    // What it reads may not be durable yet: the object was here before and has been forgotten
    // since.
    object.core.observe(object.database->last_lsn());
  }
  return *object.database;
}

store::KeyValue& Shard::key_value(ShardObject& object, Slot slot) {
  if (object.kv == nullptr) object.kv = std::make_unique<store::KeyValue>(database(slot));
  return *object.kv;
}

store::KeyValueBuffer& Shard::buffer(ShardObject& object) {
  if (object.buffer == nullptr) {
    auto shared = catalog_.key_values();
    // As in database().
    object.core.observe(shared->last_lsn());
    object.buffer = std::make_unique<store::KeyValueBuffer>(
        std::move(shared),
        store::KeyOwner{catalog_.find_namespace(object.ns).key, object.id.hex()});
  }
  return *object.buffer;
}

void Shard::close_storage(Slot slot) {
  ShardObject& object = at(slot);
  object.kv.reset();
  object.database.reset();
  object.buffer.reset();
}

// ---- point-in-time recovery

namespace {

PastOf past_of(const ShardObject& object) { return {object.ns, object.id, object.name}; }

}  // namespace

bool Shard::begin_session(Slot slot) {
  ShardObject& object = at(slot);
  if (object.kind != StorageKind::kSqlite) return false;
  close_storage(slot);
  const auto restore = point_in_time_.due(past_of(object));
  if (!restore) return false;
  object.core.will_write();
  object.core.restore_alarm(restore->alarm_ms);
  try {
    Catalog::RestoreChange change(catalog_, object.ns, object.id, object.name,
                                  object.core.alarm_to_store());
    object.core.committed(restore->commit(change));
  } catch (...) {
    object.core.rolled_back();
    throw;
  }
  tell_clock(object);
  return true;
}

Bookmark Shard::current_bookmark(Slot slot) {
  ShardObject& object = at(slot);
  const Bookmark bookmark = point_in_time_.current(past_of(object));
  // Also where the commit did not count for outputs: who has the bookmark may use it after a crash.
  object.core.observe(bookmark.lsn);
  return bookmark;
}

Bookmark Shard::bookmark_at(Slot slot, std::int64_t time_ms) {
  ShardObject& object = at(slot);
  const Bookmark bookmark = point_in_time_.at_time(past_of(object), time_ms);
  object.core.observe(bookmark.lsn);
  return bookmark;
}

Bookmark Shard::restore_at_next_session(Slot slot, std::string_view bookmark) {
  ShardObject& object = at(slot);
  const auto [undo, lsn] = point_in_time_.schedule(past_of(object), bookmark);
  object.core.observe(lsn);
  return undo;
}

void Shard::close() {
  objects_.clear();
  free_.clear();
}

bool Shard::begin(Slot slot) { return begin(at(slot), slot, false); }

bool Shard::begin_write(Slot slot) { return begin(at(slot), slot, true); }

bool Shard::begin(ShardObject& object, Slot slot, bool to_write) {
  // It would have nobody to commit it.
  if (object.core.state() == object::Object::State::kAbsent)
    throw Error(ErrorCode::kInvalid, "This Durable Object has no instance that could write.");
  if (object.kind == StorageKind::kSqlite)
    database(slot);  // when it cannot be opened, nothing has begun
  if (!(to_write ? object.core.will_write() : object.core.will_begin())) return false;
  begin_database(object, slot);
  return true;
}

void Shard::begin_explicit(Slot slot) {
  ShardObject& object = at(slot);
  if (object.core.state() == object::Object::State::kAbsent)
    throw Error(ErrorCode::kInvalid, "This Durable Object has no instance that could write.");
  if (object.core.transaction_open())
    throw Error(ErrorCode::kInvalid, "A transaction of this Durable Object is open already.");
  if (object.kind == StorageKind::kSqlite) database(slot);
  object.core.begin_explicit();
  begin_database(object, slot);
}

void Shard::begin_database(ShardObject& object, Slot slot) {
  if (object.kind != StorageKind::kSqlite) return;  // the first write begins a buffer's transaction
  try {
    database(slot).begin();
  } catch (...) {
    object.core.rolled_back();
    throw;
  }
}

Lsn Shard::commit(Slot slot, std::uint32_t unconfirmed_writes) {
  ShardObject& object = at(slot);
  if (object.core.transaction_open()) {
    const bool changes_alarm = object.core.alarm_changed();
    const bool changes_clock = changes_alarm || object.core.alarm_at_work();
    try {
      const Lsn lsn = changes_alarm ? commit_with_alarm(object) : commit_storage(object);
      object.core.committed(lsn, unconfirmed_writes);
    } catch (...) {
      object.core.rolled_back();
      throw;
    }
    if (changes_clock) tell_clock(object);
  }
  return object.core.output_lsn();
}

Lsn Shard::commit_storage(ShardObject& object) {
  return object.kind == StorageKind::kSqlite ? object.database->commit() : buffer(object).commit();
}

Lsn Shard::commit_with_alarm(ShardObject& object) {
  const auto alarm = object.core.alarm_to_store();
  Catalog::AlarmChange change(catalog_, object.ns, object.id, object.name, alarm);
  if (object.kind == StorageKind::kKeyValue) return buffer(object).commit(&change);
  store::store_alarm_time(*object.database, alarm ? std::optional(alarm->time_ms) : std::nullopt);
  return object.database->commit(change);
}

void Shard::rollback(Slot slot) {
  ShardObject& object = at(slot);
  if (!object.core.transaction_open()) return;
  object.core.rolled_back();
  if (object.kind == StorageKind::kSqlite) {
    object.database->rollback();
  } else {
    buffer(object).rollback();
  }
}

namespace {

void execute(store::Database& database, const char* action, std::uint32_t depth) {
  const std::string sql = std::string(action) + " _cf_savepoint_" + std::to_string(depth);
  database.execute(sql.c_str());
}

}  // namespace

void Shard::open_savepoint(Slot slot, std::uint32_t depth) {
  ShardObject& object = at(slot);
  if (object.kind == StorageKind::kKeyValue) {
    buffer(object).open_savepoint(depth);
  } else {
    execute(database(slot), "SAVEPOINT", depth);
  }
  object.core.open_savepoint();
}

void Shard::release_savepoint(Slot slot, std::uint32_t depth) {
  ShardObject& object = at(slot);
  if (object.kind == StorageKind::kKeyValue) {
    buffer(object).release_savepoint(depth);
  } else {
    execute(database(slot), "RELEASE", depth);
  }
  object.core.release_savepoint(depth);
}

void Shard::rollback_savepoint(Slot slot, std::uint32_t depth) {
  ShardObject& object = at(slot);
  if (object.kind == StorageKind::kKeyValue) {
    buffer(object).rollback_savepoint(depth);
  } else {
    execute(database(slot), "ROLLBACK TO", depth);
    execute(database(slot), "RELEASE", depth);
  }
  object.core.rollback_savepoint(depth);
}

// ---- alarms

void Shard::remove_all(Slot slot, bool with_alarm) {
  with_key_value(slot, [](auto& kv) { kv.remove_all(); });
  ShardObject& object = at(slot);
  if (with_alarm) return object.core.delete_alarm();
  const auto alarm = object.core.alarm_to_store();
  if (alarm && object.kind == StorageKind::kSqlite)
    store::store_alarm_time(*object.database, alarm->time_ms);
}

void Shard::load_alarms(NamespaceNumber ns, const std::function<bool(const ObjectId&)>& owns) {
  catalog_.for_each_alarm(ns, [&](const ObjectId& id, std::uint64_t due_ms) {
    if (owns(id)) clock_.set(ns, id, due_ms);
  });
}

void Shard::load_alarm(NamespaceNumber ns, const ObjectId& id) {
  if (const auto stored = catalog_.find_alarm(ns, id)) clock_.set(ns, id, stored->alarm.due_ms);
}

void Shard::load_alarm(ShardObject& object) {
  const auto stored = catalog_.find_alarm(object.ns, object.id);
  if (!stored) return;
  object.core.load_alarm(stored->alarm);
  // It may not be durable yet: the object was here before and has been forgotten since.
  object.core.observe(catalog_.last_lsn());
}

void Shard::tell_clock(const ShardObject& object) {
  if (const auto next_ms = object.core.next_alarm_ms()) {
    clock_.set(object.ns, object.id, *next_ms);
  } else {
    clock_.remove(object.id);
  }
}

std::optional<Shard::DueAlarm> Shard::first_due(std::uint64_t now_ms) {
  const AlarmClock::Alarm* first = clock_.first();
  if (first == nullptr || first->due_ms > now_ms) return std::nullopt;
  DueAlarm due{first->ns, first->id, {}};
  auto stored = catalog_.find_alarm(due.ns, due.id);
  if (!stored)
    throw Error(ErrorCode::kCorrupt,
                "The catalog has lost the alarm of the object " + due.id.hex() + ", which is due.");
  due.name = std::move(stored->name);
  return due;
}

bool Shard::alarm_due(Slot slot, std::uint64_t now_ms) {
  ShardObject& object = at(slot);
  const bool due = object.core.alarm_due(now_ms);
  tell_clock(object);
  return due;
}

std::optional<object::AlarmRun> Shard::alarm_begins(Slot slot, std::uint64_t now_ms) {
  ShardObject& object = at(slot);
  const auto run = object.core.alarm_begins(now_ms);
  if (!run) tell_clock(object);
  return run;
}

void Shard::alarm_returned(Slot slot) {
  ShardObject& object = at(slot);
  if (object.core.alarm_returned()) {
    begin_write(slot);
  } else {
    tell_clock(object);
  }
}

object::AlarmFailure Shard::alarm_failed(Slot slot, std::uint64_t now_ms,
                                         object::AlarmFault fault) {
  ShardObject& object = at(slot);
  if (!object.core.alarm_at_work()) return object::AlarmFailure::kSuperseded;
  const auto failure = object.core.alarm_failed(now_ms, alarm_retry_ms_, fault);
  tell_clock(object);
  if (failure == object::AlarmFailure::kSuperseded) return failure;
  const auto alarm = object.core.stored_alarm();
  Catalog::AlarmChange change(catalog_, object.ns, object.id, object.name, alarm);
  if (alarm || object.kind == StorageKind::kKeyValue) {
    object.core.observe(change.commit_alone());
    return failure;
  }
  store::Database& own = database(slot);
  own.begin();
  try {
    store::store_alarm_time(own, std::nullopt);
  } catch (...) {
    own.rollback();
    throw;
  }
  object.core.observe(own.commit(change));
  return failure;
}

void Shard::set_alarm(Slot slot, std::uint64_t time_ms, std::uint64_t now_ms) {
  at(slot).core.set_alarm(time_ms, now_ms);
}

void Shard::delete_alarm(Slot slot) { at(slot).core.delete_alarm(); }

std::vector<Slot> Shard::idle(std::uint64_t now_ms, std::uint64_t idle_ms) const {
  std::vector<Slot> found;
  for (Slot slot = 0; slot < objects_.size(); ++slot)
    if (objects_[slot] != nullptr && objects_[slot]->core.idle(now_ms, idle_ms))
      found.push_back(slot);
  return found;
}

std::vector<Slot> Shard::least_recently_used(std::size_t count) const {
  std::vector<Slot> found;
  for (Slot slot = 0; slot < objects_.size(); ++slot)
    if (objects_[slot] != nullptr && objects_[slot]->core.evictable()) found.push_back(slot);
  const auto by_use = [this](Slot a, Slot b) {
    return objects_[a]->core.idle_since_ms() < objects_[b]->core.idle_since_ms();
  };
  count = std::min(count, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end(),
                    by_use);
  found.resize(count);
  return found;
}

}  // namespace perdure::runtime
