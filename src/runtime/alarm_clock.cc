#include "runtime/alarm_clock.h"

#include <cstring>
#include <utility>

namespace perdure::runtime {

std::size_t AlarmClock::Hash::operator()(const ObjectId& id) const noexcept {
  // An id is the output of an HMAC: any eight bytes of it are a good hash.
  std::size_t hash = 0;
  std::memcpy(&hash, id.bytes().data(), sizeof hash);
  return hash;
}

AlarmClock::AlarmClock() : places_(0, Hash{&entries_}, Equal{&entries_}) {}

void AlarmClock::set(NamespaceNumber ns, const ObjectId& id, std::uint64_t due_ms) {
  if (const auto found = places_.find(id); found != places_.end()) {
    Entry& entry = entries_[*found];
    entry.alarm.due_ms = due_ms;
    move_up(entry.in_heap);
    move_down(entry.in_heap);
    return;
  }
  Place place = static_cast<Place>(entries_.size());
  const Entry entry{{id, due_ms, ns}, static_cast<Place>(heap_.size())};
  if (free_.empty()) {
    entries_.push_back(entry);
  } else {
    place = free_.back();
    free_.pop_back();
    entries_[place] = entry;
  }
  places_.insert(place);
  heap_.push_back(place);
  move_up(entry.in_heap);
}

void AlarmClock::remove(const ObjectId& id) {
  const auto found = places_.find(id);
  if (found == places_.end()) return;
  const Place place = *found;
  const Place hole = entries_[place].in_heap;
  places_.erase(found);
  free_.push_back(place);
  const Place last = heap_.back();
  heap_.pop_back();
  if (last == place) return;
  put(hole, last);
  move_up(hole);
  move_down(entries_[last].in_heap);
}

bool AlarmClock::contains(const ObjectId& id) const {
  return !heap_.empty() && places_.contains(id);
}

const AlarmClock::Alarm* AlarmClock::first() const {
  return heap_.empty() ? nullptr : &entries_[heap_.front()].alarm;
}

void AlarmClock::put(Place in_heap, Place entry) {
  heap_[in_heap] = entry;
  entries_[entry].in_heap = in_heap;
}

void AlarmClock::move_up(Place in_heap) {
  const Place moving = heap_[in_heap];
  const std::uint64_t due = due_ms(in_heap);
  while (in_heap > 0) {
    const Place parent = (in_heap - 1) / 2;
    if (due_ms(parent) <= due) break;
    put(in_heap, heap_[parent]);
    in_heap = parent;
  }
  put(in_heap, moving);
}

void AlarmClock::move_down(Place in_heap) {
  const Place moving = heap_[in_heap];
  const std::uint64_t due = due_ms(in_heap);
  for (;;) {
    Place child = 2 * in_heap + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && due_ms(child + 1) < due_ms(child)) ++child;
    if (due <= due_ms(child)) break;
    put(in_heap, heap_[child]);
    in_heap = child;
  }
  put(in_heap, moving);
}

}  // namespace perdure::runtime
