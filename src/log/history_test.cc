#include "log/history.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/history_format.h"
#include "log/history_testing.h"
#include "log/log_testing.h"
#include "log/verify.h"

// Objects with random commits are taken back to each of their states, over the log and the history
// files, and whatever happens to these.

namespace perdure::log {
namespace {

constexpr const char* kHistory = "/data/history";
constexpr std::int64_t kStartMs = 1'700'000'000'000;
constexpr std::int64_t kDayMs = 24 * 60 * 60 * 1000;

class HistoryTest : public testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) ADD_FAILURE() << "the seed was " << seed_;
  }

  HistoryTest() {
    test_.segment_bytes = 64 << 10;
    test_.history.enabled = true;
    test_.now_ms = kStartMs;
    test_.open();
    for (std::size_t i = 0; i < 4; ++i) {
      objects_.emplace_back(i + 1, std::uint32_t{512} << i % 4);
    }
  }

  [[nodiscard]] History& history() { return test_.log->history(); }

  void commit(std::size_t i) {
    // Mostly forwards.
    test_.now_ms += static_cast<std::int64_t>(random_() % 4) - (random_() % 8 == 0 ? 4 : 0);
    objects_[i].commit(*test_.log, random_, test_.now_ms);
  }

  void commit_at_random(int count) {
    for (int i = 0; i < count; ++i) {
      commit(random_() % objects_.size());
      if (random_() % 60 == 0) checkpoint();
    }
  }

  void checkpoint() { test_.log->complete_checkpoint(test_.log->begin_checkpoint()); }

  // Everything but the segment that is being written becomes history.
  void seal() {
    checkpoint();
    history().catch_up();
  }

  // Every object to some of its states, and through all of its commits.
  void expect_everything() {
    for (const RandomObject& object : objects_) {
      SCOPED_TRACE("object " + std::to_string(object.number()));
      for (int count = 0; count < 30 && !HasFailure(); ++count) {
        expect_undo(history(), object, random_() % object.states().size());
        expect_at_time(
            history(), object,
            kStartMs - 10 + static_cast<std::int64_t>(random_()) % (test_.now_ms - kStartMs + 20));
      }
      const Walked walked = expect_walk(history(), object);
      EXPECT_EQ(walked.end, History::End::kBeginning);
      EXPECT_EQ(walked.oldest, 1u);
    }
  }

  // The newest part of it works as ever; returns the oldest commit of the object that is kept.
  std::size_t expect_newest_part(const RandomObject& object) {
    const Walked walked = expect_walk(history(), object);
    EXPECT_EQ(walked.end, History::End::kExpired);
    EXPECT_GT(walked.oldest, 1u);
    const std::size_t first = walked.oldest - 1;
    expect_undo(history(), object, first);
    for (int count = 0; count < 20 && !HasFailure(); ++count) {
      expect_undo(history(), object, first + random_() % (object.states().size() - first));
    }
    EXPECT_EQ(code_of([&] { (void)undo_to(history(), object, walked.oldest - 2); }),
              ErrorCode::kNotFound);
    return walked.oldest;
  }

  // The one that is written, the spare, and some for the next ones. Others are removed on a thread.
  void expect_few_segments() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (test_.files.list(kTestDirectory).size() > 12 &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_LE(test_.files.list(kTestDirectory).size(), 12u);
  }

  [[nodiscard]] std::vector<std::string> history_files() {
    return test_.files.exists(kHistory) ? test_.files.list(kHistory) : std::vector<std::string>();
  }

  const std::uint64_t seed_ = std::random_device{}();
  Random random_{seed_};
  TestLog test_;
  std::vector<RandomObject> objects_;
};

TEST_F(HistoryTest, EveryObjectGoesBackToEachOfItsStates) {
  commit_at_random(600);
  expect_everything();
}

