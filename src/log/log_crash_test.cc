#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "base/error.h"
#include "log/log.h"
#include "log/log_testing.h"

// The power goes off at random points, again and again on the same disk. After each time, what was
// acknowledged is there, what is there is a prefix of what was appended, and no group is split.

namespace perdure::log {
namespace {

// What was appended: the content of each record, and the last record of its group.
struct AppendedRecords {
  std::mutex mutex;
  std::map<Lsn, std::uint64_t> numbers;
  std::map<Lsn, Lsn> group_ends;

  void add(const std::vector<Appended>& group, const std::vector<std::uint64_t>& group_numbers) {
    const std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < group.size(); ++i) {
      numbers[group[i].lsn] = group_numbers[i];
      group_ends[group[i].lsn] = group.back().lsn;
    }
  }
  // What was lost is forgotten, and its numbers are given again.
  void cut(Lsn last) {
    numbers.erase(numbers.upper_bound(last), numbers.end());
    group_ends.erase(group_ends.upper_bound(last), group_ends.end());
  }
};

class CrashTest {
 public:
  explicit CrashTest(std::uint64_t seed) : random_(seed) {
    test_.segment_bytes = 16 << 10;
    test_.history.enabled = random_() % 2 == 0;
    if (random_() % 2 == 0) test_.files.set_sync_delay(std::chrono::microseconds(50));
  }

  void run() {
    for (int round = 0; round < 6; ++round) {
      SCOPED_TRACE(round);
      test_.files.power_off_at(1 + random_() % (round == 0 ? 40 : 150));
      work_until_power_fails();
      test_.log.reset();
      test_.files.crash(random_());
      test_.poisoned.clear();
      // Recovery itself may be hit, too.
      if (random_() % 3 == 0) recover_until_power_fails();
      check();
      if (testing::Test::HasFailure()) return;
    }
  }

 private:
  void work_until_power_fails() {
    try {
      test_.open();
      const std::uint64_t append_seed = random_();
      std::thread other([&] { append_groups(append_seed); });
      append_groups(random_());
      other.join();
      acknowledged_ = std::max<Lsn>(acknowledged_, test_.log->durable_lsn());
    } catch (const Error&) {
      // Opening failed, as the power was off by then.
    }
  }

  // Until the log cannot go on.
  void append_groups(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    try {
      for (;;) {
        append_group_of(random, 1 + random() % 4);
        if (random() % 8 == 0) test_.log->wait_durable(test_.log->appended_lsn());
        if (random() % 40 == 0) checkpoint();
      }
    } catch (const Error&) {
      // Poisoned, or no segment could be prepared: the power is off.
    }
  }

  void append_group_of(std::mt19937_64& random, std::size_t count) {
    std::vector<Bytes> records;
    std::vector<std::uint64_t> numbers;
    for (std::size_t i = 0; i < count; ++i) {
      numbers.push_back(random() % 1000000);
      const std::size_t bytes = random() % 50 == 0 ? 12000 : random() % 1200;
      records.push_back(test_record(numbers.back(), bytes));
    }
    const std::vector<Appended> group = append_group(*test_.log, records);
    if (!group.empty()) history_.add(group, numbers);
  }

  void checkpoint() {
    // Both threads make some, but one at a time.
    const std::lock_guard lock(checkpoint_mutex_);
    const CheckpointStart start = test_.log->begin_checkpoint();
    test_.log->complete_checkpoint(start);
    checkpoint_ = start.lsn;
  }

  void recover_until_power_fails() {
    test_.files.power_off_at(1 + random_() % 10);
    try {
      test_.open();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo) << error.what();
    }
    test_.log.reset();
    test_.files.crash(random_());
  }

  void check() {
    Log& log = test_.open();
    const Lsn last = log.durable_lsn();
    ASSERT_GE(last, acknowledged_);
    ASSERT_GE(log.recovery().checkpoint_lsn, checkpoint_);
    Lsn expected = log.recovery().checkpoint_lsn;
    for (const auto& [lsn, number] : test_.replayed) {
      ASSERT_EQ(lsn, ++expected);
      ASSERT_TRUE(history_.numbers.contains(lsn));
      ASSERT_EQ(number, history_.numbers[lsn]);
    }
    ASSERT_EQ(expected, last);
    if (last > 0) {
      ASSERT_EQ(history_.group_ends[last], last) << "a group was split";
    }
    history_.cut(last);
    acknowledged_ = last;
    test_.log.reset();
  }

  std::mt19937_64 random_;
  TestLog test_;
  AppendedRecords history_;
  std::mutex checkpoint_mutex_;
  Lsn acknowledged_ = 0;
  Lsn checkpoint_ = 0;
};

TEST(LogCrash, WhatWasAcknowledgedSurvivesAndTheRestIsAPrefix) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CrashTest(seed).run();
    if (testing::Test::HasFailure()) return;
  }
}

// The power goes off at each single step of a short life.
TEST(LogCrash, EveryStepOfAShortLife) {
  for (std::uint64_t step = 1; step <= 120; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    TestLog test;
    test.segment_bytes = 8 << 10;
    test.files.power_off_at(step);
    Lsn acknowledged = 0;
    try {
      test.open();
      for (std::uint64_t number = 1; number <= 40; ++number) {
        append_one(*test.log, test_record(number, 900));
        test.log->wait_durable(number);
        acknowledged = number;
        if (number % 15 == 0) test.log->complete_checkpoint(test.log->begin_checkpoint());
      }
    } catch (const Error&) {
      // The power is off.
    }
    test.log.reset();
    test.files.crash(step);
    test.open();
    EXPECT_GE(test.log->durable_lsn(), acknowledged);
    for (const auto& [lsn, number] : test.replayed) EXPECT_EQ(lsn, number);
  }
}

}  // namespace
}  // namespace perdure::log
