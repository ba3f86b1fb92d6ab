#include "object/input_gate.h"

#include <algorithm>
#include <cassert>

namespace perdure::object {

SectionId InputGate::section() const noexcept {
  return open_.empty() ? kRoot : open_.back().section;
}

// Sections are numbered as they begin, so those that are open and older than `origin` were open
// when it began: they are around it. The youngest of them is the innermost.
SectionId InputGate::live(SectionId origin) const noexcept {
  for (auto at = open_.rbegin(); at != open_.rend(); ++at)
    if (at->section <= origin) return at->section;
  return kRoot;
}

bool InputGate::admits(SectionId origin) const noexcept {
  if (live(origin) != section() || find_request().has_value() || find_inner().has_value())
    return false;
  return !open_.empty() || events_.empty();
}

bool InputGate::unused() const noexcept { return waiting() == 0 && sections() == 0; }

std::uint64_t InputGate::deadline_ms() const noexcept {
  return open_.empty() ? kNever : open_.front().deadline_ms;
}

void InputGate::wait(EventId event, SectionId origin) {
  if (origin == kRoot)
    events_.push(event);
  else
    inner_.push({event, origin, events_gone_ + events_.size()});
}

std::optional<EventId> InputGate::next() {
  if (find_request().has_value()) return std::nullopt;
  const auto inner = find_inner();
  if (!open_.empty()) return inner ? std::optional(inner_.take(*inner).event) : std::nullopt;
  if (inner && inner_[*inner].after <= events_gone_) return inner_.take(*inner).event;
  if (events_.empty()) return std::nullopt;
  ++events_gone_;
  return events_.take(0);
}

bool InputGate::may_begin(SectionId origin) const noexcept {
  return live(origin) == section() && !find_request().has_value();
}

void InputGate::request(EventId request, SectionId origin) { requests_.push({request, origin}); }

std::optional<EventId> InputGate::next_request() {
  const auto at = find_request();
  if (!at.has_value()) return std::nullopt;
  return requests_.take(*at).request;
}

void InputGate::begin(SectionId section, std::uint64_t deadline_ms) {
  assert(open_.empty() || open_.back().section < section);
  open_.push_back({section, deadline_ms});
}

void InputGate::end(SectionId section) {
  const auto removed = std::erase_if(open_, [&](const Open& o) { return o.section == section; });
  assert(removed == 1);
  (void)removed;
}

std::vector<EventId> InputGate::events() const {
  std::vector<EventId> all;
  all.reserve(waiting());
  std::size_t inner = 0;
  for (std::size_t i = 0; i <= events_.size(); ++i) {
    for (; inner < inner_.size() && inner_[inner].after <= events_gone_ + i; ++inner)
      all.push_back(inner_[inner].event);
    if (i < events_.size()) all.push_back(events_[i]);
  }
  return all;
}

// The first that waits for the innermost scope.
std::optional<std::size_t> InputGate::find_inner() const noexcept {
  for (std::size_t i = 0; i < inner_.size(); ++i)
    if (live(inner_[i].origin) == section()) return i;
  return std::nullopt;
}

std::optional<std::size_t> InputGate::find_request() const noexcept {
  for (std::size_t i = 0; i < requests_.size(); ++i)
    if (live(requests_[i].origin) == section()) return i;
  return std::nullopt;
}

}  // namespace perdure::object