TEST_F(HistoryTest, TheSameAfterSealing) {
  commit_at_random(1500);
  expect_everything();
  seal();
  EXPECT_GT(history().usage().files, 3u);
  EXPECT_EQ(history().usage().waiting_segments, 0u);
  expect_everything();
  commit_at_random(100);
  expect_everything();
}

TEST_F(HistoryTest, TheSameAfterOpeningAgain) {
  for (int i = 0; i < 3; ++i) {
    commit_at_random(300);
    if (random_() % 2 == 0) history().catch_up();
    test_.open();
  }
  expect_everything();
}

// While the segments become history, under the hands of who reads them.
TEST_F(HistoryTest, TheSameWhileItIsSealed) {
  for (int round = 0; round < 5; ++round) {
    commit_at_random(300);
    checkpoint();
    expect_everything();
  }
  history().catch_up();
  EXPECT_GT(history().usage().files, 3u);
}

TEST_F(HistoryTest, SegmentsThatWereSealedAreUsedAgain) {
  commit_at_random(3000);
  seal();
  EXPECT_GT(history().usage().files, 10u);
  expect_few_segments();
  std::uint64_t bytes = 0;
  for (const std::string& name : history_files()) {
    bytes += test_.files.open(std::string(kHistory) + "/" + name, FileSystem::Mode::kRead)->size();
  }
  EXPECT_EQ(history().usage().bytes, bytes);
}

TEST_F(HistoryTest, CommitsOfTheEnginesOwnDatabasesAreLeftOut) {
  test_.log.reset();
  test_.history.first_object = 3;
  test_.open();
  commit_at_random(1000);
  seal();
  EXPECT_EQ(expect_walk(history(), objects_[2]).end, History::End::kBeginning);
  const std::uint64_t kept = history().usage().commits;
  EXPECT_LE(kept, objects_[2].commits().size() + objects_[3].commits().size());
  EXPECT_GT(kept, 0u);
}

TEST_F(HistoryTest, AnObjectWithoutCommitsHasNoPast) {
  EXPECT_EQ(history().walk(9, 0, {}, [](const CommitInfo&) { return true; }),
            History::End::kBeginning);
  EXPECT_EQ(history().at_time(9, 0, {}, kStartMs), 0u);
  EXPECT_EQ(history().undo(9, 0, {}, 0, kUndoBytesMax).commits, 0u);
  EXPECT_EQ(code_of([&] { (void)history().undo(9, 0, {}, 7, kUndoBytesMax); }),
            ErrorCode::kNotFound);
}

TEST_F(HistoryTest, TheHeadIsTakenBackToItself) {
  for (int i = 0; i < 5; ++i) commit(0);
  const Undo nothing = undo_to(history(), objects_[0], 5);
  EXPECT_EQ(nothing.commits, 0u);
  EXPECT_TRUE(nothing.pages.empty());
  EXPECT_EQ(nothing.pages_now, objects_[0].states().back().size());
  EXPECT_EQ(nothing.pages_then, nothing.pages_now);
  EXPECT_EQ(nothing.page_size, objects_[0].page_size());
}

