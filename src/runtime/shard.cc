#include "runtime/shard.h"

#include "base/error.h"

namespace perdure::runtime {

Slot Shard::add(NamespaceNumber ns, const ObjectId& id, std::string_view name) {
  auto object = std::make_unique<ShardObject>(ns, id, name);
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
  close_database(slot);
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
  if (object.database == nullptr) {
    object.database = std::make_unique<store::Database>(
        store_, catalog_.object(object.ns, object.id, object.name));
    // What it reads may not be durable yet: the object was here before and has been forgotten
    // since.
    object.core.observe(object.database->last_lsn());
  }
  return *object.database;
}

store::KeyValue& Shard::key_value(Slot slot) {
  ShardObject& object = at(slot);
  if (object.kv == nullptr) object.kv = std::make_unique<store::KeyValue>(database(slot));
  return *object.kv;
}

void Shard::close_database(Slot slot) {
  ShardObject& object = at(slot);
  object.kv.reset();
  object.database.reset();
}

void Shard::close() {
  objects_.clear();
  free_.clear();
}

bool Shard::begin_write(Slot slot) {
  ShardObject& object = at(slot);
  // It would have nobody to commit it.
  if (object.core.state() == object::Object::State::kAbsent)
    throw Error(ErrorCode::kInvalid, "This Durable Object has no instance that could write.");
  store::Database& database = this->database(slot);
  if (!object.core.will_write()) return false;
  try {
    database.begin();
  } catch (...) {
    object.core.rolled_back();
    throw;
  }
  return true;
}

Lsn Shard::commit(Slot slot) {
  ShardObject& object = at(slot);
  if (object.core.transaction_open()) {
    try {
      object.core.committed(object.database->commit());
    } catch (...) {
      object.core.rolled_back();
      throw;
    }
  }
  return object.core.output_lsn();
}

std::vector<Slot> Shard::idle(std::uint64_t now_ms, std::uint64_t idle_ms) const {
  std::vector<Slot> found;
  for (Slot slot = 0; slot < objects_.size(); ++slot)
    if (objects_[slot] != nullptr && objects_[slot]->core.idle(now_ms, idle_ms))
      found.push_back(slot);
  return found;
}

}  // namespace perdure::runtime
