#include "log/log.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "log/format.h"
#include "log/log_testing.h"

namespace perdure::log {
namespace {

using Operation = SimulatedFileSystem::Operation;
using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr const char* kAdvice =
    " Nothing was changed. Restore the file from a backup, or move the data directory "
    "away to start empty.";

class LogTest : public testing::Test {
 protected:
  Log& open() { return test_.open(); }
  void close() { test_.log.reset(); }

  // Appends records `from` to `to`, each in a frame of its own.
  void append_durably(std::uint64_t from, std::uint64_t to, std::size_t bytes = 100) {
    for (std::uint64_t number = from; number <= to; ++number) {
      locations_.push_back(append_one(*test_.log, test_record(number, bytes)).location);
      test_.log->wait_durable(number);
    }
  }

  void expect_replayed(std::uint64_t from, std::uint64_t to) {
    std::vector<std::pair<Lsn, std::uint64_t>> expected;
    for (std::uint64_t number = from; number <= to; ++number) expected.emplace_back(number, number);
    EXPECT_EQ(test_.replayed, expected);
  }

  void expect_error(ErrorCode code, const std::string& message, const auto& action) {
    try {
      action();
      FAIL() << "expected: " << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_EQ(error.what(), message);
    }
  }
  void expect_open_fails(ErrorCode code, const std::string& message) {
    const std::uint64_t operations = test_.files.operations();
    expect_error(code, message, [&] { open(); });
    // A refused log is only read; making sure of what is there by a sync changes nothing.
    EXPECT_LE(test_.files.operations() - operations, 8u);
  }

  // Opens, and waits for the spare segment, so that the next operations on the disk are the log's.
  Log& open_and_settle() {
    open();
    EXPECT_TRUE(wait_until([&] { return test_.files.exists(TestLog::segment(2)); }));
    return *test_.log;
  }

  bool wait_until(const auto& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(10));
    return condition();
  }

  // The frame that a record of append_durably starts.
  [[nodiscard]] std::uint64_t frame_of(std::uint64_t number) const {
    return locations_[number - 1].offset - kFrameHeaderBytes;
  }

  void power_off() {
    test_.files.power_off_at(1);
    EXPECT_THROW(test_.files.sync_directory("/"), Error);
  }

  // As after SIGKILL: the file system keeps everything, and the log did not end cleanly.
  void kill() {
    power_off();
    close();
    test_.files.crash(0, 100);
    test_.poisoned.clear();
  }

  TestLog test_;
  std::vector<RecordLocation> locations_;
};

TEST_F(LogTest, RecordsAreDurableInOrderAndReplayed) {
  Log& log = open();
  EXPECT_EQ(log.appended_lsn(), 0u);
  EXPECT_EQ(log.durable_lsn(), 0u);
  for (std::uint64_t number = 1; number <= 100; ++number) {
    EXPECT_EQ(append_one(log, test_record(number)).lsn, number);
  }
  EXPECT_EQ(log.appended_lsn(), 100u);
  log.wait_durable(100);
  EXPECT_EQ(log.durable_lsn(), 100u);
  Log& again = open();
  expect_replayed(1, 100);
  EXPECT_EQ(again.appended_lsn(), 100u);
  EXPECT_EQ(again.durable_lsn(), 100u);
  EXPECT_EQ(again.recovery().records, 100u);
  EXPECT_GT(again.recovery().bytes, 100u * 100);
  EXPECT_EQ(again.recovery().cut_bytes, 0u);
  EXPECT_EQ(append_one(again, test_record(101)).lsn, 101u);
}

TEST_F(LogTest, ClosingFlushes) {
  open();
  test_.files.set_sync_delay(milliseconds(5));
  for (std::uint64_t number = 1; number <= 50; ++number) {
    append_one(*test_.log, test_record(number));
  }
  close();
  test_.files.crash(0, 0);
  open();
  expect_replayed(1, 50);
}

TEST_F(LogTest, AnEmptyLogOpensAgainAndAgain) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(open().appended_lsn(), 0u);
    EXPECT_EQ(test_.log->recovery().cut_bytes, 0u);
  }
  append_durably(1, 3);
  for (int i = 0; i < 5; ++i) {
    open();
    expect_replayed(1, 3);
    EXPECT_EQ(test_.log->recovery().cut_bytes, 0u);
  }
}

TEST_F(LogTest, ManyAppendsShareASync) {
  Log& log = open();
  test_.files.set_sync_delay(milliseconds(20));
  const std::uint64_t before = test_.files.operations();
  for (std::uint64_t number = 1; number <= 1000; ++number) append_one(log, test_record(number, 10));
  log.wait_durable(1000);
  EXPECT_LT(test_.files.operations() - before, 50u);
}

