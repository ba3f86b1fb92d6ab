#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/lsn.h"

namespace perdure::object {

// The host's name for something that waits to be delivered to an object: a request, a call.
using EventId = std::uint32_t;

// The decisions about one object: whether it has an instance, when an event may be delivered (input
// gate), when its implicit transaction is open, what an output of it depends on (output gate), when
// it may be evicted. No threads, no clock, no disk: the host tells it what happened and does what
// it answers, in the object's own thread.
//
// Life cycle:   absent --arrive--> constructing --constructed--> ready --evict--> absent
//                  ^------------------ reset ---------------------'
class Object {
 public:
  enum class State : std::uint8_t { kAbsent, kConstructing, kReady };
  enum class Admission : std::uint8_t {
    kDeliver,    // run it now; finish() when it is done
    kWait,       // keep it; next() will name it
    kConstruct,  // as kWait, and construct the instance now: constructed() or reset() must follow
  };

  // A limit on events that wait for one object; the host refuses further ones.
  static constexpr std::size_t kWaitingEventsMax = 100'000;
  // blockConcurrencyWhile() fails after this long.
  static constexpr std::uint32_t kBlockTimeoutMs = 30'000;

  [[nodiscard]] State state() const noexcept { return state_; }

  // An event comes in. In order: while others wait, it waits behind them. Throws Error(kFull) when
  // kWaitingEventsMax wait already.
  Admission arrive(EventId event);

  // The constructor has returned (blocks that it opened may still be closed).
  void constructed();

  // The next waiting event that may run now, counted as in flight; ask again after starting it, as
  // it may have closed the gate.
  std::optional<EventId> next();

  // An event that was delivered has finished, with everything that belongs to it.
  void finish(std::uint64_t now_ms);

  // blockConcurrencyWhile() begins and ends; nested blocks count.
  void block() { ++blocks_; }
  void unblock();
  [[nodiscard]] bool gate_open() const noexcept { return blocks_ == 0; }

  // The instance is gone (constructor failed, abort, a failed commit or block): returns the events
  // that waited; they are to be refused. The next event constructs anew.
  std::vector<EventId> reset(std::uint64_t now_ms);

  // Work outside events that keeps the instance (waitUntil, timers, ordinary sockets).
  void hold() { ++holds_; }
  void release(std::uint64_t now_ms);

  // True when there has been nothing to do since `now_ms - idle_ms`, with an instance or without.
  [[nodiscard]] bool idle(std::uint64_t now_ms, std::uint64_t idle_ms) const noexcept;
  void evict();  // only when idle

  // The transaction: the implicit one (DESIGN: one for each synchronous run), or the one of
  // storage.transaction(). will_begin() opens it, and so does each write, which asks will_write();
  // true means that it was not open: begin it now, and see to its end.
  bool will_begin() noexcept;
  bool will_write() noexcept;
  [[nodiscard]] bool transaction_open() const noexcept { return transaction_open_; }
  // The transaction was committed at `lsn`, or nothing was left of it (rolled back, undone). So
  // many of its writes said `allowUnconfirmed`: when all did, outputs do not wait for it.
  void committed(Lsn lsn, std::uint32_t unconfirmed_writes = 0) noexcept;
  void rolled_back() noexcept;

  // The object has seen something that depends on `lsn` (a reply of another object).
  void observe(Lsn lsn) noexcept;
  // What an output made now depends on. Must not be asked while a transaction is open: rule 3, a
  // message leaves after the commit of the run that sent it.
  [[nodiscard]] Lsn output_lsn() const;

 private:
  [[nodiscard]] bool none_waiting() const noexcept { return waiting_head_ == waiting_.size(); }
  void settle(std::uint64_t now_ms) noexcept;

  State state_ = State::kAbsent;
  bool transaction_open_ = false;
  std::uint32_t blocks_ = 0;
  std::uint32_t in_flight_ = 0;
  std::uint32_t holds_ = 0;
  std::uint32_t writes_ = 0;  // of the open transaction
  std::uint64_t idle_since_ms_ = 0;
  Lsn output_lsn_ = 0;
  // A queue: the first `waiting_head_` are gone. Not a deque, which costs 600 bytes when empty.
  std::vector<EventId> waiting_;
  std::size_t waiting_head_ = 0;
};

}  // namespace perdure::object
