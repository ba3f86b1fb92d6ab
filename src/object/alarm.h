#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace perdure::object {

// What is kept on disk of an object's one alarm: with it, an alarm survives a crash at any point.
struct Alarm {
  std::uint64_t time_ms = 0;  // what setAlarm() was told, and getAlarm() tells
  std::uint64_t due_ms = 0;   // when the handler is to run; later than the time for a retry
  std::uint32_t retries = 0;  // how often the handler was started and did not succeed
  std::uint32_t delays = 0;   // the same, and attempts that never reached the handler

  friend bool operator==(const Alarm&, const Alarm&) = default;
};

// What the handler is told of the alarm that it runs for.
struct AlarmRun {
  std::uint64_t scheduled_ms;
  std::uint32_t retry_count;
};

// Whose failure it is that an attempt has failed.
enum class AlarmFault : std::uint8_t {
  kHandler,  // it has thrown, or its object was reset
  kStorage,  // what it has written could not be committed: that never drops an alarm
};

// What becomes of an alarm whose attempt has failed.
enum class AlarmFailure : std::uint8_t {
  kSuperseded,  // it was replaced or deleted meanwhile: nothing
  kRetry,       // it is due again later
  kDropped,     // it has been tried kRetriesMax times more: report it
};

// The alarm of one object: what the open transaction has made of it, and how far its handler is.
//
//   idle --take()--> waiting --begin()--> running --returned()--> returned --committed()--> idle
//     ^                 |                    |                       |
//     '------ cancelled, or failed() --------'-----------------------'
//
// While its handler runs the alarm stays on disk, and getAlarm() does not see it. So a crash at any
// point before the commit that ends it has it run again, and a crash after that commit is durable
// does not. One thread.
class AlarmState {
 public:
  // After its first run, a handler that fails is tried so often again.
  static constexpr std::uint32_t kRetriesMax = 6;
  // The first retry comes after this, if the host says nothing else, each further one after twice
  // the time...
  static constexpr std::uint64_t kRetryFirstMs = 2'000;
  // ... up to so many doublings (17 minutes); only attempts that never reach the handler get there.
  static constexpr std::uint32_t kDoublingsMax = 9;

  explicit AlarmState(std::optional<Alarm> alarm) : view_{alarm, false} {}

  // Null for code inside the handler, unless a new alarm was set.
  [[nodiscard]] std::optional<std::uint64_t> get() const noexcept;
  // In a transaction with so many savepoints open.
  void set(Alarm alarm, std::uint32_t savepoints);
  void remove(std::uint32_t savepoints);

  void savepoint_released(std::uint32_t savepoints);
  void savepoint_rolled_back(std::uint32_t savepoints);
  void committed();
  void rolled_back();

  // The open transaction has changed the alarm: to_store() belongs into its commit.
  [[nodiscard]] bool changed() const noexcept { return !undo_.empty(); }
  [[nodiscard]] const std::optional<Alarm>& to_store() const noexcept { return view_.alarm; }
  // Outside that transaction.
  [[nodiscard]] const std::optional<Alarm>& stored_alarm() const noexcept { return stored().alarm; }

  // When the clock is to call take(); none while an attempt is under way.
  [[nodiscard]] std::optional<std::uint64_t> next_ms() const noexcept;
  [[nodiscard]] bool at_work() const noexcept { return phase_ != Phase::kIdle; }
  [[nodiscard]] bool unused() const noexcept;

  bool take(std::uint64_t now_ms);
  std::optional<AlarmRun> begin(std::uint64_t now_ms);
  // True: the end of the alarm is a write.
  [[nodiscard]] bool ends_by_write() const noexcept { return view_.taken; }
  void returned(bool transaction_open);
  AlarmFailure failed(std::uint64_t now_ms, std::uint64_t retry_first_ms, AlarmFault fault);

 private:
  enum class Phase : std::uint8_t { kIdle, kWaiting, kRunning, kReturned };
  struct View {
    std::optional<Alarm> alarm;
    bool taken;  // the handler runs for this very alarm
  };
  // The view before the first change that was made with so many savepoints open.
  struct Undo {
    std::uint32_t savepoints;
    View view;
  };

  void change(View view, std::uint32_t savepoints);
  [[nodiscard]] const View& stored() const noexcept;

  View view_;
  Phase phase_ = Phase::kIdle;
  std::vector<Undo> undo_;  // of the open transaction; growing savepoints
};

}  // namespace perdure::object
