#include "object/object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace perdure::object {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Admission = Object::Admission;

Object ready() {
  Object object;
  EXPECT_EQ(object.arrive(1), Admission::kConstruct);
  object.constructed();
  EXPECT_EQ(object.next(), 1u);
  object.finish(0);
  return object;
}

TEST(Object, FirstEventConstructsAndLaterOnesWaitInOrder) {
  Object object;
  EXPECT_EQ(object.state(), Object::State::kAbsent);
  EXPECT_EQ(object.arrive(1), Admission::kConstruct);
  EXPECT_EQ(object.arrive(2), Admission::kWait);
  EXPECT_EQ(object.next(), std::nullopt);
  object.constructed();
  EXPECT_EQ(object.next(), 1u);
  EXPECT_EQ(object.arrive(3), Admission::kWait) << "2 waits: 3 must not overtake it";
  EXPECT_EQ(object.next(), 2u);
  EXPECT_EQ(object.next(), 3u);
  EXPECT_EQ(object.next(), std::nullopt);
  EXPECT_EQ(object.arrive(4), Admission::kDeliver);
}

TEST(Object, ASectionOfTheConstructorHoldsTheEventsBack) {
  Object object;
  object.arrive(1);
  EXPECT_EQ(object.open_section(2, kRoot, 0), kRoot) << "it waits for the constructor";
  object.constructed();
  const auto started = object.next_section(0);
  ASSERT_TRUE(started.has_value());
  EXPECT_EQ(object.next(), std::nullopt);
  object.close_section(started->section);
  EXPECT_EQ(object.next(), 1u);
}

TEST(Object, NestedSectionsOpenTheGateOnlyAtTheOutermost) {
  Object object = ready();
  const SectionId outer = object.open_section(10, kRoot, 0);
  const SectionId inner = object.open_section(11, outer, 0);
  EXPECT_EQ(object.arrive(2), Admission::kWait);
  object.close_section(inner);
  EXPECT_EQ(object.next(), std::nullopt);
  object.close_section(outer);
  EXPECT_EQ(object.next(), 2u);
}

TEST(Object, AnEventThatClosesTheGateHoldsTheNextOnes) {
  Object object = ready();
  const SectionId first = object.open_section(10, kRoot, 0);
  object.arrive(2);
  object.arrive(3);
  object.close_section(first);
  EXPECT_EQ(object.next(), 2u);
  const SectionId second = object.open_section(11, kRoot, 0);
  EXPECT_EQ(object.next(), std::nullopt);
  object.close_section(second);
  EXPECT_EQ(object.next(), 3u);
}

TEST(Object, ResetRefusesWhatWaitsAndTheNextEventConstructsAnew) {
  Object object = ready();
  EXPECT_EQ(object.arrive(2), Admission::kDeliver);
  object.open_section(10, kRoot, 0);
  object.arrive(3);
  object.arrive(4);
  EXPECT_THAT(object.reset(0), ElementsAre(3, 4));
  EXPECT_EQ(object.section(), kRoot);
  EXPECT_EQ(object.arrive(5), Admission::kConstruct);
  EXPECT_THAT(object.reset(0), ElementsAre(5));
  EXPECT_THAT(object.reset(0), IsEmpty());
}

TEST(Object, AnOverloadedObjectRefusesFurtherEvents) {
  Object object;
  object.arrive(0);
  for (EventId i = 1; i < Object::kWaitingEventsMax; ++i) object.arrive(i);
  EXPECT_THROW(object.arrive(7), Error);
  object.constructed();
  EXPECT_EQ(object.next(), 0u);
  EXPECT_EQ(object.arrive(7), Admission::kWait);
}