TEST_F(LogTest, ABatchIsWrittenWhenItsAppenderSaysSo) {
  test_.flush_on_append = false;
  Log& log = open_and_settle();
  const std::uint64_t before = test_.files.operations();
  for (std::uint64_t number = 1; number <= 10; ++number) append_one(log, test_record(number));
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_EQ(log.durable_lsn(), 0u);
  EXPECT_EQ(test_.files.operations(), before);
  log.flush();
  EXPECT_TRUE(wait_until([&] { return log.durable_lsn() == 10; }));
  EXPECT_EQ(test_.files.operations() - before, 2u) << "one write, one sync";
  log.flush();  // nothing to do
  append_one(log, test_record(11));
  log.wait_durable(11);  // who waits need not flush
  EXPECT_EQ(log.durable_lsn(), 11u);
  append_one(log, test_record(12));
  close();
  open();
  expect_replayed(1, 12);
}

TEST_F(LogTest, ABatchThatGrowsLargeIsWrittenAnyway) {
  test_.flush_on_append = false;
  test_.segment_bytes = 4 << 20;
  Log& log = open_and_settle();
  for (std::uint64_t number = 1; number <= 20; ++number) {
    append_one(log, test_record(number, 100'000));
  }
  EXPECT_TRUE(wait_until([&] { return log.durable_lsn() >= 10; }));
}

TEST_F(LogTest, AnAppenderThatWaitsForRoomFlushes) {
  test_.flush_on_append = false;
  test_.pending_bytes_max = 2000;
  Log& log = open_and_settle();
  for (std::uint64_t number = 1; number <= 100; ++number) append_one(log, test_record(number));
  log.wait_durable(100);
}

TEST_F(LogTest, SubscribersHearOfEachAdvance) {
  Log& log = open();
  std::atomic<Lsn> heard{0};
  const std::uint64_t subscription = log.subscribe([&](Lsn lsn) {
    EXPECT_GT(lsn, heard.load());
    heard = lsn;
  });
  append_durably(1, 5);
  EXPECT_TRUE(wait_until([&] { return heard == 5; }));
  log.unsubscribe(subscription);
  append_durably(6, 6);
  EXPECT_EQ(heard, 5u);
}

TEST_F(LogTest, WaitingForWhatWasNotAppendedIsAnError) {
  open();
  EXPECT_THROW(test_.log->wait_durable(1), Error);
  test_.log->wait_durable(0);
}

TEST_F(LogTest, ReadsRecordsInMemoryAndOnDisk) {
  Log& log = open();
  std::vector<Appended> appended;
  Bytes buffer;
  const auto expect_readable = [&] {
    for (std::size_t i = 0; i < appended.size(); ++i) {
      const RecordView view = log.read(appended[i].location, buffer);
      EXPECT_EQ(view.lsn, appended[i].lsn);
      EXPECT_EQ(view.location, appended[i].location);
      EXPECT_EQ(view.number, i + 1);
    }
  };
  test_.files.set_sync_delay(milliseconds(2));
  for (std::uint64_t number = 1; number <= 60; ++number) {
    appended.push_back(append_one(log, test_record(number, number % 7 == 0 ? 9000 : 100)));
    expect_readable();
  }
  log.wait_durable(60);
  expect_readable();
}

TEST_F(LogTest, RecordsOfAnObjectAreAChain) {
  test_.segment_bytes = 16 << 10;
  Log& log = open();
  std::map<ObjectNumber, Appended> last;
  for (std::uint64_t number = 1; number <= 300; ++number) {
    const ObjectNumber object = number % 3;
    const Bytes record = test_record(number, 300, object, last[object].lsn, last[object].location);
    last[object] = append_one(log, record);
  }
  Bytes buffer;
  for (const auto& [object, appended] : last) {
    int count = 0;
    for (RecordLocation at = appended.location; at != RecordLocation{};) {
      const RecordView view = log.read(at, buffer);
      EXPECT_EQ(view.object, object);
      ++count;
      at = view.previous;
    }
    EXPECT_EQ(count, 100);
  }
}

TEST_F(LogTest, ReadingWhereNoRecordIsIsAnError) {
  Log& log = open();
  append_durably(1, 1);
  Bytes buffer;
  const RecordLocation wrong{1, locations_[0].offset + 8};
  EXPECT_THROW(log.read(wrong, buffer), Error);
  EXPECT_THROW(log.read({1, 60000}, buffer), Error);
  EXPECT_THROW(log.read({1, 0xfffffff0}, buffer), Error);
  expect_error(ErrorCode::kNotFound,
               "The log segment " + TestLog::segment(9) + " is not kept any more.", [&] {
                 log.read({9, 4160}, buffer);
               });
}

TEST_F(LogTest, AGroupHasConsecutiveNumbers) {
  Log& log = open();
  const auto out = append_group(log, {test_record(1), test_record(2), test_record(3)});
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[2].lsn, 3u);
  EXPECT_TRUE(append_group(log, {}).empty());
  open();
  expect_replayed(1, 3);
}

TEST_F(LogTest, AStaleEpochAppendsNothing) {
  Log& log = open();
  const std::uint64_t epoch = log.epoch();
  const auto start = log.begin_checkpoint();
  EXPECT_EQ(start.epoch, epoch + 1);
  EXPECT_EQ(log.epoch(), epoch + 1);
  const Bytes record = test_record(1);
  const std::span<const std::byte> span(record);
  Appended out;
  EXPECT_FALSE(log.append({&span, 1}, epoch, {&out, 1}));
  EXPECT_EQ(log.appended_lsn(), 0u);
  EXPECT_TRUE(log.append({&span, 1}, epoch + 1, {&out, 1}));
}

TEST_F(LogTest, ReplayStartsAfterTheCheckpoint) {
  Log& log = open();
  append_durably(1, 10);
  EXPECT_GT(log.bytes_since_checkpoint(), 1000u);
  const auto start = log.begin_checkpoint();
  EXPECT_EQ(start.lsn, 10u);
  append_durably(11, 15);
  log.complete_checkpoint(start);
  EXPECT_LT(log.bytes_since_checkpoint(), 1000u);
  EXPECT_GT(log.bytes_since_checkpoint(), 500u);
  Log& again = open();
  expect_replayed(11, 15);
  EXPECT_EQ(again.recovery().checkpoint_lsn, 10u);
  EXPECT_GT(again.epoch(), start.epoch);
}

TEST_F(LogTest, ACheckpointBetweenAppendAndWriteIsExact) {
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    Log& log = open();
    const Lsn before = log.appended_lsn();
    test_.files.set_sync_delay(std::chrono::microseconds(300));
    for (std::uint64_t i = 1; i <= 10; ++i) append_one(log, test_record(before + i));
    const auto start = log.begin_checkpoint();
    for (std::uint64_t i = 11; i <= 15; ++i) append_one(log, test_record(before + i));
    log.complete_checkpoint(start);
    open();
    expect_replayed(before + 11, before + 15);
  }
}

