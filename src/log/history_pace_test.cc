#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_testing.h"
#include "log/history_format.h"
#include "log/history_keeper.h"
#include "log/log_testing.h"
#include "log/pace.h"
#include "log/sealing.h"

// How fast segments become history, and what ends the waiting. No real time passes: a clock either
// goes on at each wait, or stands still until something else ends it.

namespace perdure::log {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr const char* kHistory = "/data/history";
constexpr std::uint64_t kBytesPerSecond = 1 << 20;

// The longest that a test waits for another thread, which needs no time of its own.
constexpr seconds kPatience{20};

class TestClock final : public PaceClock {
 public:
  nanoseconds now() override { return nanoseconds(now_.load()); }

  void wait(std::condition_variable& wake, std::unique_lock<std::mutex>& lock,
            nanoseconds duration) override {
    EXPECT_GT(duration, nanoseconds(0));
    if (stands) {
      ++waits;
      wake.wait(lock);
    } else {
      longest = std::max(longest.load(), duration.count());
      now_ += duration.count();
    }
  }

  std::atomic<bool> stands = false;
  std::atomic<int> waits = 0;                 // while it stands
  std::atomic<nanoseconds::rep> longest = 0;  // of the others

 private:
  std::atomic<nanoseconds::rep> now_ = 0;
};

class HistoryPaceTest : public testing::Test {
 protected:
  HistoryPaceTest() {
    test_.segment_bytes = 1 << 20;
    test_.history.enabled = true;
    test_.history.sealing_bytes_per_second = kBytesPerSecond;
    test_.history.pace_clock = &clock_;
    test_.open();
  }

  [[nodiscard]] History& history() { return test_.log->history(); }

  // Lets so many more segments wait to be sealed, full of the commits of one object.
  void fill(std::uint64_t segments) {
    filled_ += segments;
    while (last_.location.segment <= filled_) {
      const Bytes record = test_record(++commits_, 50'000, 1, last_.lsn, last_.location);
      last_ = append_one(*test_.log, record);
      test_.log->wait_durable(last_.lsn);  // each in a frame of its own
    }
    test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  }

  template <typename Condition>
  void until(const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_TRUE(condition());
  }
  void until_it_waits() {
    until([&] { return clock_.waits > 0; });
  }
  void until_all_is_sealed() {
    until([&] { return history().usage().waiting_segments == 0; });
  }

  TestClock clock_;
  TestLog test_;
  std::uint64_t filled_ = 0;  // segments
  std::uint64_t commits_ = 0;
  Appended last_;
};

TEST_F(HistoryPaceTest, ASegmentIsReadTwiceAtThePace) {
  fill(2);
  until_all_is_sealed();
  EXPECT_EQ(history().usage().files, 2u);
  // Of what is less than a block at the end of each nothing is said, nor of the first one of all.
  EXPECT_GT(clock_.now(), seconds(3));
  EXPECT_LT(clock_.now(), seconds(5));
  const nanoseconds block(std::nano::den * (kSealingBlockBytes + 100'000) / kBytesPerSecond);
  EXPECT_LT(nanoseconds(clock_.longest), block) << "it is no bursts with long pauses";
}

TEST_F(HistoryPaceTest, WhatIsNotKeptIsReadOnce) {
  test_.log.reset();
  test_.history.first_object = 2;
  test_.open();
  fill(2);
  until_all_is_sealed();
  EXPECT_GT(clock_.now(), std::chrono::milliseconds(1500));
  EXPECT_LT(clock_.now(), seconds(3));
}

TEST_F(HistoryPaceTest, AStopEndsTheWaiting) {
  clock_.stands = true;
  fill(2);
  until_it_waits();
  test_.log.reset();
  EXPECT_FALSE(test_.files.exists(history_path(kHistory, 1)));
  clock_.stands = false;
  test_.open();
  until_all_is_sealed();
  EXPECT_EQ(history().usage().files, 2u);
}

TEST_F(HistoryPaceTest, WhoWaitsForItGetsItAtOnce) {
  clock_.stands = true;
  fill(2);
  until_it_waits();
  history().catch_up();
  EXPECT_EQ(history().usage().files, 2u);
  clock_.waits = 0;
  fill(1);
  until_it_waits();
}

TEST_F(HistoryPaceTest, ALogThatGrowsFasterIsKeptUpWith) {
  clock_.stands = true;
  fill(HistoryKeeper::kPacedSegmentsMax);
  until_it_waits();
  EXPECT_EQ(history().usage().files, 0u);
  clock_.waits = 0;
  fill(2);
  until_it_waits();
  EXPECT_EQ(history().usage().files, 2u);
  EXPECT_EQ(history().usage().waiting_segments, HistoryKeeper::kPacedSegmentsMax);
}

TEST_F(HistoryPaceTest, WhereThereIsLittleRoomForHistoryFewSegmentsWait) {
  test_.log.reset();
  test_.history.bytes_max = 5 * test_.segment_bytes * HistoryKeeper::kWaitingPartMax / 2;
  test_.open();
  clock_.stands = true;
  fill(2);
  until_it_waits();
  clock_.waits = 0;
  fill(1);
  until_it_waits();
  EXPECT_EQ(history().usage().files, 1u);
  EXPECT_EQ(history().usage().waiting_segments, 2u);
}

TEST_F(HistoryPaceTest, ASegmentThatIsGivenUpEndsTheWaitingAndTheNextOnesMakeRoom) {
  clock_.stands = true;
  fill(3);
  until_it_waits();
  testing::internal::CaptureStderr();
  EXPECT_TRUE(history().give_up_oldest());
  until_all_is_sealed();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("the disk is full"));
  EXPECT_FALSE(test_.files.exists(history_path(kHistory, 1)));
  EXPECT_EQ(history().usage().files, 2u);
  clock_.waits = 0;
  fill(1);
  until_it_waits();
}

TEST_F(HistoryPaceTest, WhatAFullDiskHasHeldUpIsMadeUpFor) {
  clock_.stands = true;
  fill(2);
  until_it_waits();
  // The log itself has what it needs.
  until([&] { return test_.files.exists(TestLog::segment(static_cast<int>(filled_) + 2)); });
  test_.files.set_capacity(test_.files.used_bytes());
  testing::internal::CaptureStderr();
  history().catch_up();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("No space left"));
  EXPECT_EQ(history().usage().waiting_segments, 2u);
  test_.files.set_capacity(1 << 30);
  fill(1);
  until_all_is_sealed();
  EXPECT_EQ(history().usage().files, 3u);
  clock_.waits = 0;
  fill(1);
  until_it_waits();
}

TEST_F(HistoryPaceTest, NoPaceAtAllIsRefused) {
  test_.log.reset();
  test_.history.sealing_bytes_per_second = 0;
  EXPECT_EQ(code_of([&] { test_.open(); }), ErrorCode::kInvalid);
}

}  // namespace
}  // namespace perdure::log
