#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "runtime/object_id.h"

namespace perdure::runtime {

using NamespaceNumber = std::uint32_t;

// When the alarms of one shard's objects are due, most of which sleep: their state is on the disk,
// and here is what it takes to wake them. At most kBytesPerAlarm of memory for each; setting,
// removing and finding one is of logarithmic or constant cost. One thread.
class AlarmClock {
 public:
  // Of memory, once there are many. What was taken for alarms that are gone is kept for later ones.
  static constexpr std::size_t kBytesPerAlarm = 100;

  struct Alarm {
    ObjectId id;
    std::uint64_t due_ms;
    NamespaceNumber ns;
  };

  AlarmClock();
  AlarmClock(const AlarmClock&) = delete;
  AlarmClock& operator=(const AlarmClock&) = delete;

  // The one alarm of the object, in place of the one it had.
  void set(NamespaceNumber ns, const ObjectId& id, std::uint64_t due_ms);
  // No effect when there is none.
  void remove(const ObjectId& id);

  [[nodiscard]] bool contains(const ObjectId& id) const;
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  // The alarm that is due first; null when there is none. Until the next change.
  [[nodiscard]] const Alarm* first() const;

 private:
  using Place = std::uint32_t;

  struct Entry {
    Alarm alarm;
    Place in_heap;
  };
  static_assert(sizeof(Entry) <= 56);

  // Entries are found by the ids that they hold.
  struct Hash {
    using is_transparent = void;
    const std::deque<Entry>* entries;
    std::size_t operator()(Place place) const { return (*this)((*entries)[place].alarm.id); }
    std::size_t operator()(const ObjectId& id) const noexcept;
  };
  struct Equal {
    using is_transparent = void;
    const std::deque<Entry>* entries;
    bool operator()(Place a, Place b) const noexcept { return a == b; }
    bool operator()(const ObjectId& id, Place place) const {
      return (*entries)[place].alarm.id == id;
    }
    bool operator()(Place place, const ObjectId& id) const { return (*this)(id, place); }
  };

  [[nodiscard]] std::uint64_t due_ms(Place in_heap) const {
    return entries_[heap_[in_heap]].alarm.due_ms;
  }
  void put(Place in_heap, Place entry);
  void move_up(Place in_heap);
  void move_down(Place in_heap);

  std::deque<Entry> entries_;  // in pieces, which never move
  std::vector<Place> free_;    // entries without an alarm
  std::vector<Place> heap_;    // entries; none is due before its parent, (i - 1) / 2
  boost::unordered_flat_set<Place, Hash, Equal> places_;
};

}  // namespace perdure::runtime
