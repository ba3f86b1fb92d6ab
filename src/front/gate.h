#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <queue>
#include <utility>
#include <vector>

#include "base/durability.h"
#include "base/lsn.h"
#include "front/server.h"
#include "front/waker.h"

namespace perdure::front {

// Holds the requests whose response waits for the log, in order of the LSN they wait for, and wakes
// the front once the first of them may go on. All but the constructor and destructor belong to the
// front's thread.
class Gate {
 public:
  // `durability` may be null: then everything is durable.
  Gate(Durability* durability, Waker& waker);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Whether an output that depends on `lsn` may leave, as of the last look at the log.
  [[nodiscard]] bool is_open(Lsn lsn) const noexcept { return lsn <= durable_; }

  // `request` comes out of release() once `lsn` is durable. At most once at a time for each
  // request.
  void wait(Lsn lsn, RequestId request);

  // Looks at the log and appends the requests that need not wait any more.
  void release(std::vector<RequestId>& released);

  // True: from now on the waker is signalled when there is something to release. False: there is
  // something already.
  [[nodiscard]] bool prepare_sleep();

 private:
  static constexpr Lsn kNothing = std::numeric_limits<Lsn>::max();
  using Waiting = std::pair<Lsn, RequestId>;

  void on_advance(Lsn durable) noexcept;

  Durability* durability_;
  Waker& waker_;
  std::uint64_t subscription_ = 0;
  Lsn durable_ = 0;
  std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> waiting_;
  // The lowest LSN that somebody sleeps for. The front writes it and then reads the log; the
  // flusher moves the log and then reads it; both with a read-modify-write, so one of them sees the
  // other.
  std::atomic<Lsn> wanted_{kNothing};
};

}  // namespace perdure::front
