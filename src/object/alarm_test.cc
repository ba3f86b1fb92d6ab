// The alarm, as an object's host sees it.
#include <gtest/gtest.h>

#include "object/object.h"

namespace perdure::object {
namespace {

using Time = std::optional<std::uint64_t>;

class AlarmTest : public ::testing::Test {
 protected:
  AlarmTest() {
    object_.arrive(0);
    object_.constructed();
    object_.next();
  }

  void commit() { object_.committed(++lsn_); }
  void set(std::uint64_t time_ms, std::uint64_t now_ms = 0) {
    object_.will_write();
    object_.set_alarm(time_ms, now_ms);
  }
  void set_and_commit(std::uint64_t time_ms) {
    set(time_ms);
    commit();
  }
  void remove() {
    object_.will_write();
    object_.delete_alarm();
  }
  std::optional<AlarmRun> ring(std::uint64_t now_ms) {
    EXPECT_TRUE(object_.alarm_due(now_ms));
    return object_.alarm_begins(now_ms);
  }
  void succeed() {
    if (!object_.alarm_returned()) return;
    object_.will_begin();
    commit();
  }
  // As after a crash: a new process knows what was stored.
  void restart() {
    const auto stored = object_.alarm_to_store();
    object_ = Object();
    object_.load_alarm(stored);
    object_.arrive(0);
    object_.constructed();
    object_.next();
  }

  Object object_;
  Lsn lsn_ = 0;
};

TEST_F(AlarmTest, IsOfTheTransactionThatSetsIt) {
  EXPECT_EQ(object_.get_alarm(), std::nullopt);
  set(100);
  EXPECT_EQ(object_.get_alarm(), Time(100));
  EXPECT_TRUE(object_.alarm_changed());
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt) << "it may never be committed";
  EXPECT_FALSE(object_.alarm_due(100));
  commit();
  EXPECT_FALSE(object_.alarm_changed());
  EXPECT_EQ(object_.next_alarm_ms(), Time(100));
  set(200);
  remove();
  EXPECT_EQ(object_.get_alarm(), std::nullopt);
  EXPECT_EQ(object_.next_alarm_ms(), Time(100));
  object_.rolled_back();
  EXPECT_EQ(object_.get_alarm(), Time(100));
  remove();
  commit();
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt);
}

TEST_F(AlarmTest, ATimeThatHasPassedIsNow) {
  set(5, 70);
  EXPECT_EQ(object_.get_alarm(), Time(70));
}

TEST_F(AlarmTest, FollowsTheSavepoints) {
  set(1);
  const auto a = object_.open_savepoint();
  const auto b = object_.open_savepoint();
  set(3);
  const auto c = object_.open_savepoint();
  set(4);
  object_.release_savepoint(c);
  EXPECT_EQ(object_.get_alarm(), Time(4));
  object_.rollback_savepoint(b);
  EXPECT_EQ(object_.get_alarm(), Time(1));
  set(5);
  remove();
  object_.release_savepoint(a);
  const auto d = object_.open_savepoint();
  set(6);
  object_.open_savepoint();
  set(7);
  object_.rollback_savepoint(d);
  EXPECT_EQ(object_.get_alarm(), std::nullopt);
  object_.rolled_back();
  EXPECT_FALSE(object_.alarm_changed());
}

TEST_F(AlarmTest, AReleasedSavepointIsUndoneWithTheOneAroundIt) {
  const auto a = object_.will_begin() ? object_.open_savepoint() : 9;
  const auto b = object_.open_savepoint();
  set(3);
  object_.release_savepoint(b);
  object_.rollback_savepoint(a);
  EXPECT_EQ(object_.get_alarm(), std::nullopt);
  EXPECT_FALSE(object_.alarm_changed());
}

