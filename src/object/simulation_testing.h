#pragma once

// For tests: a host of objects that runs random code on a random schedule, all of it from one seed,
// and a model that knows what the core must answer each time.
//
// The code of an object is made up as it runs: writes, transactions, sections, timers, calls to
// other objects, alarms, outputs, errors. Whatever could happen next - an event arrives, a turn
// begins, the disk syncs, time passes, a commit fails, the process dies - is one action, and the
// scheduler picks any. The model keeps scopes as a tree with parents, transactions as copies,
// alarms with their history: nothing of how the core does it. A disagreement throws Violation with
// the rule.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "object/object.h"

namespace perdure::object::simulation {

class Violation : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void check(bool holds, const char* rule) {
  if (!holds) throw Violation(rule);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  std::uint64_t below(std::uint64_t limit) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % limit;
  }
  bool percent(std::uint64_t chance) { return below(100) < chance; }

 private:
  std::uint64_t state_;
};

// What has happened, over all runs: a simulation in which nothing happens proves nothing.
struct Totals {
  std::uint64_t delivered = 0, waited = 0, refused = 0;
  std::uint64_t sections = 0, nested = 0, sections_waited = 0, timeouts = 0;
  std::uint64_t commits = 0, failed_commits = 0, transactions = 0, rollbacks = 0, savepoints = 0;
  std::uint64_t outputs = 0, held_outputs = 0, refused_outputs = 0;
  std::uint64_t alarms = 0, retries = 0, dropped_alarms = 0, cancelled_alarms = 0;
  std::uint64_t resets = 0, evictions = 0, crashes = 0;

  [[nodiscard]] std::map<std::string, std::uint64_t> all() const {
    return {{"events delivered", delivered},
            {"events that waited", waited},
            {"events refused", refused},
            {"sections", sections},
            {"sections in others", nested},
            {"sections that waited", sections_waited},
            {"sections too long", timeouts},
            {"commits", commits},
            {"failed commits", failed_commits},
            {"transactions", transactions},
            {"rollbacks", rollbacks},
            {"savepoints", savepoints},
            {"outputs", outputs},
            {"outputs held back", held_outputs},
            {"outputs refused", refused_outputs},
            {"alarms", alarms},
            {"retries of alarms", retries},
            {"alarms dropped", dropped_alarms},
            {"alarms cancelled at the gate", cancelled_alarms},
            {"resets", resets},
            {"evictions", evictions},
            {"crashes", crashes}};
  }
};

struct Scope {
  Scope* parent = nullptr;  // of the root: null
  bool ended = false;
  std::uint64_t began_ms = 0;
};

inline Scope* live(Scope* scope) {
  while (scope->ended) scope = scope->parent;
  return scope;
}

inline bool within(const Scope* scope, const Scope* outer) {
  while (scope != nullptr && scope != outer) scope = scope->parent;
  return scope == outer;
}

// Where code runs, as the model and as the core name it.
struct Place {
  Scope* scope = nullptr;
  SectionId id = kRoot;
};

struct Task;

struct Event {
  enum class Kind { kRequest, kCall, kAlarm, kTimer, kResult };
  enum class State { kTravelling, kWaiting, kInFlight, kFinished, kRefused, kGone };

  EventId id = 0;
  Kind kind = Kind::kRequest;
  State state = State::kTravelling;
  std::size_t object = 0;
  std::uint64_t life = 0;  // of a timer or result: the instance that it belongs to
  Place origin;
  Task* waiter = nullptr;  // whose code goes on when it is delivered
  std::uint64_t due_ms = 0;
  std::uint32_t depth = 0;  // of calls
  Lsn lsn = 0, model_lsn = 0;
  // Of a call: where its result goes.
  std::size_t caller = 0;
  std::uint64_t caller_life = 0;
  Place caller_place;
  Task* caller_task = nullptr;

  [[nodiscard]] bool is_here() const {
    return state == State::kWaiting || state == State::kInFlight;
  }
  [[nodiscard]] bool comes_back() const { return kind == Kind::kTimer || kind == Kind::kResult; }
};

// Code that runs: an event's handler, or the callback of a timer or a section.
struct Task {
  enum class Role { kHandler, kTimer, kConstructor, kSection, kTransaction };
  enum class Database { kNone, kExplicit, kSavepoint };

  Role role = Role::kHandler;
  std::size_t object = 0;
  std::uint64_t life = 0;
  std::uint64_t steps = 0;
  bool blocked = false;
  Event* event = nullptr;
  std::uint32_t depth = 0;
  // Of a section.
  EventId request = 0;
  Place origin, place;
  Task* parent = nullptr;  // waits for it
  Database database = Database::kNone;
  std::uint32_t savepoint = 0;
  bool draining = false;  // waits for the sections inside it
};

struct ModelAlarm {
  std::uint64_t set = 0;  // which call of setAlarm(); 0: there is none
  Alarm alarm;
  bool taken = false;
};

struct Departure {
  std::size_t object;
  std::uint32_t resets;
  std::uint64_t model_resets;
  Event* call;  // null: to the outside
};