TEST_F(HistoryTest, ACommitOfAnotherObjectIsRefused) {
  for (int i = 0; i < 5; ++i) {
    commit(0);
    commit(1);
  }
  const auto undo = [&](Lsn target) {
    const Appended head = objects_[0].last();
    (void)history().undo(1, head.lsn, head.location, target, kUndoBytesMax);
  };
  EXPECT_EQ(code_of([&] { undo(objects_[1].lsn_of(3)); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { undo(objects_[1].lsn_of(5)); }), ErrorCode::kNotFound);
}

TEST_F(HistoryTest, AHeadThatIsNotThereIsDamage) {
  commit_at_random(1000);
  seal();
  const auto& commits = objects_[0].commits();
  for (const std::size_t i : {std::size_t{3}, commits.size() - 1}) {
    const Appended at = commits[i].at;
    const auto walk = [&](ObjectNumber object, Lsn lsn) {
      history().walk(object, lsn, at.location, [](const CommitInfo&) { return true; });
    };
    EXPECT_EQ(code_of([&] { walk(1, at.lsn + 1'000'000); }), ErrorCode::kCorrupt);
    EXPECT_EQ(code_of([&] { walk(2, at.lsn); }), ErrorCode::kCorrupt);
  }
}

TEST_F(HistoryTest, AWalkStopsWhenItIsTold) {
  for (int i = 0; i < 5; ++i) commit(0);
  int visits = 0;
  const Appended head = objects_[0].last();
  EXPECT_EQ(
      history().walk(1, head.lsn, head.location, [&](const CommitInfo&) { return ++visits < 3; }),
      History::End::kStopped);
  EXPECT_EQ(visits, 3);
}

// Whoever has asked may be gone.
TEST_F(HistoryTest, WhatFollowsAChainEndsWhenItIsTold) {
  commit_at_random(2000);
  seal();
  const RandomObject& object = objects_[0];
  const Appended head = object.last();
  const auto expect_stops = [&](const std::function<void(const StopCheck&)>& run) {
    std::uint64_t asked = 0;
    run([&] {
      ++asked;
      return false;
    });
    EXPECT_GE(asked, history().usage().files);
    for (std::uint64_t end = 1; end <= asked; end += 1 + asked / 20) {
      std::uint64_t count = 0;
      EXPECT_THROW(run([&] { return ++count == end; }), Stopped);
      EXPECT_EQ(count, end);
    }
  };
  expect_stops([&](const StopCheck& stopped) {
    history().walk(
        1, head.lsn, head.location, [](const CommitInfo&) { return true; }, stopped);
  });
  expect_stops([&](const StopCheck& stopped) {
    (void)history().undo(1, head.lsn, head.location, 0, kUndoBytesMax, stopped);
  });
  expect_stops([&](const StopCheck& stopped) {
    (void)history().at_time(1, head.lsn, head.location, kStartMs - 1, stopped);
  });
}

TEST_F(HistoryTest, TakingBackTooManyPagesIsRefused) {
  while (objects_[0].states().back().size() < 10) commit(0);
  const Appended head = objects_[0].last();
  EXPECT_EQ(code_of([&] { (void)history().undo(1, head.lsn, head.location, 0, 2048); }),
            ErrorCode::kFull);
}

// ---- retention

TEST_F(HistoryTest, WhatIsOldIsRemovedAndTheRoomIsGivenBack) {
  commit_at_random(1500);
  const std::int64_t first_half_ms = test_.now_ms;
  seal();
  const std::size_t files = history_files().size();
  const std::uint64_t used = test_.files.used_bytes();
  ASSERT_GT(files, 3u);
  EXPECT_EQ(history().earliest_ms(), test_.now_ms - 30 * kDayMs);

  test_.now_ms += 20 * kDayMs;
  commit_at_random(1500);
  seal();
  EXPECT_GT(history_files().size(), files) << "20 days are not enough";
  const std::int64_t second_half_ms = first_half_ms + 20 * kDayMs;

  test_.now_ms += 15 * kDayMs;
  history().catch_up();
  EXPECT_LE(history().earliest_ms(), second_half_ms + 10);
  EXPECT_LT(history().usage().files, 2 * files);
  EXPECT_GT(history().usage().files, 0u);
  EXPECT_EQ(history_files().size(), history().usage().files);
  for (const RandomObject& object : objects_) expect_newest_part(object);
  EXPECT_EQ(code_of([&] { (void)find_time(history(), objects_[0], kStartMs); }),
            ErrorCode::kNotFound);
  for (std::int64_t i = 0; i < 100; ++i) {
    expect_at_time(history(), objects_[0], second_half_ms + 10 + i);
  }

  test_.now_ms += 30 * kDayMs;
  history().catch_up();
  EXPECT_EQ(history_files().size(), 0u);
  EXPECT_LT(test_.files.used_bytes(), used);
}

// Otherwise what is kept would seem to have lost the one that went before it.
TEST_F(HistoryTest, WhatCannotBeRemovedKeepsWhatIsNewer) {
  commit_at_random(1500);
  seal();
  const auto files = history_files();
  ASSERT_GT(files.size(), 3u);
  test_.now_ms += 31 * kDayMs;
  commit_at_random(10);
  test_.files.fail(SimulatedFileSystem::Operation::kRemove, 2);  // of the second of them
  testing::internal::CaptureStderr();
  history().catch_up();
  EXPECT_NE(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(history_files().size(), files.size() - 1);
  EXPECT_EQ(history().usage().files, files.size() - 1);
  EXPECT_THAT(verify_log(test_.files, kTestDirectory).damages, testing::IsEmpty());
  history().catch_up();
  EXPECT_EQ(history_files().size(), 0u);
}

TEST_F(HistoryTest, WhatIsOldTakesWhatIsOlderAlongWhateverTheClockWas) {
  test_.now_ms += 10 * kDayMs;
  commit_at_random(700);
  seal();
  const std::size_t ahead = history_files().size();
  ASSERT_GT(ahead, 1u);
  test_.now_ms -= 10 * kDayMs;  // somebody has set the clock
  commit_at_random(700);
  seal();
  ASSERT_GT(history_files().size(), ahead);
  test_.now_ms += 31 * kDayMs;
  commit_at_random(700);
  seal();
  for (const std::string& name : history_files()) EXPECT_GT(*parse_history_name(name), ahead);
  EXPECT_GT(history_files().size(), 1u);
}

TEST_F(HistoryTest, TheOldestGoesWhenAllAreTooLarge) {
  test_.log.reset();
  test_.history.bytes_max = 100'000;
  test_.open();
  for (int round = 0; round < 4; ++round) {
    commit_at_random(1000);
    seal();
    EXPECT_LE(history().usage().bytes, 100'000u);
  }
  for (const RandomObject& object : objects_) expect_newest_part(object);
  EXPECT_GT(history().earliest_ms(), kStartMs);
  EXPECT_EQ(code_of([&] { (void)find_time(history(), objects_[0], kStartMs); }),
            ErrorCode::kNotFound);
  expect_at_time(history(), objects_[0], history().earliest_ms() + 10);
}

TEST_F(HistoryTest, WithoutHistoryNothingIsKept) {
  test_.log.reset();
  test_.history.enabled = false;
  test_.open();
  commit_at_random(1000);
  seal();
  EXPECT_FALSE(test_.files.exists(kHistory));
  expect_few_segments();
  expect_newest_part(objects_[0]);
}

TEST_F(HistoryTest, AGapWhereHistoryWasOff) {
  commit_at_random(1000);
  seal();
  test_.log.reset();
  test_.history.enabled = false;
  test_.open();
  commit_at_random(1000);
  seal();
  test_.log.reset();
  test_.history.enabled = true;
  test_.open();
  const std::int64_t again_ms = test_.now_ms;
  commit_at_random(1000);
  seal();
  for (const RandomObject& object : objects_) {
    EXPECT_GT(expect_newest_part(object), object.commits().size() / 2);
  }
  EXPECT_GT(history().earliest_ms(), kStartMs + (again_ms - kStartMs) / 2);
}

// ---- damage

TEST_F(HistoryTest, AMissingFileEndsTheHistory) {
  commit_at_random(2000);
  seal();
  std::set<std::uint64_t> missing;
  for (const bool is_running : {true, false}) {
    if (!is_running) test_.log.reset();
    const auto files = history_files();
    const std::string& name = files[files.size() / 2];
    test_.files.remove(std::string(kHistory) + "/" + name);
    missing.insert(*parse_history_name(name));
    if (!is_running) test_.open();
    for (const RandomObject& object : objects_) {
      const bool is_touched = std::any_of(
          object.commits().begin(), object.commits().end(),
          [&](const auto& commit) { return missing.contains(commit.at.location.segment); });
      if (is_touched) {
        expect_newest_part(object);
      } else {
        EXPECT_EQ(expect_walk(history(), object).end, History::End::kBeginning);
      }
    }
  }
  EXPECT_GT(history().earliest_ms(), kStartMs);
  commit_at_random(300);
  seal();
}

TEST_F(HistoryTest, ADamagedFileIsNamedAndNothingElseBreaks) {
  commit_at_random(2000);
  seal();
  expect_few_segments();
  test_.log.reset();
  // Of a segment that is not there any more, from which it would be made again.
  const auto& commits = objects_[0].commits();
  const auto damaged = std::find_if(commits.begin(), commits.end(), [&](const auto& commit) {
    const auto number = static_cast<int>(commit.at.location.segment);
    return !test_.files.exists(TestLog::segment(number));
  });
  ASSERT_NE(damaged, commits.end());
  const std::string path = history_path(kHistory, damaged->at.location.segment).string();
  for (const std::uint64_t at : {std::uint64_t{40}, std::uint64_t{kHistoryHeaderBytes + 30}}) {
    test_.flip(path, at);
    test_.open();
    const Appended head = objects_[0].last();
    try {
      history().walk(1, head.lsn, head.location, [](const CommitInfo&) { return true; });
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(error.what(), testing::HasSubstr(path));
    }
    expect_undo(history(), objects_[0], objects_[0].commits().size() - 5);
    commit_at_random(200);
    seal();
    test_.log.reset();
    test_.flip(path, at);
  }
  test_.open();
  expect_everything();
}

TEST_F(HistoryTest, ADamagedSegmentStaysAndTheOthersAreSealed) {
  commit_at_random(300);
  checkpoint();
  history().catch_up();
  while (objects_[0].commits().empty()) commit(0);
  // Into the segment that is being written, which goes below the checkpoint later.
  commit(0);
  const RecordLocation place = objects_[0].last().location;
  // With the next frame the end of the last block is written again.
  for (int i = 0; i < 30; ++i) commit(i % 4);
  test_.log->wait_durable(test_.log->appended_lsn());
  test_.flip(TestLog::segment(static_cast<int>(place.segment)), place.offset + 50);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 800; ++i) commit(i % 4);
  seal();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, testing::HasSubstr(TestLog::segment(static_cast<int>(place.segment))));
  EXPECT_EQ(history().usage().waiting_segments, 1u);
  EXPECT_GT(history().usage().files, 2u);
  EXPECT_EQ(code_of([&] { (void)undo_to(history(), objects_[0], 0); }), ErrorCode::kCorrupt);
  expect_undo(history(), objects_[0], objects_[0].commits().size() - 50);
}

// ---- a full disk

TEST_F(HistoryTest, OnAFullDiskTheHistoryWaitsAndCommitsGoOn) {
  for (int i = 0; i < 300; ++i) commit(random_() % 4);
  // To where the segment has room for one more, and the next one is ready.
  do {
    commit(0);
  } while (objects_[0].last().location.offset > 20'000);
  test_.log->wait_durable(test_.log->appended_lsn());
  const auto spare = static_cast<int>(objects_[0].last().location.segment) + 1;
  while (!test_.files.exists(TestLog::segment(spare))) std::this_thread::yield();
  test_.files.set_capacity(test_.files.used_bytes());
  testing::internal::CaptureStderr();
  seal();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("No space left"));
  EXPECT_GT(history().usage().waiting_segments, 0u);
  EXPECT_EQ(history_files(), std::vector<std::string>());
  expect_everything();
  EXPECT_TRUE(test_.log->has_room());
  commit(0);
  test_.log->wait_durable(test_.log->appended_lsn());
  test_.files.set_capacity(1 << 30);
  seal();
  EXPECT_EQ(history().usage().waiting_segments, 0u);
  expect_everything();
}

TEST_F(HistoryTest, WhereNoCommitHasRoomTheOldestHistoryIsGivenUp) {
  commit_at_random(1500);
  seal();
  const std::uint64_t files = history().usage().files;
  ASSERT_GT(files, 3u);
  test_.files.set_capacity(test_.files.used_bytes() + 10'000);
  testing::internal::CaptureStderr();
  int commits = 0;
  for (; commits < 2000; ++commits) {
    try {
      commit(random_() % 2);  // with small pages: none is larger than a segment
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kFull);
      break;
    }
    if (commits % 100 == 0) checkpoint();
  }
  EXPECT_EQ(commits, 2000) << "history makes room for commits";
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("was given up"));
  test_.files.set_capacity(1 << 30);
  test_.open();
  seal();
  for (std::size_t i = 0; i < 2; ++i) expect_newest_part(objects_[i]);
}