TEST_F(AlarmTest, RingsOnceAndEndsWithTheCommitAfterItsHandler) {
  set_and_commit(100);
  EXPECT_FALSE(object_.alarm_due(99));
  const auto run = ring(105);
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->scheduled_ms, 100u);
  EXPECT_EQ(run->retry_count, 0u);
  EXPECT_EQ(object_.get_alarm(), std::nullopt);
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt);
  EXPECT_FALSE(object_.alarm_due(200)) << "one handler at a time";
  EXPECT_TRUE(object_.alarm_to_store().has_value()) << "a crash now has it run again";
  EXPECT_TRUE(object_.alarm_returned());
  EXPECT_TRUE(object_.alarm_at_work());
  EXPECT_TRUE(object_.will_begin());
  EXPECT_TRUE(object_.alarm_changed());
  EXPECT_EQ(object_.alarm_to_store(), std::nullopt);
  commit();
  EXPECT_FALSE(object_.alarm_at_work());
  EXPECT_FALSE(object_.alarm_due(1'000));
}

TEST_F(AlarmTest, IsNotEndedByACommitThatFails) {
  set_and_commit(100);
  ring(100);
  set(500);
  EXPECT_TRUE(object_.alarm_returned());
  object_.rolled_back();
  object_.reset(200);
  ASSERT_TRUE(object_.alarm_at_work());
  EXPECT_EQ(object_.alarm_failed(200), AlarmFailure::kRetry);
  EXPECT_EQ(object_.get_alarm(), Time(100));
  EXPECT_EQ(object_.next_alarm_ms(), Time(2'200));
}

TEST_F(AlarmTest, SetInItsHandlerIsANewOne) {
  set_and_commit(100);
  ring(100);
  set_and_commit(50);
  EXPECT_EQ(object_.get_alarm(), Time(50));
  EXPECT_FALSE(object_.alarm_due(100)) << "one handler at a time";
  EXPECT_FALSE(object_.alarm_returned()) << "nothing is left to commit";
  const auto run = ring(100);
  EXPECT_EQ(run->scheduled_ms, 50u);
}

TEST_F(AlarmTest, SetOrDeletedInAHandlerThatThrowsThereIsNoRetry) {
  set_and_commit(100);
  ring(100);
  set_and_commit(700);
  EXPECT_EQ(object_.alarm_failed(200), AlarmFailure::kSuperseded);
  EXPECT_EQ(object_.next_alarm_ms(), Time(700));
  ring(700);
  remove();
  commit();
  EXPECT_EQ(object_.alarm_failed(800), AlarmFailure::kSuperseded);
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt);
}

TEST_F(AlarmTest, WhatItsHandlerRollsBackWasNeverDone) {
  set_and_commit(100);
  ring(100);
  set(700);
  object_.rolled_back();
  remove();
  object_.rolled_back();
  EXPECT_EQ(object_.get_alarm(), std::nullopt);
  succeed();
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt);
}

TEST_F(AlarmTest, IsRetriedSixTimesWithGrowingDelaysThenDropped) {
  set_and_commit(100);
  std::uint64_t now_ms = 100;
  for (std::uint32_t retry = 0; retry <= AlarmState::kRetriesMax; ++retry) {
    const auto run = ring(now_ms);
    ASSERT_TRUE(run.has_value());
    EXPECT_EQ(run->scheduled_ms, 100u);
    EXPECT_EQ(run->retry_count, retry);
    if (retry == AlarmState::kRetriesMax) break;
    EXPECT_EQ(object_.alarm_failed(now_ms), AlarmFailure::kRetry);
    EXPECT_EQ(object_.get_alarm(), Time(100));
    EXPECT_EQ(object_.next_alarm_ms(), Time(now_ms + (2'000u << retry)));
    now_ms += 2'000u << retry;
    restart();
  }
  EXPECT_EQ(object_.alarm_failed(now_ms), AlarmFailure::kDropped);
  EXPECT_EQ(object_.alarm_to_store(), std::nullopt);
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt);
}

TEST_F(AlarmTest, IsNotDroppedWhileItsCommitsFail) {
  set_and_commit(100);
  std::uint64_t now_ms = 100;
  for (std::uint32_t i = 0; i < 2 * AlarmState::kRetriesMax; ++i) {
    ASSERT_EQ(ring(now_ms)->retry_count, std::min(i, AlarmState::kRetriesMax));
    object_.reset(now_ms);
    EXPECT_EQ(object_.alarm_failed(now_ms, AlarmState::kRetryFirstMs, AlarmFault::kStorage),
              AlarmFailure::kRetry);
    now_ms = *object_.next_alarm_ms();
  }
  ring(now_ms);
  EXPECT_EQ(object_.alarm_failed(now_ms), AlarmFailure::kDropped);
}

TEST_F(AlarmTest, AttemptsThatDoNotReachTheHandlerWaitButDoNotCount) {
  set_and_commit(100);
  std::uint64_t now_ms = 100;
  for (int i = 0; i < 12; ++i) {
    EXPECT_TRUE(object_.alarm_due(now_ms));
    object_.reset(now_ms);
    EXPECT_EQ(object_.alarm_failed(now_ms), AlarmFailure::kRetry);
    const std::uint64_t next_ms = *object_.next_alarm_ms();
    EXPECT_EQ(next_ms - now_ms, 2'000u << std::min(i, 9));
    now_ms = next_ms;
  }
  EXPECT_EQ(ring(now_ms)->retry_count, 0u);
}

TEST_F(AlarmTest, AnAttemptThatDoesNotReachTheGateLeavesTheOpenTransactionAlone) {
  set_and_commit(100);
  for (const bool commits : {false, true}) {
    SCOPED_TRACE(commits);
    set(5000);  // code of the object, while the alarm is refused
    const std::uint64_t now_ms = object_.stored_alarm()->due_ms;
    EXPECT_TRUE(object_.alarm_due(now_ms));
    EXPECT_EQ(object_.alarm_failed(now_ms, 20), AlarmFailure::kRetry);
    EXPECT_EQ(object_.get_alarm(), Time(5000));
    EXPECT_EQ(object_.alarm_to_store()->time_ms, 5000u);
    EXPECT_EQ(object_.stored_alarm()->time_ms, 100u);
    EXPECT_GT(object_.stored_alarm()->due_ms, now_ms);
    if (commits) {
      commit();
      EXPECT_EQ(object_.next_alarm_ms(), Time(5000));
    } else {
      object_.rolled_back();
      EXPECT_EQ(object_.get_alarm(), Time(100));
      EXPECT_EQ(object_.next_alarm_ms(), object_.stored_alarm()->due_ms);
    }
  }
}

TEST_F(AlarmTest, SetWhileARetryIsDueReplacesIt) {
  set_and_commit(100);
  ring(100);
  object_.alarm_failed(100);
  set_and_commit(300);
  EXPECT_EQ(object_.next_alarm_ms(), Time(300));
  EXPECT_EQ(ring(300)->retry_count, 0u);
}

TEST_F(AlarmTest, ReplacedOrDeletedWhileItWaitsAtTheGateItDoesNotRun) {
  set_and_commit(100);
  EXPECT_TRUE(object_.alarm_due(100));
  set_and_commit(500);
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt) << "the event that waits looks first";
  EXPECT_EQ(object_.alarm_begins(200), std::nullopt);
  EXPECT_EQ(object_.next_alarm_ms(), Time(500));
  EXPECT_TRUE(object_.alarm_due(500));
  remove();
  commit();
  EXPECT_EQ(object_.alarm_begins(500), std::nullopt);
  EXPECT_FALSE(object_.alarm_at_work());
  EXPECT_FALSE(object_.alarm_due(600));
}

TEST_F(AlarmTest, SurvivesACrashAtAnyPointBeforeTheCommitThatEndsIt) {
  set_and_commit(100);
  restart();
  EXPECT_EQ(object_.next_alarm_ms(), Time(100));
  EXPECT_TRUE(object_.alarm_due(100));
  restart();
  EXPECT_EQ(ring(100)->retry_count, 0u);
  restart();
  EXPECT_EQ(ring(100)->retry_count, 0u);
  succeed();
  restart();
  EXPECT_EQ(object_.next_alarm_ms(), std::nullopt);
}

TEST_F(AlarmTest, KeepsTheObjectFromItsDueTimeToItsEnd) {
  object_.finish(0);
  set_and_commit(100);
  EXPECT_TRUE(object_.evictable());
  EXPECT_TRUE(object_.alarm_due(100));
  EXPECT_FALSE(object_.evictable());
  object_.alarm_begins(100);
  EXPECT_FALSE(object_.evictable());
  succeed();
  EXPECT_TRUE(object_.evictable());
}

}  // namespace
}  // namespace perdure::object