struct Output {
  Lsn lsn, model_lsn;
};

template <class Core>
class World {
 public:
  World(std::uint64_t seed, Totals& totals) : random_(seed), totals_(totals) {
    stubborn_ = random_.percent(10);
    objects_.resize(1 + random_.below(3));
    for (auto& object : objects_) forget(object);
  }

  void run() {
    const std::uint64_t actions = 50 + random_.below(200);
    for (std::uint64_t i = 0; i < actions; ++i) act();
    calm_ = true;
    settle();
    check_rest();
  }

 private:
  enum class Open { kNone, kImplicit, kExplicit };

  struct Version {
    Lsn lsn;
    std::optional<Alarm> stored;
    ModelAlarm model;
  };

  struct Simulated {
    std::unique_ptr<Core> core;
    // The model.
    Object::State state = Object::State::kAbsent;
    std::uint64_t life = 0;    // counts instances
    std::uint64_t resets = 0;  // counts resets
    Scope root;
    std::vector<Scope*> running;
    std::vector<Event*> waiting;
    std::vector<Task*> requests;
    std::vector<Task*> draining;
    std::uint64_t in_flight = 0, holds = 0;
    Open open = Open::kNone;
    std::uint64_t writes = 0, unconfirmed = 0;
    std::vector<ModelAlarm> copies;  // when the transaction and its savepoints were opened
    Lsn depends = 0;
    Lsn last_lsn = 0;
    ModelAlarm alarm;
    enum class Ring { kNone, kWaiting, kRunning } ring = Ring::kNone;
    std::uint64_t ringing = 0;  // which call of setAlarm() the handler runs for
    std::uint64_t ending = 0;   // the same, while its end is not committed
    // The disk, and the clock's index.
    std::vector<Version> versions;
    std::optional<std::uint64_t> clock_ms;
  };

  // Actions.

