#include "object/alarm.h"

#include <algorithm>
#include <cassert>

namespace perdure::object {

std::optional<std::uint64_t> AlarmState::get() const noexcept {
  if (!view_.alarm.has_value() || view_.taken) return std::nullopt;
  return view_.alarm->time_ms;
}

void AlarmState::set(Alarm alarm, std::uint32_t savepoints) { change({alarm, false}, savepoints); }

void AlarmState::remove(std::uint32_t savepoints) { change({std::nullopt, false}, savepoints); }

void AlarmState::change(View view, std::uint32_t savepoints) {
  if (undo_.empty() || undo_.back().savepoints < savepoints) undo_.push_back({savepoints, view_});
  view_ = view;
}

// What was changed in the savepoint belongs to what is around it.
void AlarmState::savepoint_released(std::uint32_t savepoints) {
  if (undo_.empty() || undo_.back().savepoints <= savepoints) return;
  if (undo_.size() > 1 && undo_[undo_.size() - 2].savepoints == savepoints)
    undo_.pop_back();
  else
    undo_.back().savepoints = savepoints;
}

void AlarmState::savepoint_rolled_back(std::uint32_t savepoints) {
  while (!undo_.empty() && undo_.back().savepoints > savepoints) {
    view_ = undo_.back().view;
    undo_.pop_back();
  }
}

void AlarmState::committed() {
  undo_.clear();
  if (phase_ == Phase::kReturned) phase_ = Phase::kIdle;
}

void AlarmState::rolled_back() {
  view_ = stored();
  undo_.clear();
}

const AlarmState::View& AlarmState::stored() const noexcept {
  return undo_.empty() ? view_ : undo_.front().view;
}

std::optional<std::uint64_t> AlarmState::next_ms() const noexcept {
  const auto& alarm = stored().alarm;
  if (phase_ != Phase::kIdle || !alarm.has_value()) return std::nullopt;
  return alarm->due_ms;
}

bool AlarmState::unused() const noexcept {
  return phase_ == Phase::kIdle && undo_.empty() && !view_.alarm.has_value();
}

bool AlarmState::take(std::uint64_t now_ms) {
  const auto due_ms = next_ms();
  if (!due_ms.has_value() || *due_ms > now_ms) return false;
  phase_ = Phase::kWaiting;
  return true;
}

std::optional<AlarmRun> AlarmState::begin(std::uint64_t now_ms) {
  assert(phase_ == Phase::kWaiting && undo_.empty());
  if (!view_.alarm.has_value() || view_.alarm->due_ms > now_ms) {
    phase_ = Phase::kIdle;
    return std::nullopt;
  }
  phase_ = Phase::kRunning;
  view_.taken = true;
  return AlarmRun{view_.alarm->time_ms, view_.alarm->retries};
}

void AlarmState::returned(bool transaction_open) {
  assert(phase_ == Phase::kRunning);
  if (view_.taken) remove(0);
  phase_ = transaction_open ? Phase::kReturned : Phase::kIdle;
}

AlarmFailure AlarmState::failed(std::uint64_t now_ms, std::uint64_t retry_first_ms,
                                AlarmFault fault) {
  const bool started = phase_ != Phase::kWaiting;
  // One that did not even reach the gate may fail while a transaction of other code is open.
  assert(at_work() && (!started || undo_.empty()));
  phase_ = Phase::kIdle;
  View& view = undo_.empty() ? view_ : undo_.front().view;
  auto& alarm = view.alarm;
  const bool the_one = started ? view.taken : alarm.has_value() && alarm->due_ms <= now_ms;
  view.taken = false;
  if (!the_one) return AlarmFailure::kSuperseded;
  const bool last = alarm->retries == kRetriesMax;
  if (started && last && fault == AlarmFault::kHandler) {
    alarm.reset();
    return AlarmFailure::kDropped;
  }
  if (started && !last) ++alarm->retries;
  alarm->due_ms = now_ms + (retry_first_ms << std::min(alarm->delays, kDoublingsMax));
  ++alarm->delays;
  return AlarmFailure::kRetry;
}

}  // namespace perdure::object