TEST_F(LogTest, SegmentsAreReusedBelowTheCheckpoint) {
  Log& log = open();
  std::uint64_t number = 0;
  for (int round = 0; round < 20; ++round) {
    append_durably(number + 1, number + 30, 5000);
    number += 30;
    log.complete_checkpoint(log.begin_checkpoint());
    EXPECT_LE(test_.files.list(kTestDirectory).size(), 12u);
  }
  Bytes buffer;
  EXPECT_THROW(log.read(locations_.front(), buffer), Error);
  EXPECT_EQ(log.read(locations_.back(), buffer).number, number);
  EXPECT_TRUE(log.has_room());
  append_durably(number + 1, number + 5);
  EXPECT_GT(locations_.back().segment, 20u);
  open();
  expect_replayed(number + 1, number + 5);
  EXPECT_EQ(test_.log->recovery().cut_bytes, 0u);
}

TEST_F(LogTest, ALargeGroupGetsASegmentOfItsOwnSize) {
  Log& log = open();
  append_durably(1, 3);
  std::vector<Bytes> group;
  for (std::uint64_t number = 4; number <= 9; ++number) group.push_back(test_record(number, 50000));
  const auto out = append_group(log, group);
  EXPECT_EQ(out.front().location.segment, 2u);
  EXPECT_EQ(out.back().location.segment, 2u);
  log.wait_durable(9);
  for (std::uint64_t number = 10; number <= 12; ++number) append_one(log, test_record(number));
  log.wait_durable(12);
  Bytes buffer;
  EXPECT_EQ(log.read(out[3].location, buffer).number, 7u);
  open();
  expect_replayed(1, 12);
  // Its file becomes one of the usual size again.
  test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  append_one(*test_.log, test_record(13, 60000));
  append_one(*test_.log, test_record(14, 60000));
  test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  append_one(*test_.log, test_record(15, 60000));
  open();
  expect_replayed(15, 15);
}

