// Tens of thousands of random interleavings against the model of simulation_testing.h: with the
// core, which has to agree at every step, and with cores that are broken on purpose, which have to
// be caught.
#include <cstdlib>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "object/simulation_testing.h"

namespace perdure::object {
namespace {

using simulation::Totals;
using simulation::Violation;
using simulation::World;

constexpr std::uint64_t kRuns = 40'000;
constexpr std::uint64_t kRunsToCatchMax = 10'000;

// The rule that the first run to break one breaks, and its seed; empty when none does.
template <class Core>
std::string violation(std::uint64_t seed, std::uint64_t runs, Totals& totals) {
  for (const std::uint64_t end = seed + runs; seed < end; ++seed) {
    try {
      World<Core>(seed, totals).run();
    } catch (const Violation& violation) {
      return std::string(violation.what()) + " (PERDURE_SEED=" + std::to_string(seed) + ")";
    }
  }
  return {};
}

TEST(Simulation, TheRulesHoldInEveryInterleaving) {
  const char* given = std::getenv("PERDURE_SEED");
  Totals totals;
  if (given != nullptr) {
    EXPECT_EQ(violation<Object>(std::strtoull(given, nullptr, 10), 1, totals), "");
    return;
  }
  EXPECT_EQ(violation<Object>(1, kRuns, totals), "") << "Run it with that variable to repeat it.";
  for (const auto& [name, count] : totals.all()) EXPECT_GT(count, kRuns / 40) << name;
}

template <class Core>
void expect_caught(const std::string& rule) {
  Totals totals;
  const std::string caught = violation<Core>(1, kRunsToCatchMax, totals);
  EXPECT_EQ(caught.substr(0, rule.size()), rule) << "caught: " << caught;
}

// Each is the core with one fault.

TEST(SimulationCatches, AGateThatIsOpenDuringASection) {
  struct Broken : Object {
    Admission arrive(EventId event, SectionId origin) {
      return Object::arrive(event, origin == kRoot ? section() : origin);
    }
  };
  expect_caught<Broken>("an event is delivered on arrival when nothing holds it");
}

TEST(SimulationCatches, AGateThatIsOpenToTheSectionAround) {
  struct Broken : Object {
    Admission arrive(EventId event, SectionId origin) {
      return Object::arrive(event, origin == kRoot ? kRoot : section());
    }
  };
  expect_caught<Broken>("an event is delivered on arrival when nothing holds it");
}

TEST(SimulationCatches, AGateThatStaysClosed) {
  struct Broken : Object {
    void close_section(SectionId closed) {
      if (closed % 5 != 0) Object::close_section(closed);
    }
  };
  expect_caught<Broken>("an event that waits is delivered when nothing holds it");
}

TEST(SimulationCatches, SectionsOfOneScopeAtOneTime) {
  struct Broken : Object {
    SectionId open_section(EventId request, SectionId, std::uint64_t now_ms) {
      return Object::open_section(request, section(), now_ms);
    }
  };
  expect_caught<Broken>("a section begins at once when nothing holds it, and waits otherwise");
}

TEST(SimulationCatches, EventsAheadOfSections) {
  struct Broken : Object {
    std::optional<InputGate::Start> next_section(std::uint64_t now_ms) {
      if (waiting_ > 0) return std::nullopt;
      return Object::next_section(now_ms);
    }
    Admission arrive(EventId event, SectionId origin) {
      const auto admission = Object::arrive(event, origin);
      if (admission != Admission::kDeliver) ++waiting_;
      return admission;
    }
    std::optional<EventId> next() {
      const auto event = Object::next();
      if (event.has_value()) --waiting_;
      return event;
    }
    int waiting_ = 0;
  };
  expect_caught<Broken>("a section begins when nothing holds it");
}

TEST(SimulationCatches, EventsOutOfOrder) {
  struct Broken : Object {
    std::optional<EventId> next() {
      if (kept_.has_value()) return std::exchange(kept_, std::nullopt);
      kept_ = Object::next();
      const auto second = Object::next();
      return second.has_value() ? second : std::exchange(kept_, std::nullopt);
    }
    std::optional<EventId> kept_;
  };
  expect_caught<Broken>("events of a scope are delivered in the order of arrival");
}

TEST(SimulationCatches, AnEventThatIsLost) {
  struct Broken : Object {
    std::optional<EventId> next() {
      const auto event = Object::next();
      return event.has_value() && *event % 7 == 0 ? std::nullopt : event;
    }
  };
  expect_caught<Broken>("an event that waits is delivered when nothing holds it");
}

TEST(SimulationCatches, AnEventThatIsDeliveredTwice) {
  struct Broken : Object {
    std::optional<EventId> next() {
      if (again_.has_value()) return std::exchange(again_, std::nullopt);
      return again_ = Object::next();
    }
    std::optional<EventId> again_;
  };
  expect_caught<Broken>("an event that waits is delivered");
}

TEST(SimulationCatches, AnEventWhoseSectionIsForgotten) {
  struct Broken : Object {
    Admission arrive(EventId event, SectionId) { return Object::arrive(event, kRoot); }
  };
  expect_caught<Broken>("an event is delivered on arrival when nothing holds it");
}

TEST(SimulationCatches, AnEventOfAnEndedSectionInALaterOne) {
  struct Broken : Object {
    Admission arrive(EventId event, SectionId origin) {
      return Object::arrive(event, origin == kRoot ? kRoot : std::max(origin, section()));
    }
  };
  expect_caught<Broken>("an event is delivered on arrival when nothing holds it");
}

TEST(SimulationCatches, AResetThatForgetsWhoWaits) {
  struct Broken : Object {
    std::vector<EventId> reset(std::uint64_t now_ms) {
      auto refused = Object::reset(now_ms);
      if (refused.size() > 2) refused.pop_back();
      return refused;
    }
  };
  expect_caught<Broken>("a reset refuses each event that waits");
}

TEST(SimulationCatches, ASectionWithoutEnd) {
  struct Broken : Object {
    [[nodiscard]] std::uint64_t section_deadline_ms() const noexcept { return InputGate::kNever; }
  };
  expect_caught<Broken>("a section has 30 seconds");
}

TEST(SimulationCatches, TwoInstancesAtOneTime) {
  struct Broken : Object {
    Admission arrive(EventId event, SectionId origin) {
      const auto admission = Object::arrive(event, origin);
      return state() == State::kConstructing ? Admission::kConstruct : admission;
    }
  };
  expect_caught<Broken>("an event is delivered on arrival when nothing holds it");
}

TEST(SimulationCatches, AnObjectThatGoesAlthoughItHasTimers) {
  struct Broken : Object {
    void hold() {}
    void release(std::uint64_t) {}
  };
  expect_caught<Broken>("an object may go when nothing is under way");
}

TEST(SimulationCatches, AReplyBeforeItsCommitIsDurable) {
  struct Broken : Object {
    void committed(Lsn lsn, std::uint32_t) { Object::committed(lsn, ~0u); }
  };
  expect_caught<Broken>("nothing leaves before what it depends on is durable");
}

TEST(SimulationCatches, AnOutputThatForgetsWhatItsObjectWasTold) {
  struct Broken : Object {
    void observe(Lsn) {}
  };
  expect_caught<Broken>("nothing leaves before what it depends on is durable");
}

TEST(SimulationCatches, AnOutputThatWaitsForUnconfirmedWrites) {
  struct Broken : Object {
    void committed(Lsn lsn, std::uint32_t) { Object::committed(lsn, 0); }
  };
  expect_caught<Broken>("an output waits for nothing that it does not depend on");
}

TEST(SimulationCatches, AnOutputOfACommitThatFailed) {
  struct Broken : Object {
    [[nodiscard]] std::optional<Lsn> departure(std::uint32_t) const {
      return Object::departure(resets());
    }
  };
  expect_caught<Broken>("an output leaves unless its object was reset since");
}

TEST(SimulationCatches, ATransactionInsideAnother) {
  struct Broken : Object {
    bool will_write() { return Object::will_write() || explicit_open(); }
  };
  expect_caught<Broken>("a write opens a transaction when none is open");
}

TEST(SimulationCatches, AnAlarmThatIsLostWithItsInstance) {
  struct Broken : Object {
    AlarmFailure alarm_failed(std::uint64_t now_ms) {
      const auto failure = Object::alarm_failed(now_ms);
      if (state() == State::kAbsent) load_alarm(std::nullopt);
      return failure;
    }
  };
  expect_caught<Broken>("the clock knows the alarm that is committed");
}

TEST(SimulationCatches, AnAlarmThatIsLostInACrash) {
  struct Broken : Object {
    [[nodiscard]] std::optional<Alarm> alarm_to_store() const {
      return alarm_at_work() ? std::nullopt : Object::alarm_to_store();
    }
  };
  expect_caught<Broken>("an alarm is kept until the commit that ends it");
}

TEST(SimulationCatches, AnAlarmThatRingsTwice) {
  struct Broken : Object {
    bool alarm_due(std::uint64_t now_ms) { return Object::alarm_due(now_ms) || alarm_at_work(); }
  };
  expect_caught<Broken>("an alarm rings once");
}

TEST(SimulationCatches, AnAlarmThatEndsBeforeItsCommit) {
  struct Broken : Object {
    bool alarm_returned() {
      const bool commits = Object::alarm_returned();
      if (commits && !transaction_open()) Object::committed(0);
      return commits;
    }
  };
  expect_caught<Broken>("an alarm has ended when its end is committed");
}

TEST(SimulationCatches, AnAlarmThatIsNotRetried) {
  struct Broken : Object {
    AlarmFailure alarm_failed(std::uint64_t now_ms) {
      Object::alarm_failed(now_ms);
      load_alarm(std::nullopt);
      return AlarmFailure::kDropped;
    }
  };
  expect_caught<Broken>("an alarm that fails is tried again");
}

TEST(SimulationCatches, AnAlarmThatIsRetriedForEver) {
  struct Broken : Object {
    AlarmFailure alarm_failed(std::uint64_t now_ms) {
      const auto alarm = alarm_to_store();
      const auto failure = Object::alarm_failed(now_ms);
      if (failure != AlarmFailure::kDropped) return failure;
      load_alarm(alarm);
      return AlarmFailure::kRetry;
    }
  };
  expect_caught<Broken>("an alarm that fails is tried again");
}

TEST(SimulationCatches, AnAlarmThatStaysWhenItsTransactionIsRolledBack) {
  struct Broken : Object {
    void rollback_savepoint(std::uint32_t depth) { release_savepoint(depth); }
  };
  expect_caught<Broken>("the alarm is the one that was set last");
}

TEST(SimulationCatches, AnAlarmThatRingsBeforeItIsCommitted) {
  struct Broken : Object {
    [[nodiscard]] std::optional<std::uint64_t> next_alarm_ms() const {
      const auto alarm = alarm_to_store();
      if (alarm_at_work() || !alarm.has_value()) return std::nullopt;
      return alarm->due_ms;
    }
  };
  expect_caught<Broken>("the clock knows the alarm that is committed");
}

TEST(SimulationCatches, AnAlarmThatItsHandlerSees) {
  struct Broken : Object {
    [[nodiscard]] std::optional<std::uint64_t> get_alarm() const {
      const auto alarm = alarm_to_store();
      return alarm.has_value() ? std::optional(alarm->time_ms) : std::nullopt;
    }
  };
  expect_caught<Broken>("the alarm is the one that was set last");
}

}  // namespace
}  // namespace perdure::object
