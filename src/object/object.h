#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/lsn.h"
#include "object/alarm.h"
#include "object/input_gate.h"

namespace perdure::object {

// The decisions about one object: whether it has an instance, which code of it may run (input
// gate), when a transaction begins and ends, what an output depends on (output gate), when its
// alarm rings, and whether it may be evicted. No threads, no clock, no disk: the host tells it what
// happened and does what it answers, in the object's own thread.
//
//   absent --arrive--> constructing --constructed--> ready --evict--> absent
//      ^------------------ reset ---------------------'
//
// Turns. The host runs each event, and each section's start, in a turn of its own: its code, and
// all that follows from it without waiting for something else. The code of a turn belongs to one
// scope: where the event originates, or the section that starts. When a section ends in it, the
// rest of the turn belongs to where that section was asked for. Timers, calls, fetches and sections
// that code asks for originate in its scope. A section that has ended may be named for ever: it
// stands for the scope around it.
//
// What holds when the host does as it is told:
//  1. An event is delivered once, or refused once by a reset; never both.
//  2. In one scope, events are delivered in the order in which they arrived.
//  3. While a section is open, nothing is delivered that originates outside it. Sections of one
//     scope run one after the other, and ahead of the events that wait there.
//  4. An output depends on every commit that its object has made or seen (writes that said
//     `allowUnconfirmed` excepted), and is refused when its object has been reset since.
//  5. An alarm rings after the commit that set it, once at a time, until the commit that ends it.
//
// Limits: kWaitingEventsMax, kSectionsMax, kSectionMsMax; AlarmState::kRetriesMax.
class Object {
 public:
  enum class State : std::uint8_t { kAbsent, kConstructing, kReady };
  enum class Admission : std::uint8_t {
    kDeliver,    // run it now; finish() when it is done
    kWait,       // keep it; next() will name it
    kConstruct,  // as kWait, and construct the instance now: constructed() or reset() must follow
  };

  // Events that wait for one object; the host refuses further ones. Were the event a result that
  // code of the object waits for, the host resets the object.
  static constexpr std::size_t kWaitingEventsMax = 100'000;
  // Sections of one object that are open or wait.
  static constexpr std::size_t kSectionsMax = 10'000;
  // A section that has not ended so long after it began fails.
  static constexpr std::uint64_t kSectionMsMax = 30'000;

  [[nodiscard]] State state() const noexcept { return state_; }

  // Events: requests, calls, alarms and messages from outside, of the root; timers and the results
  // of calls and fetches of the object's own code, of the scope that asked for them.
  //
  // In order: while others of its scope wait, an event waits behind them. Throws Error(kFull) when
  // kWaitingEventsMax wait already. Without an instance, only events from outside may come.
  Admission arrive(EventId event, SectionId origin = kRoot);

  // The constructor has returned. Sections that it asked for wait until then.
  void constructed();

  // The next waiting event that may run now, counted as in flight. One in a turn: ask again in the
  // next, as what it does may have closed the gate.
  std::optional<EventId> next();

  // An event that was delivered has finished, with everything that belongs to it.
  void finish(std::uint64_t now_ms);

  // Sections: blockConcurrencyWhile(), transaction().
  //
  // Code of `origin` asks for one. Returns its number when it has begun: its callback runs in a
  // turn to come; kRoot when it waits: next_section() will name it. Throws Error(kFull) when there
  // are kSectionsMax already.
  SectionId open_section(EventId request, SectionId origin, std::uint64_t now_ms);
  // The next section that waits and may begin, which it has then. To be asked before next().
  std::optional<InputGate::Start> next_section(std::uint64_t now_ms);
  // It has ended well. One that fails resets the object. Of sections that are transactions, those
  // inside end first.
  void close_section(SectionId section);
  // The innermost open section, kRoot if none is: what is delivered belongs to it.
  [[nodiscard]] SectionId section() const noexcept;
  // An open section has taken longer than kSectionMsMax: reset the object. kNever without sections.
  [[nodiscard]] std::uint64_t section_deadline_ms() const noexcept;

  // The instance is gone (constructor failed, abort, a failed commit or section, a section that
  // took too long), with what it has not committed: returns the events that waited; they are to be
  // refused, and so is what is in flight. Sections that waited are dropped with their code. The
  // next event constructs anew. When alarm_at_work(), alarm_failed() must follow.
  std::vector<EventId> reset(std::uint64_t now_ms);
  [[nodiscard]] std::uint32_t resets() const noexcept { return resets_; }

  // Work outside events that keeps the instance (waitUntil, timers, ordinary sockets).
  void hold() { ++holds_; }
  void release(std::uint64_t now_ms);

  // Nothing is under way: the instance may go, and be forgotten.
  [[nodiscard]] bool evictable() const noexcept;
  // True when there has been nothing to do since `now_ms - idle_ms`, with an instance or without.
  [[nodiscard]] bool idle(std::uint64_t now_ms, std::uint64_t idle_ms) const noexcept;
  // When there was nothing to do any more, the last time; 0 before any work.
  [[nodiscard]] std::uint64_t idle_since_ms() const noexcept { return idle_since_ms_; }
  void evict();  // only when evictable