TEST_F(LogTest, AGroupOfASegmentsSizeFitsInOne) {
  Log& log = open();
  const std::size_t overhead = test_record(1, 512).size() - 512;
  std::vector<Bytes> group;
  std::size_t bytes = 0;
  while (bytes + 512 + overhead <= test_.segment_bytes) {
    group.push_back(test_record(group.size() + 1, 512));
    bytes += group.back().size();
  }
  append_group(log, group);
  EXPECT_EQ(append_group(log, group).front().location.segment, 2u);
  EXPECT_TRUE(wait_until([&] { return test_.files.exists(TestLog::segment(3)); }));
  EXPECT_EQ(test_.files.open(TestLog::segment(2), FileSystem::Mode::kRead)->size(),
            test_.segment_bytes + kSegmentOverheadBytes);
}

TEST_F(LogTest, AppendWaitsAtTheLimitOfPendingBytes) {
  test_.pending_bytes_max = 10000;
  Log& log = open();
  test_.files.set_sync_delay(milliseconds(3));
  for (std::uint64_t number = 1; number <= 100; ++number) append_one(log, test_record(number, 500));
  EXPECT_GE(log.durable_lsn(), 60u);
  append_one(log, test_record(101, 20000));
  open();
  expect_replayed(1, 101);
}

