// The input gate: events, and the sections that hold them back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "object/object.h"

namespace perdure::object {
namespace {

using ::testing::ElementsAre;
using Admission = Object::Admission;

class Section : public ::testing::Test {
 protected:
  Section() {
    object_.arrive(0);
    object_.constructed();
    object_.next();
  }

  SectionId open(SectionId origin = kRoot) { return object_.open_section(99, origin, 0); }
  // What may run now: sections below 0, events above.
  std::vector<int> drain() {
    std::vector<int> ran;
    for (;;) {
      if (const auto start = object_.next_section(0); start.has_value()) {
        ran.push_back(-static_cast<int>(start->request));
        started_.push_back(start->section);
      } else if (const auto event = object_.next(); event.has_value()) {
        ran.push_back(static_cast<int>(*event));
      } else {
        return ran;
      }
    }
  }

  Object object_;
  std::vector<SectionId> started_;
};

TEST_F(Section, HoldsBackWhatOriginatesOutsideItAndAdmitsWhatOriginatesInIt) {
  const SectionId section = open();
  EXPECT_EQ(object_.section(), section);
  EXPECT_EQ(object_.arrive(1), Admission::kWait);
  EXPECT_EQ(object_.arrive(2, section), Admission::kDeliver);
  EXPECT_THAT(drain(), ElementsAre());
  object_.close_section(section);
  EXPECT_EQ(object_.section(), kRoot);
  EXPECT_EQ(object_.arrive(3), Admission::kWait) << "1 waits";
  EXPECT_THAT(drain(), ElementsAre(1, 3));
}

TEST_F(Section, ThoseOfOneScopeRunOneAfterTheOtherAndAheadOfEvents) {
  const SectionId first = open();
  object_.arrive(1);
  EXPECT_EQ(object_.open_section(2, kRoot, 0), kRoot);
  EXPECT_EQ(object_.open_section(3, kRoot, 0), kRoot);
  object_.close_section(first);
  EXPECT_EQ(object_.next(), std::nullopt) << "a section comes first";
  EXPECT_EQ(object_.arrive(4), Admission::kWait);
  EXPECT_THAT(drain(), ElementsAre(-2));
  object_.close_section(started_.back());
  EXPECT_THAT(drain(), ElementsAre(-3));
  object_.close_section(started_.back());
  EXPECT_THAT(drain(), ElementsAre(1, 4));
}

TEST_F(Section, OneThatIsAskedForBetweenTwoOthersWaitsBehindThem) {
  const SectionId first = open();
  object_.open_section(1, kRoot, 0);
  object_.close_section(first);
  EXPECT_EQ(object_.open_section(2, kRoot, 0), kRoot);
  EXPECT_THAT(drain(), ElementsAre(-1));
  object_.close_section(started_.back());
  EXPECT_THAT(drain(), ElementsAre(-2));
}

TEST_F(Section, ANestedOneHoldsBackTheOneAroundIt) {
  const SectionId outer = open();
  const SectionId inner = open(outer);
  EXPECT_EQ(object_.arrive(1), Admission::kWait);
  EXPECT_EQ(object_.arrive(2, outer), Admission::kWait);
  EXPECT_EQ(object_.arrive(3, inner), Admission::kDeliver);
  object_.close_section(inner);
  EXPECT_THAT(drain(), ElementsAre(2));
  object_.close_section(outer);
  EXPECT_THAT(drain(), ElementsAre(1));
}

TEST_F(Section, WhatWaitsInOneThatHasEndedTakesItsPlaceAmongThoseAroundItByArrival) {
  const SectionId outer = open();
  const SectionId inner = open(outer);
  object_.arrive(1);
  object_.arrive(2, outer);
  object_.arrive(3, outer);
  object_.arrive(4);
  object_.close_section(inner);
  EXPECT_EQ(object_.next(), 2u);
  object_.close_section(outer);  // by what 2 did
  EXPECT_THAT(drain(), ElementsAre(1, 3, 4));
}

TEST_F(Section, RequestsOfOneThatHasEndedTakeTheirPlaceByArrivalToo) {
  const SectionId outer = open();
  object_.open_section(1, kRoot, 0);
  const SectionId inner = open(outer);
  EXPECT_NE(inner, kRoot);
  EXPECT_EQ(object_.open_section(2, outer, 0), kRoot);
  object_.close_section(outer);
  EXPECT_EQ(object_.section(), inner) << "it goes on, now in the root";
  EXPECT_THAT(drain(), ElementsAre());
  object_.close_section(inner);
  EXPECT_THAT(drain(), ElementsAre(-1));
  object_.close_section(started_.back());
  EXPECT_THAT(drain(), ElementsAre(-2));
}

TEST_F(Section, WhatOriginatesInOneThatHasEndedBelongsToWhatIsAroundItNotToALaterOne) {
  const SectionId outer = open();
  const SectionId ended = open(outer);
  object_.close_section(ended);
  const SectionId later = open(outer);
  EXPECT_EQ(object_.arrive(1, ended), Admission::kWait);
  object_.close_section(later);
  EXPECT_THAT(drain(), ElementsAre(1));
  object_.close_section(outer);
  const SectionId unrelated = open();
  EXPECT_EQ(object_.arrive(2, ended), Admission::kWait);
  object_.close_section(unrelated);
  EXPECT_THAT(drain(), ElementsAre(2));
}

TEST_F(Section, TheConstructorsBeginOnceItHasReturned) {
  object_.reset(0);
  object_.arrive(1);
  EXPECT_EQ(object_.open_section(2, kRoot, 0), kRoot);
  EXPECT_EQ(object_.open_section(3, kRoot, 0), kRoot);
  EXPECT_THAT(drain(), ElementsAre());
  object_.constructed();
  EXPECT_THAT(drain(), ElementsAre(-2));
  object_.close_section(started_.back());
  EXPECT_THAT(drain(), ElementsAre(-3));
  object_.close_section(started_.back());
  EXPECT_THAT(drain(), ElementsAre(1));
}

TEST_F(Section, HasItsTimeFromItsBeginningOn) {
  EXPECT_EQ(object_.section_deadline_ms(), InputGate::kNever);
  const SectionId outer = object_.open_section(1, kRoot, 1'000);
  object_.open_section(2, kRoot, 1'000);
  object_.open_section(3, outer, 5'000);
  EXPECT_EQ(object_.section_deadline_ms(), 31'000u) << "the outermost has the least time left";
  object_.close_section(object_.section());
  object_.close_section(outer);
  EXPECT_EQ(object_.section_deadline_ms(), InputGate::kNever);
  object_.next_section(20'000);
  EXPECT_EQ(object_.section_deadline_ms(), 50'000u);
}

TEST_F(Section, AResetRefusesTheEventsInOrderAndForgetsTheSections) {
  const SectionId section = open();
  object_.arrive(1);
  const SectionId inner = open(section);
  object_.arrive(2, section);
  object_.arrive(3);
  object_.arrive(4, section);
  object_.open_section(5, kRoot, 0);
  EXPECT_THAT(object_.reset(0), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(object_.section(), kRoot);
  object_.arrive(6);
  object_.constructed();
  EXPECT_THAT(drain(), ElementsAre(6));
  EXPECT_GT(open(), inner) << "no number is used twice";
}

TEST_F(Section, OneThatIsOpenOrWaitsKeepsTheObject) {
  object_.finish(0);
  EXPECT_TRUE(object_.evictable());
  const SectionId section = open();
  EXPECT_FALSE(object_.evictable());
  object_.open_section(1, kRoot, 0);
  object_.close_section(section);
  EXPECT_FALSE(object_.evictable());
  object_.close_section(object_.next_section(0)->section);
  EXPECT_TRUE(object_.evictable());
}

TEST_F(Section, ThereIsALimit) {
  for (std::size_t i = 0; i < Object::kSectionsMax; ++i) open();
  EXPECT_THROW(open(), Error);
  object_.close_section(object_.section());
  EXPECT_EQ(object_.open_section(7, kRoot, 0), kRoot);
  EXPECT_THROW(open(), Error);
}

TEST_F(Section, EventsOfAllScopesCountForTheLimit) {
  const SectionId outer = open();
  const SectionId inner = open(outer);
  for (std::size_t i = 0; i < Object::kWaitingEventsMax; ++i)
    object_.arrive(static_cast<EventId>(i), i % 2 == 0 ? kRoot : outer);
  EXPECT_THROW(object_.arrive(7), Error);
  EXPECT_THROW(object_.arrive(7, outer), Error);
  EXPECT_EQ(object_.arrive(7, inner), Admission::kDeliver);
}

}  // namespace
}  // namespace perdure::object