  // Transactions: the implicit one (DESIGN: one for each synchronous run), or the explicit one of
  // storage.transaction(). will_begin() opens the implicit one, and so does each write, which asks
  // will_write(); true means that none was open: begin it now, and commit it when the run ends.
  bool will_begin() noexcept;
  bool will_write() noexcept;
  // The explicit one. No other is open: what was written before is no part of it.
  void begin_explicit() noexcept;
  [[nodiscard]] bool transaction_open() const noexcept { return transaction_open_; }
  [[nodiscard]] bool explicit_open() const noexcept { return explicit_; }
  // Transactions inside the open one: how deep each is, from 0. Those inside it end with it.
  std::uint32_t open_savepoint() noexcept;
  void release_savepoint(std::uint32_t depth);
  void rollback_savepoint(std::uint32_t depth);
  // The transaction was committed at `lsn`, or nothing was left of it (rolled back, undone). So
  // many of its writes said `allowUnconfirmed`: when all did, outputs do not wait for it.
  void committed(Lsn lsn, std::uint32_t unconfirmed_writes = 0) noexcept;
  void rolled_back() noexcept;

  // The object has seen something that depends on `lsn` (a reply of another object).
  void observe(Lsn lsn) noexcept;
  // What the object has seen and committed so far; of an open transaction it knows nothing yet.
  [[nodiscard]] Lsn seen_lsn() const noexcept { return output_lsn_; }
  // What an output made now depends on. Must not be asked while an implicit transaction is open:
  // rule 3, a message leaves after the commit of the run that sent it.
  [[nodiscard]] Lsn output_lsn() const;
  // The same for an output that was made when there had been so many resets(): none when the object
  // has been reset since. What it tells of may never have been committed; it must not leave.
  [[nodiscard]] std::optional<Lsn> departure(std::uint32_t resets) const;

  // The alarm. alarm_failed() changes stored_alarm(), which the host is to store at once; every
  // change inside a transaction is alarm_to_store(), to be stored with its commit; and after each
  // of both, and after alarm_begins() has said no, the clock is to be told next_alarm_ms().
  //
  // What the disk knows, when the object comes to memory.
  void load_alarm(std::optional<Alarm> alarm);
  // For code of the object. Setting and deleting are writes: a transaction is open. A time that has
  // passed is now.
  [[nodiscard]] std::optional<std::uint64_t> get_alarm() const noexcept;
  void set_alarm(std::uint64_t time_ms, std::uint64_t now_ms);
  // Storage is taken back to an older state, and this was the alarm's time then. A write, too.
  void restore_alarm(std::optional<std::uint64_t> time_ms);
  void delete_alarm();  // deleteAll() does this too, where the compatibility date says so
  // The commit of the open transaction has to store alarm_to_store().
  [[nodiscard]] bool alarm_changed() const noexcept;
  [[nodiscard]] std::optional<Alarm> alarm_to_store() const noexcept;
  // What is stored now, whatever the open transaction has made of it.
  [[nodiscard]] std::optional<Alarm> stored_alarm() const noexcept;

  // When the clock is to call alarm_due(); none when there is nothing to ring, or it rings.
  [[nodiscard]] std::optional<std::uint64_t> next_alarm_ms() const noexcept;
  // True: let an event arrive() for it. False: there is nothing due any more.
  bool alarm_due(std::uint64_t now_ms);
  // That event is delivered: run the handler, or none: the alarm was replaced or deleted while the
  // event waited. No transaction is open.
  std::optional<AlarmRun> alarm_begins(std::uint64_t now_ms);
  // The handler has returned. True: its end is part of a commit, which the host makes now, with a
  // write of its own (will_write()); it has succeeded when that has. The outcome of a handler is an
  // event of the root like any other: no explicit transaction is open.
  bool alarm_returned();
  // The handler has thrown, and what it had written is committed; or the object was reset while
  // alarm_at_work().
  AlarmFailure alarm_failed(std::uint64_t now_ms,
                            std::uint64_t retry_first_ms = AlarmState::kRetryFirstMs,
                            AlarmFault fault = AlarmFault::kHandler);
  // From alarm_due() to the end of the handler.
  [[nodiscard]] bool alarm_at_work() const noexcept;

 private:
  void settle(std::uint64_t now_ms) noexcept;
  InputGate& gate();
  void drop_unused_gate() noexcept;
  void drop_unused_alarm() noexcept;

  State state_ = State::kAbsent;
  bool transaction_open_ = false;
  bool explicit_ = false;
  std::uint32_t resets_ = 0;
  std::uint32_t in_flight_ = 0;
  std::uint32_t holds_ = 0;
  std::uint32_t writes_ = 0;  // of the open transaction
  std::uint32_t savepoints_ = 0;
  std::uint64_t idle_since_ms_ = 0;
  Lsn output_lsn_ = 0;
  SectionId last_section_ = kRoot;
  std::unique_ptr<InputGate> gate_;    // while something waits or a section is open
  std::unique_ptr<AlarmState> alarm_;  // while there is an alarm
};

static_assert(sizeof(Object) <= 72, "there is one for each object in memory, most of them idle");

}  // namespace perdure::object