TEST_F(LogTest, AppendsFromManyThreads) {
  test_.segment_bytes = 256 << 10;
  Log& log = open();
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kEach = 500;
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&log, thread] {
      Bytes buffer;
      for (std::uint64_t i = 0; i < kEach; ++i) {
        const std::uint64_t number = thread * kEach + i;
        std::vector<Appended> out;
        while (out.empty()) out = append_group(log, {test_record(number, 300)});
        if (i % 16 == 0) log.wait_durable(out.front().lsn);
        EXPECT_EQ(log.read(out.front().location, buffer).number, number);
      }
    });
  }
  std::thread checkpoints([&log] {
    for (int i = 0; i < 20; ++i) {
      log.begin_checkpoint();
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  for (std::thread& thread : threads) thread.join();
  checkpoints.join();
  open();
  EXPECT_EQ(test_.replayed.size(), kThreads * kEach);
  std::map<std::uint64_t, std::uint64_t> last;
  for (const auto& [lsn, number] : test_.replayed) {
    const auto [entry, is_new] = last.emplace(number / kEach, number);
    if (!is_new) {
      EXPECT_EQ(number, ++entry->second) << "in the order of its thread";
    }
  }
}

// Poison.

TEST_F(LogTest, AFailedSyncPoisonsTheLog) {
  Log& log = open_and_settle();
  append_durably(1, 5);
  std::atomic<int> advances{0};
  // The call for 5 may still be on its way: waiters are told before subscribers.
  log.subscribe([&](Lsn lsn) { advances += lsn > 5 ? 1 : 0; });
  test_.files.fail(Operation::kSync);
  append_one(log, test_record(6));
  const std::string message =
      "The log cannot be written, so nothing is acknowledged any more. Cannot sync " +
      TestLog::segment(1) + ": Input/output error.";
  expect_error(ErrorCode::kPoisoned, message, [&] { log.wait_durable(6); });
  EXPECT_EQ(log.durable_lsn(), 5u);
  EXPECT_EQ(advances, 0);
  expect_error(ErrorCode::kPoisoned, message, [&] { append_one(log, test_record(7)); });
  const std::uint64_t operations = test_.files.operations();
  close();
  EXPECT_EQ(test_.files.operations(), operations) << "nothing is tried again";
  EXPECT_EQ(test_.poisoned, std::vector<std::string>{message});
}

TEST_F(LogTest, AFailedWritePoisonsTheLog) {
  Log& log = open_and_settle();
  append_durably(1, 5);
  test_.files.fail(Operation::kWrite);
  append_one(log, test_record(6));
  EXPECT_THROW(log.wait_durable(6), Error);
  EXPECT_EQ(log.durable_lsn(), 5u);
  close();
  EXPECT_EQ(test_.poisoned.size(), 1u);
  test_.files.crash(0, 100);
  open();
  expect_replayed(1, 5);
}

TEST_F(LogTest, WhatAFailedSyncLeftInMemoryIsWrittenAgain) {
  Log& log = open_and_settle();
  append_durably(1, 5);
  test_.files.fail(Operation::kSync);
  append_one(log, test_record(6));
  EXPECT_THROW(log.wait_durable(6), Error);
  // The next process finds record 6 in the page cache, though the disk does not have it.
  open();
  expect_replayed(1, 6);
  EXPECT_EQ(test_.log->durable_lsn(), 6u);
  test_.files.power_off_at(1);
  close();
  test_.files.crash(0, 0);
  open();
  expect_replayed(1, 6);
}

TEST_F(LogTest, PoisonWakesAppendsThatWait) {
  test_.pending_bytes_max = 1000;
  Log& log = open_and_settle();
  test_.files.set_sync_delay(milliseconds(20));
  test_.files.fail(Operation::kSync);
  append_one(log, test_record(1, 900));
  EXPECT_THROW(append_one(log, test_record(2, 900)), Error);
}

// A full disk.

TEST_F(LogTest, AFullDiskRefusesCommitsUntilThereIsRoom) {
  const std::uint64_t segment = test_.segment_bytes + kSegmentOverheadBytes;
  Log& log = open_and_settle();
  test_.files.set_capacity(test_.files.used_bytes() + segment / 2);
  EXPECT_TRUE(log.has_room());
  std::uint64_t number = 0;
  const auto fill = [&] {
    for (;;) {
      append_one(log, test_record(number + 1, 1000));
      ++number;
    }
  };
  expect_error(ErrorCode::kFull,
               "The log has no room for the commit: Cannot allocate room for " +
                   std::string(kTestDirectory) + "/spare.tmp: No space left on device.",
               fill);
  EXPECT_FALSE(log.has_room());
  EXPECT_GT(number, 100u) << "the spare was used";
  log.wait_durable(number);
  EXPECT_TRUE(test_.poisoned.empty());
  Bytes buffer;
  EXPECT_NO_THROW(log.read({1, kSegmentHeaderBytes + kFrameHeaderBytes}, buffer));
  // A log that is full opens, too.
  open();
  expect_replayed(1, number);
  EXPECT_TRUE(wait_until([&] { return !test_.log->has_room(); }));
  test_.files.set_capacity(1 << 30);
  EXPECT_TRUE(wait_until([&] { return test_.log->has_room(); }));
  append_durably(number + 1, number + 100, 1000);
  open();
  expect_replayed(1, number + 100);
}

TEST_F(LogTest, RoomIsFoundAsSoonAsItIsThere) {
  Log& log = open_and_settle();
  test_.files.set_capacity(test_.files.used_bytes());
  std::uint64_t number = 0;
  const auto fill = [&] {
    for (;; ++number) append_one(log, test_record(number + 1, 1000));
  };
  EXPECT_THROW(fill(), Error);
  test_.files.set_capacity(1 << 30);
  // It was full a moment ago, and nobody has looked since.
  append_durably(number + 1, number + 10, 1000);
}

TEST_F(LogTest, ACheckpointMakesRoomOnAFullDisk) {
  Log& log = open_and_settle();
  test_.files.set_capacity(test_.files.used_bytes());
  std::uint64_t number = 0;
  EXPECT_THROW(
      for (;;) {
        append_one(log, test_record(number + 1, 1000));
        ++number;
      },
      Error);
  EXPECT_FALSE(log.has_room());
  log.complete_checkpoint(log.begin_checkpoint());
  EXPECT_TRUE(wait_until([&] { return log.has_room(); }));
  append_durably(number + 1, number + 50, 1000);
  open();
  expect_replayed(number + 1, number + 50);
}

TEST_F(LogTest, AGroupThatIsTooLargeForTheDiskIsRefusedAlone) {
  Log& log = open_and_settle();
  test_.files.set_capacity(test_.files.used_bytes() + 1000);
  EXPECT_THROW(append_one(log, test_record(1, 200000)), Error);
  EXPECT_EQ(log.appended_lsn(), 0u);
  EXPECT_TRUE(log.has_room());
  append_durably(1, 3);
  open();
  expect_replayed(1, 3);
}

TEST_F(LogTest, AFailureToPrepareASpareIsNotPoison) {
  Log& log = open_and_settle();
  test_.files.fail(Operation::kPreallocate, 1);
  append_durably(1, 80, 1000);
  EXPECT_TRUE(wait_until([&] { return !log.has_room(); }));
  EXPECT_TRUE(wait_until([&] { return log.has_room(); }));
  EXPECT_TRUE(test_.poisoned.empty());
}

// Torn ends and damage.

TEST_F(LogTest, AFlippedBitInTheMiddleIsDamage) {
  open();
  append_durably(1, 20);
  kill();
  test_.flip(TestLog::segment(1), locations_[9].offset + 40);
  const std::string message = "The log is damaged: frame at byte " + std::to_string(frame_of(10)) +
                              " of " + TestLog::segment(1) +
                              " does not match its checksum, and later frames show that it had "
                              "been stored." +
                              kAdvice;
  expect_open_fails(ErrorCode::kCorrupt, message);
  test_.flip(TestLog::segment(1), locations_[9].offset + 40);
  open();
  expect_replayed(1, 20);
}

TEST_F(LogTest, EveryFlippedBitBeforeTheLastFramesIsDamage) {
  open();
  append_durably(1, 6);
  kill();
  const std::uint64_t end = locations_[4].offset - kFrameHeaderBytes;
  for (std::uint64_t at = kSegmentHeaderBytes; at < end; ++at) {
    // The bytes that round a frame up to a multiple of eight have no meaning.
    bool is_padding = false;
    for (std::uint64_t number = 2; number <= 5; ++number) {
      const std::uint64_t record_end =
          locations_[number - 2].offset + kEntryHeaderBytes + test_record(number - 1).size();
      is_padding |= at >= record_end && at < frame_of(number);
    }
    if (is_padding) continue;
    test_.flip(TestLog::segment(1), at);
    try {
      open();
      ADD_FAILURE() << "byte " << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(error.what(), HasSubstr("later frames show that it had been stored"));
    }
    test_.flip(TestLog::segment(1), at);
  }
  open();
  expect_replayed(1, 6);
}

TEST_F(LogTest, ABadLastFrameIsATornEnd) {
  open();
  append_durably(1, 20);
  kill();
  test_.flip(TestLog::segment(1), locations_[19].offset + 40);
  Log& log = open();
  expect_replayed(1, 19);
  const RecoveryReport& report = log.recovery();
  EXPECT_EQ(report.cut_file, TestLog::segment(1));
  EXPECT_EQ(report.cut_offset, frame_of(20));
  EXPECT_EQ(report.cut_bytes, kFrameHeaderBytes + kEntryHeaderBytes + test_record(20).size());
  kill();
  EXPECT_EQ(open().recovery().cut_bytes, 0u) << "the cut is durable";
  expect_replayed(1, 19);
  append_durably(20, 25);
  open();
  expect_replayed(1, 25);
}

TEST_F(LogTest, AfterACleanCloseTheLastFrameIsKnownToBeDurable) {
  open();
  append_durably(1, 20);
  close();
  test_.flip(TestLog::segment(1), locations_[19].offset + 40);
  EXPECT_THROW(open(), Error);
}

class ShortenedLogTest : public LogTest, public testing::WithParamInterface<std::uint64_t> {};

TEST_P(ShortenedLogTest, IsATornEnd) {
  const std::uint64_t keep = GetParam();
  open();
  append_durably(1, 20);
  kill();
  {
    const auto file = test_.files.open(TestLog::segment(1), FileSystem::Mode::kReadWrite);
    file->truncate(frame_of(20) + keep);
    file->sync();
  }
  Log& log = open();
  expect_replayed(1, 19);
  EXPECT_EQ(log.recovery().cut_bytes, keep);
  EXPECT_EQ(log.recovery().cut_offset, keep == 0 ? 0 : frame_of(20));
  append_durably(20, 200, 1000);
  open();
  expect_replayed(1, 200);
}

INSTANTIATE_TEST_SUITE_P(Keeping, ShortenedLogTest, testing::Values(0, 5, 30, 63, 64, 100));

TEST_F(LogTest, ABadFrameAtTheEndOfAnEarlierSegmentIsDamage) {
  open();
  append_durably(1, 100, 1000);
  kill();
  std::uint64_t number = 1;
  while (locations_[number].segment == 1) ++number;  // the last one of the first segment
  test_.flip(TestLog::segment(1), locations_[number - 1].offset + 40);
  expect_open_fails(ErrorCode::kCorrupt, "The log is damaged: frame at byte " +
                                             std::to_string(frame_of(number)) + " of " +
                                             TestLog::segment(1) +
                                             " does not match its checksum, and later frames show "
                                             "that it had been stored." +
                                             kAdvice);
}

TEST_F(LogTest, TheEndOfAReusedSegmentIsClearWhereverItIs) {
  open();
  std::uint64_t number = 0;
  while (locations_.empty() || locations_.back().segment < 12) {
    append_durably(number + 1, number + 20, 3000);
    number += 20;
    test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  }
  // Frames that end less than a frame header before the end of a block, and exactly there.
  for (std::uint64_t before_block_end = 0; before_block_end < 2 * kFrameHeaderBytes;
       before_block_end += kFrameAlignment) {
    const std::uint64_t at = test_.log->begin_checkpoint().next.offset;
    Bytes record;
    std::uint64_t left = 1;
    for (std::size_t bytes = 1; left != before_block_end; ++bytes) {
      record = test_record(++number, bytes);
      const std::uint64_t end =
          round_up(at + kFrameHeaderBytes + kEntryHeaderBytes + record.size(), kFrameAlignment);
      left = round_up(end, kBlockBytes) - end;
      --number;
    }
    append_one(*test_.log, record);
    test_.log->wait_durable(++number);
    kill();
    EXPECT_EQ(open().recovery().cut_bytes, 0u) << before_block_end;
    EXPECT_EQ(test_.log->durable_lsn(), number);
  }
}

TEST_F(LogTest, ANewerVersionIsNamed) {
  open();
  append_durably(1, 3);
  close();
  const auto set_version = [&](const std::string& path, std::uint8_t version) {
    const auto file = test_.files.open(path, FileSystem::Mode::kReadWrite);
    file->write(8, Bytes(1, static_cast<std::byte>(version)));
    file->sync();
  };
  const std::string advice =
      " has format version 2, and this build of Perdure reads up to version 1. Nothing was "
      "changed. "
      "Start it with the version of Perdure that wrote it.";
  set_version(TestLog::segment(1), 2);
  expect_open_fails(ErrorCode::kVersion, "The log segment " + TestLog::segment(1) + advice);
  set_version(TestLog::segment(1), 1);
  const std::string checkpoint = std::string(kTestDirectory) + "/checkpoint";
  set_version(checkpoint, 2);
  expect_open_fails(ErrorCode::kVersion, "The checkpoint " + checkpoint + advice);
  set_version(checkpoint, 1);
  open();
  expect_replayed(1, 3);
}

TEST_F(LogTest, ADamagedCheckpointIsNamed) {
  open();
  append_durably(1, 3);
  close();
  const std::string checkpoint = std::string(kTestDirectory) + "/checkpoint";
  test_.flip(checkpoint, 41);
  expect_open_fails(ErrorCode::kCorrupt, "The log is damaged: " + checkpoint +
                                             " does not match its checksum." + kAdvice);
}

TEST_F(LogTest, AMissingCheckpointReplaysAllOrIsNamed) {
  const std::string checkpoint = std::string(kTestDirectory) + "/checkpoint";
  open();
  append_durably(1, 3);
  close();
  test_.files.remove(checkpoint);
  open();
  expect_replayed(1, 3);
  for (std::uint64_t number = 4; number < 600; number += 300) {
    append_durably(number, number + 299, 1000);
    test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  }
  EXPECT_TRUE(wait_until([&] { return !test_.files.exists(TestLog::segment(1)); }));
  close();
  test_.files.remove(checkpoint);
  expect_open_fails(ErrorCode::kCorrupt,
                    "The log is damaged: the file " + checkpoint + " is missing." + kAdvice);
}

TEST_F(LogTest, AMissingSegmentIsNamed) {
  open();
  append_durably(1, 200, 1000);
  close();
  ASSERT_TRUE(test_.files.exists(TestLog::segment(4)));
  test_.files.rename(TestLog::segment(2), "/data/log/elsewhere");
  expect_open_fails(ErrorCode::kCorrupt, "The log is damaged: the segment " + TestLog::segment(2) +
                                             " is missing, but later ones are there." + kAdvice);
  test_.files.rename("/data/log/elsewhere", TestLog::segment(2));
  test_.files.rename(TestLog::segment(1), "/data/log/elsewhere");
  expect_open_fails(ErrorCode::kCorrupt, "The log is damaged: the segment " + TestLog::segment(1) +
                                             ", in which replay starts, is missing." + kAdvice);
}

TEST_F(LogTest, ADamagedSegmentHeaderIsNamed) {
  open();
  append_durably(1, 200, 1000);
  close();
  test_.flip(TestLog::segment(2), 41);
  expect_open_fails(ErrorCode::kCorrupt, "The log is damaged: the header of " +
                                             TestLog::segment(2) +
                                             " does not match its checksum, and later frames show "
                                             "that it had been stored." +
                                             kAdvice);
  test_.flip(TestLog::segment(2), 41);
  test_.flip(TestLog::segment(1), 41);
  expect_open_fails(ErrorCode::kCorrupt, "The log is damaged: the header of " +
                                             TestLog::segment(1) + " does not match its checksum." +
                                             kAdvice);
}

TEST_F(LogTest, ASegmentOfAnotherLogIsNamed) {
  TestLog other;
  other.open();
  for (std::uint64_t number = 1; number <= 100; ++number) {
    append_one(*other.log, test_record(number, 1000));
  }
  other.log.reset();
  open();
  append_durably(1, 3);
  close();
  Bytes bytes(other.files.open(TestLog::segment(2), FileSystem::Mode::kRead)->size());
  other.files.open(TestLog::segment(2), FileSystem::Mode::kRead)->read(0, bytes);
  test_.files.open(TestLog::segment(2), FileSystem::Mode::kCreate)->write(0, bytes);
  expect_open_fails(ErrorCode::kCorrupt, "The log is damaged: the segment " + TestLog::segment(2) +
                                             " is of another log." + kAdvice);
}

TEST_F(LogTest, OtherFilesInTheDirectoryAreLeftAlone) {
  test_.files.create_directories(kTestDirectory);
  const std::string mine = std::string(kTestDirectory) + "/7.log";
  test_.files.open(mine, FileSystem::Mode::kCreate)->write(0, Bytes(10));
  open();
  append_durably(1, 200, 1000);
  test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  open();
  EXPECT_TRUE(test_.files.exists(mine));
}

TEST_F(LogTest, MutatedLogsOpenOrAreRefused) {
  open();
  append_durably(1, 60, 200);
  test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  append_durably(61, 90, 2000);
  close();
  std::map<std::string, Bytes> original;
  for (const std::string& name : test_.files.list(kTestDirectory)) {
    const auto file =
        test_.files.open(std::string(kTestDirectory) + "/" + name, FileSystem::Mode::kRead);
    Bytes bytes(file->size());
    file->read(0, bytes);
    original[name] = std::move(bytes);
  }
  std::mt19937_64 random(1);
  for (int round = 0; round < 150; ++round) {
    TestLog mutated;
    mutated.files.create_directories(kTestDirectory);
    for (const auto& [name, content] : original) {
      Bytes bytes = content;
      for (std::uint64_t edits = random() % 3; edits > 0 && !bytes.empty(); --edits) {
        const std::size_t at = random() % std::min<std::size_t>(bytes.size(), 100000);
        bytes[at] = static_cast<std::byte>(random());
      }
      if (random() % 10 == 0) bytes.resize(random() % (bytes.size() + 1));
      mutated.files.open(std::string(kTestDirectory) + "/" + name, FileSystem::Mode::kCreate)
          ->write(0, bytes);
    }
    try {
      mutated.open();
      append_one(*mutated.log, test_record(1000));
      for (std::size_t i = 0; i < mutated.replayed.size(); ++i) {
        EXPECT_EQ(mutated.replayed[i].second, 61 + i);
      }
    } catch (const Error& error) {
      EXPECT_THAT(error.code(), testing::AnyOf(ErrorCode::kCorrupt, ErrorCode::kVersion));
    }
  }
}

TEST(RealLog, AppendsRollsReusesAndRecovers) {
  std::string name = (std::filesystem::temp_directory_path() / "perdure_log.XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  LogOptions options{.file_system = &real_file_system(),
                     .directory = std::filesystem::path(name) / "log",
                     .segment_bytes = 64 << 10};
  std::uint64_t replayed = 0;
  const auto open_log = [&] {
    replayed = 0;
    return Log::open(options, [&](const RecordView&) { ++replayed; });
  };
  for (std::uint64_t round = 0; round < 4; ++round) {
    const auto log = open_log();
    EXPECT_EQ(replayed, round == 0 ? 0u : 10u);
    for (int i = 0; i < 200; ++i) append_one(*log, test_record(1, 1000));
    log->complete_checkpoint(log->begin_checkpoint());
    Appended last;
    for (int i = 0; i < 10; ++i) last = append_one(*log, test_record(1, 1000));
    log->wait_durable(last.lsn);
    EXPECT_EQ(last.lsn, (round + 1) * 210);
    Bytes buffer;
    EXPECT_EQ(log->read(last.location, buffer).lsn, last.lsn);
  }
  std::filesystem::remove_all(name);
}

TEST_F(LogTest, RefusesImpossibleOptions) {
  EXPECT_THROW(Log::open({}, {}), Error);
  test_.segment_bytes = 0;
  EXPECT_THROW(open(), Error);
  test_.segment_bytes = 1ull << 33;
  EXPECT_THROW(open(), Error);
}

}  // namespace
}  // namespace perdure::log
