#include "object/object.h"

#include <algorithm>
#include <cassert>

#include "base/error.h"

namespace perdure::object {

// Events and sections.

Object::Admission Object::arrive(EventId event, SectionId origin) {
  if (state_ == State::kReady && (gate_ == nullptr || gate_->admits(origin))) {
    ++in_flight_;
    return Admission::kDeliver;
  }
  assert(state_ != State::kAbsent || origin == kRoot);
  if (gate_ != nullptr && gate_->waiting() >= kWaitingEventsMax)
    throw Error(ErrorCode::kFull, "Durable Object is overloaded. Too many requests queued: " +
                                      std::to_string(kWaitingEventsMax) +
                                      " wait for this object already.");
  gate().wait(event, origin);
  if (state_ != State::kAbsent) return Admission::kWait;
  state_ = State::kConstructing;
  return Admission::kConstruct;
}

void Object::constructed() {
  assert(state_ == State::kConstructing);
  state_ = State::kReady;
}

std::optional<EventId> Object::next() {
  if (state_ != State::kReady || gate_ == nullptr) return std::nullopt;
  const auto event = gate_->next();
  if (event.has_value()) ++in_flight_;
  drop_unused_gate();
  return event;
}

void Object::finish(std::uint64_t now_ms) {
  assert(in_flight_ > 0);
  --in_flight_;
  settle(now_ms);
}

SectionId Object::open_section(EventId request, SectionId origin, std::uint64_t now_ms) {
  assert(state_ != State::kAbsent);
  if (gate().sections() >= kSectionsMax)
    throw Error(ErrorCode::kFull,
                "Durable Object is overloaded. Too many calls to blockConcurrencyWhile() and "
                "transaction(): " +
                    std::to_string(kSectionsMax) + " run or wait in this object already.");
  if (state_ != State::kReady || !gate().may_begin(origin)) {
    gate().request(request, origin);
    return kRoot;
  }
  gate().begin(++last_section_, now_ms + kSectionMsMax);
  return last_section_;
}

std::optional<InputGate::Start> Object::next_section(std::uint64_t now_ms) {
  if (state_ != State::kReady || gate_ == nullptr) return std::nullopt;
  const auto request = gate_->next_request();
  if (!request.has_value()) return std::nullopt;
  gate_->begin(++last_section_, now_ms + kSectionMsMax);
  return InputGate::Start{*request, last_section_};
}

void Object::close_section(SectionId section) {
  assert(gate_ != nullptr);
  gate_->end(section);
  drop_unused_gate();
}

SectionId Object::section() const noexcept { return gate_ == nullptr ? kRoot : gate_->section(); }

std::uint64_t Object::section_deadline_ms() const noexcept {
  return gate_ == nullptr ? InputGate::kNever : gate_->deadline_ms();
}

InputGate& Object::gate() {
  if (gate_ == nullptr) gate_ = std::make_unique<InputGate>();
  return *gate_;
}

void Object::drop_unused_gate() noexcept {
  if (gate_->unused()) gate_.reset();
}

// Life cycle.

std::vector<EventId> Object::reset(std::uint64_t now_ms) {
  std::vector<EventId> refused;
  if (gate_ != nullptr) refused = gate_->events();
  gate_.reset();
  state_ = State::kAbsent;
  rolled_back();
  ++resets_;
  in_flight_ = 0;
  holds_ = 0;
  idle_since_ms_ = now_ms;
  return refused;
}

void Object::release(std::uint64_t now_ms) {
  assert(holds_ > 0);
  --holds_;
  settle(now_ms);
}

bool Object::evictable() const noexcept {
  return state_ != State::kConstructing && in_flight_ == 0 && holds_ == 0 && gate_ == nullptr &&
         !transaction_open_ && !alarm_at_work();
}

bool Object::idle(std::uint64_t now_ms, std::uint64_t idle_ms) const noexcept {
  return evictable() && now_ms >= idle_since_ms_ + idle_ms;
}

void Object::evict() {
  assert(evictable());
  state_ = State::kAbsent;
}

void Object::settle(std::uint64_t now_ms) noexcept {
  if (in_flight_ == 0 && holds_ == 0) idle_since_ms_ = now_ms;
}

// Transactions and outputs.

bool Object::will_begin() noexcept {
  if (transaction_open_) return false;
  transaction_open_ = true;
  return true;
}

bool Object::will_write() noexcept {
  ++writes_;
  return will_begin();
}

void Object::begin_explicit() noexcept {
  assert(!transaction_open_);
  transaction_open_ = true;
  explicit_ = true;
}

std::uint32_t Object::open_savepoint() noexcept {
  assert(transaction_open_);
  return savepoints_++;
}

void Object::release_savepoint(std::uint32_t depth) {
  assert(depth < savepoints_);
  for (; savepoints_ > depth; --savepoints_)
    if (alarm_ != nullptr) alarm_->savepoint_released(savepoints_ - 1);
}

void Object::rollback_savepoint(std::uint32_t depth) {
  assert(depth < savepoints_);
  savepoints_ = depth;
  if (alarm_ != nullptr) alarm_->savepoint_rolled_back(depth);
  drop_unused_alarm();
}

void Object::committed(Lsn lsn, std::uint32_t unconfirmed_writes) noexcept {
  if (unconfirmed_writes < writes_) observe(lsn);
  if (alarm_ != nullptr) alarm_->committed();
  rolled_back();
}

void Object::rolled_back() noexcept {
  transaction_open_ = false;
  explicit_ = false;
  writes_ = 0;
  savepoints_ = 0;
  if (alarm_ != nullptr) alarm_->rolled_back();
  drop_unused_alarm();
}

void Object::observe(Lsn lsn) noexcept { output_lsn_ = std::max(output_lsn_, lsn); }

Lsn Object::output_lsn() const {
  assert(!transaction_open_ || explicit_);
  return output_lsn_;
}

std::optional<Lsn> Object::departure(std::uint32_t resets) const {
  if (resets != resets_) return std::nullopt;
  return output_lsn();
}

// The alarm.

void Object::load_alarm(std::optional<Alarm> alarm) {
  assert(!alarm_at_work() && !transaction_open_);
  alarm_ = std::make_unique<AlarmState>(alarm);
  drop_unused_alarm();
}

std::optional<std::uint64_t> Object::get_alarm() const noexcept {
  return alarm_ == nullptr ? std::nullopt : alarm_->get();
}

void Object::set_alarm(std::uint64_t time_ms, std::uint64_t now_ms) {
  assert(transaction_open_);
  if (alarm_ == nullptr) alarm_ = std::make_unique<AlarmState>(std::nullopt);
  const std::uint64_t at_ms = std::max(time_ms, now_ms);
  alarm_->set({.time_ms = at_ms, .due_ms = at_ms}, savepoints_);
}

void Object::restore_alarm(std::optional<std::uint64_t> time_ms) {
  if (!time_ms) return delete_alarm();
  assert(transaction_open_);
  if (alarm_ == nullptr) alarm_ = std::make_unique<AlarmState>(std::nullopt);
  alarm_->set({.time_ms = *time_ms, .due_ms = *time_ms}, savepoints_);
}

void Object::delete_alarm() {
  assert(transaction_open_);
  if (alarm_ != nullptr) alarm_->remove(savepoints_);
}

bool Object::alarm_changed() const noexcept { return alarm_ != nullptr && alarm_->changed(); }

std::optional<Alarm> Object::alarm_to_store() const noexcept {
  return alarm_ == nullptr ? std::nullopt : alarm_->to_store();
}

std::optional<Alarm> Object::stored_alarm() const noexcept {
  return alarm_ == nullptr ? std::nullopt : alarm_->stored_alarm();
}

std::optional<std::uint64_t> Object::next_alarm_ms() const noexcept {
  return alarm_ == nullptr ? std::nullopt : alarm_->next_ms();
}

bool Object::alarm_due(std::uint64_t now_ms) { return alarm_ != nullptr && alarm_->take(now_ms); }

std::optional<AlarmRun> Object::alarm_begins(std::uint64_t now_ms) {
  assert(alarm_at_work() && !transaction_open_);
  const auto run = alarm_->begin(now_ms);
  drop_unused_alarm();
  return run;
}

bool Object::alarm_returned() {
  assert(alarm_at_work() && !explicit_);
  const bool commits = transaction_open_ || alarm_->ends_by_write();
  alarm_->returned(commits);
  drop_unused_alarm();
  return commits;
}

AlarmFailure Object::alarm_failed(std::uint64_t now_ms, std::uint64_t retry_first_ms,
                                  AlarmFault fault) {
  assert(alarm_at_work());
  const AlarmFailure failure = alarm_->failed(now_ms, retry_first_ms, fault);
  drop_unused_alarm();
  return failure;
}

bool Object::alarm_at_work() const noexcept { return alarm_ != nullptr && alarm_->at_work(); }

void Object::drop_unused_alarm() noexcept {
  if (alarm_ != nullptr && alarm_->unused()) alarm_.reset();
}

}  // namespace perdure::object