TEST(Object, IdleOnlyWithNothingInFlightHeldBlockedOrWaiting) {
  Object object = ready();
  EXPECT_TRUE(object.idle(10'000, 10'000));
  EXPECT_FALSE(object.idle(9'999, 10'000));
  object.arrive(2);
  EXPECT_FALSE(object.idle(10'000, 10'000));
  object.finish(5'000);
  EXPECT_FALSE(object.idle(14'999, 10'000));
  EXPECT_TRUE(object.idle(15'000, 10'000));
  object.hold();
  EXPECT_FALSE(object.idle(15'000, 10'000));
  object.release(16'000);
  EXPECT_TRUE(object.idle(26'000, 10'000));
  const SectionId section = object.open_section(10, kRoot, 0);
  EXPECT_FALSE(object.idle(26'000, 10'000));
  object.close_section(section);
  object.will_write();
  EXPECT_FALSE(object.idle(26'000, 10'000));
  object.committed(3);
  EXPECT_TRUE(object.idle(26'000, 10'000));
  object.evict();
  EXPECT_EQ(object.arrive(9), Admission::kConstruct);
  EXPECT_FALSE(object.idle(90'000, 10'000)) << "it is being constructed";
}

TEST(Object, WithoutAnInstanceItIsIdleFromItsResetOn) {
  Object object;
  object.arrive(1);
  EXPECT_THAT(object.reset(5'000), ElementsAre(1));
  EXPECT_FALSE(object.idle(14'999, 10'000));
  EXPECT_TRUE(object.idle(15'000, 10'000));
  object.evict();
  EXPECT_EQ(object.arrive(2), Admission::kConstruct);
}

TEST(Object, OneTransactionForARunAndOutputsDependOnIt) {
  Object object = ready();
  EXPECT_EQ(object.output_lsn(), 0u);
  EXPECT_TRUE(object.will_write());
  EXPECT_FALSE(object.will_write());
  EXPECT_TRUE(object.transaction_open());
  object.committed(7);
  EXPECT_FALSE(object.transaction_open());
  EXPECT_EQ(object.output_lsn(), 7u);
  EXPECT_TRUE(object.will_write());
  object.rolled_back();
  EXPECT_EQ(object.output_lsn(), 7u);
  object.observe(12);
  object.observe(9);
  EXPECT_EQ(object.output_lsn(), 12u) << "what was seen never becomes less";
}

TEST(Object, OutputsDoNotDependOnACommitWhoseWritesWereAllUnconfirmed) {
  Object object = ready();
  EXPECT_TRUE(object.will_begin());
  EXPECT_FALSE(object.will_write());
  object.will_write();
  object.committed(5, 2);
  EXPECT_EQ(object.output_lsn(), 0u);
  object.will_write();
  object.will_write();
  object.committed(6, 1);
  EXPECT_EQ(object.output_lsn(), 6u) << "one of the two writes was to be confirmed";
  object.will_write();
  object.rolled_back();
  object.will_write();
  object.committed(7, 1);
  EXPECT_EQ(object.output_lsn(), 6u) << "what was rolled back does not count";
  object.will_begin();
  object.committed(8);
  EXPECT_EQ(object.output_lsn(), 6u) << "nothing was written";
}

TEST(Object, AnOutputMadeBeforeAResetDoesNotLeaveAfterIt) {
  Object object = ready();
  object.will_write();
  const auto resets = object.resets();
  object.committed(4);
  EXPECT_EQ(object.departure(resets), 4u);
  object.evict();
  EXPECT_EQ(object.departure(resets), 4u) << "what it had written is committed";
  object.arrive(1);
  object.reset(0);
  EXPECT_EQ(object.departure(resets), std::nullopt);
  EXPECT_EQ(object.departure(object.resets()), 4u);
}

TEST(Object, OutputsOfAnExplicitTransactionDependOnWhatWasCommittedBefore) {
  Object object = ready();
  object.will_write();
  object.committed(4);
  object.begin_explicit();
  EXPECT_FALSE(object.will_write());
  EXPECT_TRUE(object.explicit_open());
  EXPECT_EQ(object.output_lsn(), 4u);
  object.committed(5);
  EXPECT_FALSE(object.explicit_open());
  EXPECT_EQ(object.output_lsn(), 5u);
}

}  // namespace
}  // namespace perdure::object
