#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace perdure::object {

// The host's name for something that waits to be delivered to an object: a request, a result.
using EventId = std::uint32_t;

// A critical section of an object: what runs inside blockConcurrencyWhile() or transaction(). They
// are numbered in the order in which they begin, over all instances of the object; no number is
// used twice. kRoot is the code outside all sections.
using SectionId = std::uint64_t;
inline constexpr SectionId kRoot = 0;

// Who waits for an object's gate, and which sections hold it.
//
// Each event and each section originates in a scope: the root, or the section whose code asked for
// it. While a section is open, only what originates in it goes on; everything else waits. So the
// open sections are a path from the outermost to the innermost, and only the innermost admits
// anything. A section that has ended leaves what originates in it to the scope around it.
//
// In one scope, sections that wait begin before events that wait are delivered, and both go in the
// order in which they came. One thread.
class InputGate {
 public:
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  struct Start {
    EventId request;  // what the host called it when it asked
    SectionId section;
  };

  // The innermost open section: what is delivered now belongs to it.
  [[nodiscard]] SectionId section() const noexcept;
  // True when an event of this origin may be delivered without waiting behind another.
  [[nodiscard]] bool admits(SectionId origin) const noexcept;
  // Nothing waits and no section is open.
  [[nodiscard]] bool unused() const noexcept;
  // Events and sections that wait, and sections that are open.
  [[nodiscard]] std::size_t waiting() const noexcept { return events_.size() + inner_.size(); }
  [[nodiscard]] std::size_t sections() const noexcept { return open_.size() + requests_.size(); }
  // When the outermost open section must have ended, or kNever.
  [[nodiscard]] std::uint64_t deadline_ms() const noexcept;

  void wait(EventId event, SectionId origin);
  // The event that is to be delivered now. None while a section has to begin first.
  std::optional<EventId> next();

  // A section may begin without waiting: no other one is open in its scope or waits there.
  [[nodiscard]] bool may_begin(SectionId origin) const noexcept;
  void request(EventId request, SectionId origin);
  // The section that is to begin now; begin() must follow.
  std::optional<EventId> next_request();
  void begin(SectionId section, std::uint64_t deadline_ms);
  void end(SectionId section);

  // All events that wait, in order of arrival.
  [[nodiscard]] std::vector<EventId> events() const;

 private:
  // First in, first out, and small when empty, which a deque is not. Taking out what is not the
  // first costs a move of those behind it.
  template <class T>
  class Queue {
   public:
    [[nodiscard]] std::size_t size() const noexcept { return items_.size() - head_; }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] const T& operator[](std::size_t at) const noexcept { return items_[head_ + at]; }
    void push(T item) { items_.push_back(item); }
    T take(std::size_t at) {
      const T item = items_[head_ + at];
      if (at > 0)
        items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(head_ + at));
      else if (++head_ * 2 > items_.size()) {
        items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
      }
      return item;
    }

   private:
    std::vector<T> items_;
    std::size_t head_ = 0;  // so many are gone
  };

  struct Open {
    SectionId section;
    std::uint64_t deadline_ms;
  };
  struct InnerEvent {
    EventId event;
    SectionId origin;
    std::uint64_t after;  // so many events of the root had come before it
  };
  struct Request {
    EventId request;
    SectionId origin;
  };

  [[nodiscard]] SectionId live(SectionId origin) const noexcept;
  [[nodiscard]] std::optional<std::size_t> find_inner() const noexcept;
  [[nodiscard]] std::optional<std::size_t> find_request() const noexcept;

  std::vector<Open> open_;  // from the outermost to the innermost: in the order of their numbers
  Queue<EventId> events_;   // of the root, apart from the others: most events are
  std::uint64_t events_gone_ = 0;
  Queue<InnerEvent> inner_;
  Queue<Request> requests_;
};

}  // namespace perdure::object