TEST_F(HistoryTest, RoomCanBeAskedFor) {
  commit_at_random(1500);
  seal();
  testing::internal::CaptureStderr();
  const std::uint64_t files = history().usage().files;
  const std::uint64_t used = test_.files.used_bytes();
  EXPECT_TRUE(history().give_up_oldest());
  EXPECT_EQ(history().usage().files, files - 1);
  EXPECT_LT(test_.files.used_bytes(), used);
  while (history().give_up_oldest()) {
  }
  EXPECT_EQ(history().usage().files, 0u);
  EXPECT_EQ(history_files().size(), 0u);
  testing::internal::GetCapturedStderr();
}

// ---- crashes

// The power goes off at each operation of a short life with commits, checkpoints and sealing; then
// the life goes on. No commit that is there has lost its past.
class HistoryCrashTest : public testing::TestWithParam<int> {};

TEST_P(HistoryCrashTest, NothingIsLostAtAnyOperation) {
  bool was_hit = true;
  for (std::uint64_t step = 1; was_hit && !HasFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    Random random(step);
    TestLog test;
    test.segment_bytes = 8 << 10;
    test.history.enabled = true;
    std::vector<RandomObject> objects;
    for (ObjectNumber i = 1; i <= 2; ++i) objects.emplace_back(i, 512);
    const auto live = [&] {
      for (int i = 0; i < 60; ++i) {
        objects[random() % 2].commit(*test.log, random);
        test.log->wait_durable(test.log->appended_lsn());
        if (i % 20 != 19) continue;
        test.log->complete_checkpoint(test.log->begin_checkpoint());
        if (random() % 2 == 0) test.log->history().catch_up();
      }
    };
    testing::internal::CaptureStderr();
    test.files.power_off_at(step);
    try {
      test.open();
      live();
    } catch (const Error&) {
      // The power is off.
    }
    test.log.reset();
    was_hit = test.files.is_power_off();
    test.files.crash(step * 10 + static_cast<std::uint64_t>(GetParam()));
    test.open();
    const auto expect_everything = [&] {
      for (const RandomObject& object : objects) {
        EXPECT_EQ(expect_walk(test.log->history(), object).end, History::End::kBeginning);
        expect_undo(test.log->history(), object, random() % object.states().size());
      }
    };
    for (RandomObject& object : objects) object.forget_after(test.log->durable_lsn());
    expect_everything();
    for (const Damage& damage : verify_log(test.files, kTestDirectory).damages) {
      ADD_FAILURE() << damage.file << " " << damage.problem;
    }
    live();
    test.log->complete_checkpoint(test.log->begin_checkpoint());
    test.log->history().catch_up();
    EXPECT_EQ(test.log->history().usage().waiting_segments, 0u);
    EXPECT_FALSE(test.files.exists(std::string(kHistory) + "/" + kHistoryTempName));
    expect_everything();
    testing::internal::GetCapturedStderr();
  }
}
INSTANTIATE_TEST_SUITE_P(Fates, HistoryCrashTest, testing::Range(0, 3));

}  // namespace
}  // namespace perdure::log