  void act() {
    const std::uint64_t which = random_.below(100);
    const std::size_t object = random_.below(objects_.size());
    if (which < 14)
      request(object);
    else if (which < 34)
      arrive_any();
    else if (which < 46)
      leave_any();
    else if (which < 60)
      turn_any();
    else if (which < 80)
      drain(object);
    else if (which < 85)
      sync();
    else if (which < 90)
      ring(object);
    else if (which < 97)
      pass_time(random_.percent(4) ? 31'000 : random_.below(2'000));
    else if (which < 99)
      evict(object);
    else if (random_.percent(30))
      crash();
  }

  // Nothing fails and nothing new comes: everything has to come to its end.
  void settle() {
    for (int rounds = 0; rounds < 10'000; ++rounds) {
      bool busy = false;
      while (!travelling_due().empty() || !departures_.empty() || !turns_.empty()) {
        busy = true;
        arrive_any();
        leave_any();
        turn_any();
      }
      for (std::size_t i = 0; i < objects_.size(); ++i) busy = drain(i) || busy;
      for (std::size_t i = 0; i < objects_.size(); ++i) busy = ring(i) || busy;
      if (busy) continue;
      const auto next_ms = next_time_ms();
      if (!next_ms.has_value()) return;
      pass_time(*next_ms - std::min(*next_ms, now_ms_));
    }
    check(false, "everything comes to an end when nothing new comes");
  }

  std::optional<std::uint64_t> next_time_ms() {
    std::uint64_t next_ms = InputGate::kNever;
    for (const Event* event : travelling_) next_ms = std::min(next_ms, event->due_ms);
    for (const auto& object : objects_) {
      if (object.clock_ms.has_value()) next_ms = std::min(next_ms, *object.clock_ms);
      if (object.core != nullptr) next_ms = std::min(next_ms, object.core->section_deadline_ms());
    }
    if (next_ms == InputGate::kNever) return std::nullopt;
    return next_ms;
  }

  void check_rest() {
    sync_all();
    for (const auto& event : events_)
      check(event.state != Event::State::kTravelling && !event.is_here(),
            "an event is delivered or refused, never lost");
    for (auto& object : objects_) {
      check(object.alarm.set == 0 && !object.clock_ms.has_value(), "an alarm rings or is dropped");
      if (object.core == nullptr) continue;
      check(object.core->alarm_to_store() == std::nullopt, "an alarm that has ended is not kept");
      check(object.core->evictable(), "an object without work may be evicted");
    }
  }

  void request(std::size_t object) {
    Event& event = make_event(Event::Kind::kRequest, object);
    event.depth = 0;
    travelling_.push_back(&event);
  }

  std::vector<std::size_t> travelling_due() const {
    std::vector<std::size_t> due;
    for (std::size_t i = 0; i < travelling_.size(); ++i)
      if (travelling_[i]->due_ms <= now_ms_) due.push_back(i);
    return due;
  }

  void arrive_any() {
    const auto due = travelling_due();
    if (due.empty()) return;
    const std::size_t at = due[random_.below(due.size())];
    Event& event = *travelling_[at];
    travelling_.erase(travelling_.begin() + static_cast<std::ptrdiff_t>(at));
    Simulated& object = objects_[event.object];
    if (event.comes_back() && event.life != object.life)
      event.state = Event::State::kGone;
    else
      arrive(event);
  }

  void arrive(Event& event) {
    Simulated& object = loaded(event.object);
    if (!event.comes_back()) event.origin = {&object.root, kRoot};
    object.core->observe(event.lsn);
    object.depends = std::max(object.depends, event.model_lsn);
    const auto expected = object.state == Object::State::kAbsent ? Object::Admission::kConstruct
                          : object.state == Object::State::kReady && admits(object, event.origin)
                              ? Object::Admission::kDeliver
                              : Object::Admission::kWait;
    const auto admission = object.core->arrive(event.id, event.origin.id);
    check(admission == expected,
          "an event is delivered on arrival when nothing holds it, and waits "
          "otherwise");
    if (admission == Object::Admission::kDeliver) return deliver(event);
    ++totals_.waited;
    event.state = Event::State::kWaiting;
    object.waiting.push_back(&event);
    if (admission != Object::Admission::kConstruct) return;
    object.state = Object::State::kConstructing;
    ++object.life;
    Task& task = make_task(Task::Role::kConstructor, event.object);
    task.place = {&object.root, kRoot};
    turns_.push_back(&task);
  }

  // One event in a turn, or the beginning of a section.
  bool drain(std::size_t index) {
    Simulated& object = objects_[index];
    if (object.core == nullptr) return false;
    if (random_.percent(70)) {
      const Task* expected = next_request(object);
      const auto start = object.core->next_section(now_ms_);
      check(start.has_value() == (expected != nullptr), "a section begins when nothing holds it");
      if (start.has_value()) {
        check(start->request == expected->request, "sections of a scope begin in order");
        Task& task = *next_request(object);
        std::erase(object.requests, &task);
        begin_section(task, start->section);
        return true;
      }
    }
    const Event* expected = next_event(object);
    const auto event = object.core->next();
    check(event.has_value() == (expected != nullptr),
          "an event that waits is delivered when nothing "
          "holds it, after the sections");
    if (!event.has_value()) return next_request(object) != nullptr;
    check(*event == expected->id, "events of a scope are delivered in the order of arrival");
    Event& delivered = *next_event(object);
    std::erase(object.waiting, &delivered);
    deliver(delivered);
    return true;
  }

  void turn_any() {
    if (turns_.empty()) return;
    const std::size_t at = random_.below(turns_.size());
    Task& task = *turns_[at];
    turns_.erase(turns_.begin() + static_cast<std::ptrdiff_t>(at));
    if (!alive(task)) return;
    place_ = task.place;
    if (task.role == Task::Role::kTransaction) begin_transaction(task);
    run(task);
    end_turn(task.object);
  }

  void pass_time(std::uint64_t by_ms) {
    now_ms_ += by_ms;
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      Simulated& object = objects_[i];
      if (object.core == nullptr) continue;
      std::uint64_t deadline_ms = InputGate::kNever;
      for (const Scope* scope : object.running)
        deadline_ms = std::min(deadline_ms, scope->began_ms + Object::kSectionMsMax);
      check(object.core->section_deadline_ms() == deadline_ms, "a section has 30 seconds");
      if (deadline_ms > now_ms_) continue;
      ++totals_.timeouts;
      reset(i);
    }
  }

  void evict(std::size_t index) {
    Simulated& object = objects_[index];
    if (object.core == nullptr) return;
    const bool may = object.state != Object::State::kConstructing && object.in_flight == 0 &&
                     object.holds == 0 && object.waiting.empty() && object.requests.empty() &&
                     object.running.empty() && object.open == Open::kNone &&
                     object.ring == Simulated::Ring::kNone;
    check(object.core->evictable() == may, "an object may go when nothing is under way");
    if (!may) return;
    ++totals_.evictions;
    object.core->evict();
    object.state = Object::State::kAbsent;
    ++object.life;
    const bool departing = std::any_of(departures_.begin(), departures_.end(),
                                       [&](const Departure& d) { return d.object == index; });
    if (!departing && random_.percent(50)) object.core.reset();
  }

  // Life cycle.

  void forget(Simulated& object) {
    object.core.reset();
    object.state = Object::State::kAbsent;
    ++object.life;
    ++object.resets;
    drop_work(object);
  }

  void drop_work(Simulated& object) {
    for (Scope* scope : object.running) scope->ended = true;
    object.running.clear();
    object.waiting.clear();
    object.requests.clear();
    object.draining.clear();
    object.in_flight = 0;
    object.holds = 0;
    object.ending = 0;
  }

  // As a host does: with what the disk knows.
  Simulated& loaded(std::size_t index) {
    Simulated& object = objects_[index];
    if (object.core != nullptr) return object;
    object.core = std::make_unique<Core>();
    if (!object.versions.empty()) object.core->load_alarm(object.versions.back().stored);
    object.core->observe(object.last_lsn);
    object.depends = object.last_lsn;  // what it saw before, it has forgotten
    tell_clock(object);
    return object;
  }

  void reset(std::size_t index) {
    Simulated& object = objects_[index];
    ++totals_.resets;
    std::vector<EventId> expected;
    for (const Event* event : object.waiting) expected.push_back(event->id);
    check(object.core->reset(now_ms_) == expected,
          "a reset refuses each event that waits, in order");
    if (object.open != Open::kNone) roll_back_model(object);
    for (std::size_t i = 0, count = events_.size(); i < count; ++i) {  // refuse() adds to them
      Event& event = events_[i];
      if (event.object == index && event.is_here()) refuse(event);
    }
    drop_work(object);
    object.state = Object::State::kAbsent;
    ++object.life;
    ++object.resets;
    check(object.core->alarm_at_work() == (object.ring != Simulated::Ring::kNone),
          "an alarm that was at work is known to have failed");
    if (object.core->alarm_at_work()) alarm_fails(object);
    check_alarm(object);
  }

  void refuse(Event& event) {
    ++totals_.refused;
    event.state = Event::State::kRefused;
    if (event.kind == Event::Kind::kCall) send_result(event);
  }

  // The process dies, and a new one starts: what was not durable never was.
  void crash() {
    ++totals_.crashes;
    for (auto& event : events_)
      if (event.state == Event::State::kTravelling || event.is_here())
        event.state = Event::State::kGone;
    travelling_.clear();
    departures_.clear();
    turns_.clear();
    outputs_.clear();
    appended_lsn_ = durable_lsn_;
    std::erase_if(ended_, [&](const auto& each) { return each.second > durable_lsn_; });
    for (auto& object : objects_) {
      forget(object);
      while (!object.versions.empty() && object.versions.back().lsn > durable_lsn_)
        object.versions.pop_back();
      object.open = Open::kNone;
      object.writes = 0;
      object.unconfirmed = 0;
      object.copies.clear();
      object.last_lsn = std::min(object.last_lsn, durable_lsn_);
      object.ring = Simulated::Ring::kNone;
      object.ringing = 0;
      object.alarm = object.versions.empty() ? ModelAlarm{} : object.versions.back().model;
      object.alarm.taken = false;
      object.clock_ms.reset();
      if (object.versions.empty() || !object.versions.back().stored.has_value()) continue;
      object.clock_ms = object.versions.back().stored->due_ms;
    }
  }

  // The model of the gate.

  static bool held(const Simulated& object, const Scope* scope) {
    return std::any_of(object.running.begin(), object.running.end(),
                       [&](const Scope* open) { return !within(scope, open); });
  }

  static Task* next_request(const Simulated& object) {
    if (object.state != Object::State::kReady) return nullptr;
    for (Task* task : object.requests)
      if (!held(object, live(task->origin.scope))) return task;
    return nullptr;
  }

  static Event* next_event(const Simulated& object) {
    if (object.state != Object::State::kReady || next_request(object) != nullptr) return nullptr;
    for (Event* event : object.waiting)
      if (!held(object, live(event->origin.scope))) return event;
    return nullptr;
  }

  static bool admits(const Simulated& object, const Place& origin) {
    return !held(object, live(origin.scope)) && next_request(object) == nullptr &&
           next_event(object) == nullptr;
  }

  // Turns.

  bool alive(const Task& task) const {
    const Simulated& object = objects_[task.object];
    return object.core != nullptr && object.life == task.life;
  }

  void deliver(Event& event) {
    ++totals_.delivered;
    Simulated& object = objects_[event.object];
    check(event.state == Event::State::kTravelling || event.state == Event::State::kWaiting,
          "an event is delivered once");
    event.state = Event::State::kInFlight;
    ++object.in_flight;
    place_ = event.origin;
    const std::uint64_t life = object.life;
    if (event.kind == Event::Kind::kTimer) {
      object.core->release(now_ms_);
      --object.holds;
    }
    if (!event.comes_back() || event.waiter == nullptr) {
      start_handler(event);
    } else if (alive(*event.waiter)) {
      event.waiter->blocked = false;
      run(*event.waiter);
    }
    if (object.life == life) end_turn(event.object);
    if (event.comes_back() && object.life == life) finish(event);
  }

  void start_handler(Event& event) {
    if (event.kind == Event::Kind::kResult) return;
    const bool timer = event.kind == Event::Kind::kTimer;
    Task& task = make_task(timer ? Task::Role::kTimer : Task::Role::kHandler, event.object);
    task.event = &event;
    task.depth = event.depth;
    if (event.kind == Event::Kind::kAlarm && !alarm_begins(event)) return finish(event);
    run(task);
  }

  void end_turn(std::size_t index) {
    Simulated& object = objects_[index];
    if (object.core != nullptr) end_run(index);
  }

  void finish(Event& event) {
    Simulated& object = objects_[event.object];
    event.state = Event::State::kFinished;
    --object.in_flight;
    object.core->finish(now_ms_);
  }

  void run(Task& task) {
    while (alive(task) && !task.blocked && task.steps > 0) {
      --task.steps;
      step(task);
    }
    if (alive(task) && !task.blocked && task.steps == 0) complete(task);
  }

  void complete(Task& task) {
    switch (task.role) {
      case Task::Role::kTimer:
        return;
      case Task::Role::kConstructor:
        return constructed(task);
      case Task::Role::kHandler:
        return handled(task);
      case Task::Role::kSection:
      case Task::Role::kTransaction:
        return section_ends(task);
    }
  }

  void constructed(Task& task) {
    Simulated& object = objects_[task.object];
    if (fails(3)) return reset(task.object);
    object.core->constructed();
    object.state = Object::State::kReady;
    task.role = Task::Role::kTimer;  // nothing is left to do
  }

  void handled(Task& task) {
    Simulated& object = objects_[task.object];
    Event& event = *task.event;
    if (!end_run(task.object)) return;
    if (event.kind == Event::Kind::kAlarm && !alarm_ends(task)) return;
    if (event.kind == Event::Kind::kRequest) output(object);
    if (event.kind == Event::Kind::kCall) send_result(event);
    finish(event);
    task.role = Task::Role::kTimer;
  }

  // What code does.

  void step(Task& task) {
    const bool may_wait = task.role != Task::Role::kConstructor;
    switch (random_.below(18)) {
      case 0:
      case 1:
        return write(task.object, random_.percent(25));
      case 2:  // the run ends, the turn goes on
        end_run(task.object);
        return;
      case 3:
      case 4:
        return set_timer(task, may_wait && random_.percent(70));
      case 5:
      case 6:
        return call(task, may_wait && random_.percent(70));
      case 7:
      case 8:
        return ask_for_section(task, Task::Role::kSection, may_wait && random_.percent(60));
      case 9:
      case 10:
        return ask_for_section(task, Task::Role::kTransaction, may_wait && random_.percent(60));
      case 11:
        return transaction_sync(task.object);
      case 12:
      case 13:
        return change_alarm(task.object);
      case 14:
        check_alarm(objects_[task.object]);
        return tell_clock(objects_[task.object]);
      case 15:
        return depart(task.object, nullptr);
      case 16:
        if (fails(10)) reset(task.object);
        return;
      default:
        if (task.database != Task::Database::kNone && random_.percent(40)) roll_back(task);
    }
  }

  bool fails(std::uint64_t percent) { return !calm_ && random_.percent(percent); }

  void set_timer(Task& task, bool waits) {
    if (calm_ && !waits) return;
    Simulated& object = objects_[task.object];
    Event& event = make_event(Event::Kind::kTimer, task.object);
    event.life = object.life;
    event.origin = place_;
    event.due_ms = now_ms_ + random_.below(400);
    event.depth = task.depth + 1;
    if (waits) wait_for(task, event);
    object.core->hold();
    ++object.holds;
    travelling_.push_back(&event);
  }

  void wait_for(Task& task, Event& event) {
    event.waiter = &task;
    task.blocked = true;
  }

  void call(Task& task, bool waits) {
    if (task.depth >= 3) return;
    Event& event = make_event(Event::Kind::kCall, random_.below(objects_.size()));
    event.depth = task.depth + 1;
    event.caller = task.object;
    event.caller_life = task.life;
    event.caller_place = place_;
    event.caller_task = waits ? &task : nullptr;
    if (waits) task.blocked = true;
    depart(task.object, &event);
  }

  void send_result(Event& call) {
    Simulated& object = objects_[call.object];
    Event& result = make_event(Event::Kind::kResult, call.caller);
    result.life = call.caller_life;
    result.origin = call.caller_place;
    result.waiter = call.caller_task;
    result.lsn = object.core->output_lsn();
    result.model_lsn = object.depends;
    travelling_.push_back(&result);
  }

  // Outputs.

  void depart(std::size_t index, Event* call) {
    Simulated& object = objects_[index];
    departures_.push_back({index, object.core->resets(), object.resets, call});
  }

  void leave_any() {
    if (departures_.empty()) return;
    const Departure departure = departures_.front();
    departures_.pop_front();
    Simulated& object = objects_[departure.object];
    const auto lsn = object.core->departure(departure.resets);
    check(lsn.has_value() == (departure.model_resets == object.resets),
          "an output leaves unless its object was reset since");
    if (!lsn.has_value()) {
      ++totals_.refused_outputs;
      if (departure.call != nullptr) departure.call->state = Event::State::kGone;
    } else if (departure.call == nullptr) {
      output(object);
    } else {
      departure.call->lsn = *lsn;
      departure.call->model_lsn = object.depends;
      travelling_.push_back(departure.call);
    }
  }

  void output(Simulated& object) {
    ++totals_.outputs;
    const Output made{object.core->output_lsn(), object.depends};
    check(made.lsn <= made.model_lsn, "an output waits for nothing that it does not depend on");
    if (made.lsn > durable_lsn_) ++totals_.held_outputs;
    outputs_.push_back(made);
    release();
  }

  void sync() {
    durable_lsn_ += random_.below(appended_lsn_ - durable_lsn_ + 1);
    release();
  }

  void sync_all() {
    durable_lsn_ = appended_lsn_;
    release();
    check(outputs_.empty(), "an output leaves when all that it depends on is durable");
  }

  void release() {
    for (const Output& each : outputs_)
      check(each.lsn > durable_lsn_ || each.model_lsn <= durable_lsn_,
            "nothing leaves before what it depends on is durable");
    std::erase_if(outputs_, [&](const Output& each) { return each.lsn <= durable_lsn_; });
  }

  // Sections.

  void ask_for_section(Task& task, Task::Role role, bool waits) {
    Simulated& object = objects_[task.object];
    if (object.running.size() + object.requests.size() > 6) return;
    Task& section = make_task(role, task.object);
    section.request = ++last_event_;
    section.origin = place_;
    section.depth = task.depth + 1;
    if (section.depth > 5) section.steps = 1;
    if (waits) {
      section.parent = &task;
      task.blocked = true;
    }
    const bool may_begin = object.state == Object::State::kReady &&
                           !held(object, live(place_.scope)) && next_request(object) == nullptr;
    const SectionId id = object.core->open_section(section.request, place_.id, now_ms_);
    check((id != kRoot) == may_begin,
          "a section begins at once when nothing holds it, and waits "
          "otherwise");
    if (id != kRoot) return begin_section(section, id);
    ++totals_.sections_waited;
    object.requests.push_back(&section);
  }

  void begin_section(Task& task, SectionId id) {
    Simulated& object = objects_[task.object];
    ++totals_.sections;
    if (!object.running.empty()) ++totals_.nested;
    scopes_.push_back({live(task.origin.scope), false, now_ms_});
    task.place = {&scopes_.back(), id};
    object.running.push_back(&scopes_.back());
    check(object.core->section() == id, "the section that begins is the innermost");
    turns_.push_back(&task);
  }

  // A transaction ends after everything that was asked for inside it.
  static bool inside_ended(const Simulated& object, const Task& task) {
    const Scope* scope = task.place.scope;
    return std::none_of(object.running.begin(), object.running.end(),
                        [&](const Scope* s) { return s != scope && within(s, scope); }) &&
           std::none_of(object.requests.begin(), object.requests.end(),
                        [&](const Task* t) { return within(live(t->origin.scope), scope); });
  }

  void section_ends(Task& task) {
    Simulated& object = objects_[task.object];
    if (task.role == Task::Role::kTransaction && !inside_ended(object, task)) {
      if (!task.draining) object.draining.push_back(&task);
      task.draining = true;
      return;
    }
    if (task.role == Task::Role::kSection && fails(5)) return reset(task.object);
    if (task.role == Task::Role::kTransaction && !transaction_ends(task)) return;
    if (!end_run(task.object)) return;
    close_section(task);
  }

  void close_section(Task& task) {
    Simulated& object = objects_[task.object];
    object.core->close_section(task.place.id);
    std::erase(object.running, task.place.scope);
    task.place.scope->ended = true;
    // What was inside is inside what is around it now.
    for (Scope* scope : object.running)
      if (scope->parent == task.place.scope) scope->parent = live(task.place.scope);
    task.role = Task::Role::kTimer;
    place_ = task.origin;
    if (task.parent != nullptr && alive(*task.parent)) {
      task.parent->blocked = false;
      run(*task.parent);
    }
    if (object.life == task.life) end_draining(object);
  }

  void end_draining(Simulated& object) {
    for (Task* task : object.draining) {
      if (!inside_ended(object, *task)) continue;
      std::erase(object.draining, task);
      task->draining = false;
      place_ = task->place;
      return section_ends(*task);
    }
  }

  // Transactions.

  void write(std::size_t index, bool unconfirmed) {
    Simulated& object = objects_[index];
    check(object.core->will_write() == (object.open == Open::kNone),
          "a write opens a transaction when none is open");
    ++object.writes;
    if (unconfirmed) ++object.unconfirmed;
    if (object.open == Open::kNone) open_model(object, Open::kImplicit);
  }

  static void open_model(Simulated& object, Open open) {
    object.open = open;
    object.copies = {object.alarm};
  }

  void begin_transaction(Task& task) {
    Simulated& object = objects_[task.object];
    check(object.core->transaction_open() == (object.open != Open::kNone) &&
              object.open != Open::kImplicit,
          "what was written before a transaction is no part of it");
    ++totals_.transactions;
    if (object.open == Open::kNone) {
      object.core->begin_explicit();
      open_model(object, Open::kExplicit);
      task.database = Task::Database::kExplicit;
    } else {
      task.savepoint = open_savepoint(object);
      task.database = Task::Database::kSavepoint;
    }
  }

  std::uint32_t open_savepoint(Simulated& object) {
    ++totals_.savepoints;
    const auto depth = object.core->open_savepoint();
    check(depth + 1 == object.copies.size(), "savepoints are numbered from the outermost");
    object.copies.push_back(object.alarm);
    return depth;
  }

  void end_savepoint(Simulated& object, std::uint32_t depth, bool keeps) {
    if (keeps) {
      object.core->release_savepoint(depth);
    } else {
      object.core->rollback_savepoint(depth);
      object.alarm = object.copies[depth + 1];
    }
    object.copies.resize(depth + 1);
    check_alarm(object);
  }

  void roll_back_model(Simulated& object) {
    object.alarm = object.copies.front();
    object.copies.clear();
    object.open = Open::kNone;
    object.writes = 0;
    object.unconfirmed = 0;
  }

  void roll_back(Task& task) {
    Simulated& object = objects_[task.object];
    ++totals_.rollbacks;
    if (task.database == Task::Database::kSavepoint) {
      end_savepoint(object, task.savepoint, false);
    } else {
      object.core->rolled_back();
      roll_back_model(object);
      check_alarm(object);
    }
    task.database = Task::Database::kNone;
  }

  bool transaction_ends(Task& task) {
    Simulated& object = objects_[task.object];
    if (task.database == Task::Database::kNone) return true;
    if (random_.percent(30)) {
      roll_back(task);
      return true;
    }
    if (task.database == Task::Database::kExplicit) return commit(task.object);
    end_savepoint(object, task.savepoint, true);
    return true;
  }

  void transaction_sync(std::size_t index) {
    Simulated& object = objects_[index];
    check(object.core->will_begin() == (object.open == Open::kNone), "one transaction at a time");
    if (object.open == Open::kNone) open_model(object, Open::kImplicit);
    const auto depth = open_savepoint(object);
    for (std::uint64_t i = random_.below(4); i > 0; --i) {
      if (random_.percent(60)) change_alarm(index);
      if (random_.percent(30) && object.copies.size() < 5) transaction_sync(index);
    }
    end_savepoint(object, depth, random_.percent(50));
  }

  // The end of a synchronous run; false when the object has been reset.
  bool end_run(std::size_t index) {
    Simulated& object = objects_[index];
    return object.open != Open::kImplicit || commit(index);
  }

  bool commit(std::size_t index) {
    Simulated& object = objects_[index];
    check(object.core->transaction_open(), "a transaction is open until it ends");
    if (fails(2)) {
      ++totals_.failed_commits;
      object.core->rolled_back();
      reset(index);
      return false;
    }
    ++totals_.commits;
    const Lsn lsn = ++appended_lsn_;
    const bool changed = object.core->alarm_changed();
    check(changed || object.alarm.set == object.copies.front().set,
          "a commit has the alarm that was set in it");
    check_alarm(object);
    if (changed) store_alarm(object, lsn);
    object.core->committed(lsn, static_cast<std::uint32_t>(object.unconfirmed));
    if (object.writes > object.unconfirmed) object.depends = std::max(object.depends, lsn);
    object.last_lsn = lsn;
    if (object.ending != 0) alarm_ended(object, lsn);
    object.open = Open::kNone;
    object.writes = 0;
    object.unconfirmed = 0;
    object.copies.clear();
    if (changed) tell_clock(object);
    return true;
  }

  // Alarms.

  void store_alarm(Simulated& object, Lsn lsn) {
    object.versions.push_back({lsn, object.core->alarm_to_store(), object.alarm});
  }

  void change_alarm(std::size_t index) {
    if (calm_) return;
    Simulated& object = objects_[index];
    write(index, false);
    if (random_.percent(30)) {
      object.core->delete_alarm();
      object.alarm = {};
    } else {
      const std::uint64_t at_ms =
          now_ms_ + random_.below(3'000) - std::min<std::uint64_t>(now_ms_, 700);
      object.core->set_alarm(at_ms, now_ms_);
      const std::uint64_t time_ms = std::max(at_ms, now_ms_);
      object.alarm = {++last_set_, {.time_ms = time_ms, .due_ms = time_ms}, false};
    }
    check_alarm(object);
  }

  void check_alarm(const Simulated& object) const {
    std::optional<std::uint64_t> seen;
    if (object.alarm.set != 0 && !object.alarm.taken) seen = object.alarm.alarm.time_ms;
    check(object.core->get_alarm() == seen,
          "the alarm is the one that was set last, and null inside "
          "its handler");
    std::optional<Alarm> kept;
    if (object.alarm.set != 0) kept = object.alarm.alarm;
    check(object.core->alarm_to_store() == kept, "an alarm is kept until the commit that ends it");
  }

  void tell_clock(Simulated& object) {
    object.clock_ms = object.core->next_alarm_ms();
    const ModelAlarm& stored = object.copies.empty() ? object.alarm : object.copies.front();
    std::optional<std::uint64_t> expected;
    if (stored.set != 0 && object.ring == Simulated::Ring::kNone) expected = stored.alarm.due_ms;
    check(object.clock_ms == expected,
          "the clock knows the alarm that is committed, and none while "
          "the handler runs");
  }

  bool ring(std::size_t index) {
    if (!objects_[index].clock_ms.has_value() || *objects_[index].clock_ms > now_ms_) return false;
    Simulated& object = loaded(index);
    check(object.core->alarm_due(now_ms_), "an alarm that is due rings");
    object.ring = Simulated::Ring::kWaiting;
    object.clock_ms = object.core->next_alarm_ms();
    check(!object.clock_ms.has_value() && !object.core->alarm_due(now_ms_ + 1'000'000),
          "an alarm rings once");
    arrive(make_event(Event::Kind::kAlarm, index));
    return true;
  }

  bool alarm_begins(Event& event) {
    Simulated& object = objects_[event.object];
    check(object.ring == Simulated::Ring::kWaiting, "one alarm handler at a time");
    const bool due = object.alarm.set != 0 && object.alarm.alarm.due_ms <= now_ms_;
    const auto run = object.core->alarm_begins(now_ms_);
    check(run.has_value() == due, "the handler runs when the alarm is still due, and only then");
    object.ring = due ? Simulated::Ring::kRunning : Simulated::Ring::kNone;
    if (!due) {
      ++totals_.cancelled_alarms;
      tell_clock(object);
      return false;
    }
    ++totals_.alarms;
    check(!ended_.contains(object.alarm.set),
          "an alarm whose end is committed does not ring again");
    check(run->scheduled_ms == object.alarm.alarm.time_ms &&
              run->retry_count == object.alarm.alarm.retries,
          "the handler is told the time that was set, and how often it was tried");
    if (run->retry_count > 0) ++totals_.retries;
    object.alarm.taken = true;
    object.ringing = object.alarm.set;
    check_alarm(object);
    return true;
  }

  // False when the object has been reset meanwhile.
  bool alarm_ends(Task& task) {
    Simulated& object = objects_[task.object];
    if (stubborn_ || fails(40)) {
      alarm_fails(object);
      return true;
    }
    const bool was_taken = object.alarm.taken;
    const bool commits = object.core->alarm_returned();
    check(commits == was_taken, "the end of an alarm is committed");
    if (!commits) {
      object.ring = Simulated::Ring::kNone;
      tell_clock(object);
      return true;
    }
    check(object.core->alarm_at_work(), "an alarm has ended when its end is committed");
    write(task.object, false);
    object.ending = object.ringing;
    object.alarm = {};
    return commit(task.object);
  }

  void alarm_ended(Simulated& object, Lsn lsn) {
    ended_[object.ending] = lsn;
    object.ending = 0;
    object.ring = Simulated::Ring::kNone;
    check(!object.core->alarm_at_work(), "the commit after its handler ends an alarm");
  }

  void alarm_fails(Simulated& object) {
    ModelAlarm& alarm = object.alarm;
    const bool started = object.ring == Simulated::Ring::kRunning;
    const bool the_one = started ? alarm.taken : alarm.set != 0 && alarm.alarm.due_ms <= now_ms_;
    auto expected = AlarmFailure::kSuperseded;
    if (the_one && started && alarm.alarm.retries == 6) {
      expected = AlarmFailure::kDropped;
      ++totals_.dropped_alarms;
      alarm = {};
    } else if (the_one) {
      expected = AlarmFailure::kRetry;
      std::uint64_t delay_ms = 2'000;
      for (std::uint32_t i = 0; i < std::min(alarm.alarm.delays, 9u); ++i) delay_ms *= 2;
      alarm.alarm.due_ms = now_ms_ + delay_ms;
      ++alarm.alarm.delays;
      if (started) ++alarm.alarm.retries;
    }
    alarm.taken = false;
    object.ring = Simulated::Ring::kNone;
    check(object.core->alarm_failed(now_ms_) == expected,
          "an alarm that fails is tried again, six times at least, unless it was replaced");
    if (the_one) {
      store_alarm(object, ++appended_lsn_);
      object.last_lsn = appended_lsn_;
    }
    tell_clock(object);
  }

  // Makers.

  Event& make_event(Event::Kind kind, std::size_t object) {
    Event& event = events_.emplace_back();
    event.id = ++last_event_;
    event.kind = kind;
    event.object = object;
    return event;
  }

  Task& make_task(Task::Role role, std::size_t object) {
    Task& task = tasks_.emplace_back();
    task.role = role;
    task.object = object;
    task.life = objects_[object].life;
    task.steps = random_.below(calm_ ? 3 : 7);
    return task;
  }

  Random random_;
  Totals& totals_;
  bool calm_ = false;
  bool stubborn_ = false;  // alarm handlers always throw
  std::uint64_t now_ms_ = 1'000;
  Lsn appended_lsn_ = 0, durable_lsn_ = 0;
  std::deque<Simulated> objects_;  // a deque: a scope knows its root by address
  std::deque<Event> events_;
  std::deque<Task> tasks_;
  std::deque<Scope> scopes_;
  std::vector<Event*> travelling_;
  std::deque<Departure> departures_;
  std::vector<Output> outputs_;
  std::vector<Task*> turns_;
  EventId last_event_ = 0;
  std::uint64_t last_set_ = 0;
  std::map<std::uint64_t, Lsn> ended_;  // calls of setAlarm() whose alarm has ended, and when
  Place place_;                         // where the code of this turn runs
};

}  // namespace perdure::object::simulation
