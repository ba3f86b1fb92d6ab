#include "runtime/shard.h"

#include <algorithm>

#include "base/error.h"
#include "store/shared_key_value.h"

namespace perdure::runtime {

Slot Shard::add(NamespaceNumber ns, const ObjectId& id, std::string_view name) {
  auto object = std::make_unique<ShardObject>(ns, catalog_.find_namespace(ns).kind, id, name);
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
    try {
      const Lsn lsn =
          object.kind == StorageKind::kSqlite ? object.database->commit() : buffer(object).commit();
      object.core.committed(lsn, unconfirmed_writes);
    } catch (...) {
      object.core.rolled_back();
      throw;
    }
  }
  return object.core.output_lsn();
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
  if (object.kind == StorageKind::kKeyValue) return buffer(object).open_savepoint(depth);
  execute(database(slot), "SAVEPOINT", depth);
}

void Shard::release_savepoint(Slot slot, std::uint32_t depth) {
  ShardObject& object = at(slot);
  if (object.kind == StorageKind::kKeyValue) return buffer(object).release_savepoint(depth);
  execute(database(slot), "RELEASE", depth);
}

void Shard::rollback_savepoint(Slot slot, std::uint32_t depth) {
  ShardObject& object = at(slot);
  if (object.kind == StorageKind::kKeyValue) return buffer(object).rollback_savepoint(depth);
  execute(database(slot), "ROLLBACK TO", depth);
  execute(database(slot), "RELEASE", depth);
}

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
