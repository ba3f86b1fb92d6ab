#include "log/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "log/log_testing.h"

// Objects with random commits are taken back to each of their states.

namespace perdure::log {
namespace {

constexpr std::uint64_t kUndoBytesMax = 1 << 20;

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInvalid;
}

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
      commits_.emplace_back();
    }
  }

  void commit(std::size_t i) {
    test_.now_ms += static_cast<std::int64_t>(random_() % 3);
    objects_[i].commit(*test_.log, random_, test_.now_ms);
    commits_[i].push_back({objects_[i].last().lsn, test_.now_ms});
  }

  void checkpoint() { test_.log->complete_checkpoint(test_.log->begin_checkpoint()); }

  void commit_at_random(int count) {
    for (int i = 0; i < count; ++i) {
      commit(random_() % objects_.size());
      if (random_() % 60 == 0) checkpoint();
    }
  }

  [[nodiscard]] Undo undo(const RandomObject& object, Lsn target_lsn) {
    return test_.log->history().undo(object.number(), object.last().lsn, object.last().location,
                                     target_lsn, kUndoBytesMax);
  }

  // The LSN after which an object was at the state with this number.
  [[nodiscard]] Lsn lsn_of(std::size_t object, std::size_t commit) const {
    return commit == 0 ? 0 : commits_[object][commit - 1].lsn;
  }

  void expect_undo(std::size_t i, std::size_t commit) {
    const RandomObject& object = objects_[i];
    const Undo found = undo(object, lsn_of(i, commit));
    State state = object.states().back();
    const std::size_t now = object.states().size() - 1;
    ASSERT_EQ(found.commits, now - commit);
    ASSERT_EQ(found.pages_now, state.size());
    ASSERT_EQ(found.pages_then, object.states()[commit].size());
    state.resize(std::max(found.pages_now, found.pages_then), Bytes(object.page_size()));
    for (const auto& [page, difference] : found.pages) {
      ASSERT_LE(page, state.size());
      ASSERT_EQ(difference.size(), object.page_size());
      for (std::size_t at = 0; at < difference.size(); ++at) {
        state[page - 1][at] ^= difference[at];
      }
    }
    state.resize(found.pages_then);
    ASSERT_EQ(state, object.states()[commit]);
  }

  void expect_walk(std::size_t i) {
    const RandomObject& object = objects_[i];
    std::size_t commit = object.states().size() - 1;
    const auto end = test_.log->history().walk(
        object.number(), object.last().lsn, object.last().location, [&](const CommitInfo& info) {
          EXPECT_EQ(info.number, commit);
          EXPECT_EQ(info.lsn, lsn_of(i, commit));
          EXPECT_EQ(info.previous_lsn, lsn_of(i, commit - 1));
          EXPECT_EQ(info.time_ms, commits_[i][commit - 1].time_ms);
          EXPECT_EQ(info.page_size, object.page_size());
          EXPECT_EQ(info.pages_before, object.states()[commit - 1].size());
          EXPECT_EQ(info.pages_after, object.states()[commit].size());
          EXPECT_EQ(info.flags, commit % 3);
          --commit;
          return !HasFailure();
        });
    EXPECT_EQ(end, History::End::kBeginning);
    EXPECT_EQ(commit, 0u);
  }

  void expect_at_time(std::size_t i, std::int64_t time_ms) {
    Lsn expected = 0;
    for (const auto& [lsn, time] : commits_[i]) {
      if (time <= time_ms) expected = lsn;
    }
    EXPECT_EQ(test_.log->history().at_time(objects_[i].number(), objects_[i].last().lsn,
                                           objects_[i].last().location, time_ms),
              expected);
  }

  // Every object to some of its states, and through all of its commits.
  void expect_everything() {
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      SCOPED_TRACE("object " + std::to_string(i + 1));
      for (int count = 0; count < 30 && !HasFailure(); ++count) {
        expect_undo(i, random_() % objects_[i].states().size());
        expect_at_time(
            i, kStartMs - 1 + static_cast<std::int64_t>(random_()) % (test_.now_ms - kStartMs + 3));
      }
      expect_walk(i);
    }
  }

  struct Kept {
    Lsn lsn = 0;
    std::int64_t time_ms = 0;
  };
  static constexpr std::int64_t kStartMs = 1'700'000'000'000;

  const std::uint64_t seed_ = std::random_device{}();
  Random random_{seed_};
  TestLog test_;
  std::vector<RandomObject> objects_;
  std::vector<std::vector<Kept>> commits_;
};

TEST_F(HistoryTest, EveryObjectGoesBackToEachOfItsStates) {
  commit_at_random(600);
  expect_everything();
}

TEST_F(HistoryTest, TheSameAfterSealing) {
  commit_at_random(1500);
  expect_everything();
  checkpoint();
  test_.log->history().catch_up();
  EXPECT_GT(test_.log->history().usage().files, 3u);
  EXPECT_EQ(test_.log->history().usage().waiting_segments, 0u);
  expect_everything();
  commit_at_random(100);
  expect_everything();
}

TEST_F(HistoryTest, TheSameAfterOpeningAgain) {
  for (int i = 0; i < 3; ++i) {
    commit_at_random(300);
    if (random_() % 2 == 0) test_.log->history().catch_up();
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
  test_.log->history().catch_up();
  EXPECT_GT(test_.log->history().usage().files, 3u);
}

TEST_F(HistoryTest, AnObjectWithoutCommitsHasNoPast) {
  History& history = test_.log->history();
  EXPECT_EQ(history.walk(9, 0, {}, [](const CommitInfo&) { return true; }),
            History::End::kBeginning);
  EXPECT_EQ(history.at_time(9, 0, {}, test_.now_ms), 0u);
  EXPECT_EQ(history.undo(9, 0, {}, 0, kUndoBytesMax).commits, 0u);
  EXPECT_EQ(code_of([&] { (void)history.undo(9, 0, {}, 7, kUndoBytesMax); }), ErrorCode::kNotFound);
}

TEST_F(HistoryTest, TheHeadIsTakenBackToItself) {
  for (int i = 0; i < 5; ++i) commit(0);
  const Undo nothing = undo(objects_[0], objects_[0].last().lsn);
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
  EXPECT_EQ(code_of([&] { (void)undo(objects_[0], lsn_of(1, 3)); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { (void)undo(objects_[0], lsn_of(1, 5)); }), ErrorCode::kNotFound);
}

TEST_F(HistoryTest, AWalkStopsWhenItIsTold) {
  for (int i = 0; i < 5; ++i) commit(0);
  int visits = 0;
  const RandomObject& object = objects_[0];
  EXPECT_EQ(test_.log->history().walk(object.number(), object.last().lsn, object.last().location,
                                      [&](const CommitInfo&) { return ++visits < 3; }),
            History::End::kStopped);
  EXPECT_EQ(visits, 3);
}

TEST_F(HistoryTest, TakingBackTooManyPagesIsRefused) {
  while (objects_[0].states().back().size() < 10) commit(0);
  EXPECT_EQ(code_of([&] {
              (void)test_.log->history().undo(1, objects_[0].last().lsn,
                                              objects_[0].last().location, 0, 2048);
            }),
            ErrorCode::kFull);
}

}  // namespace
}  // namespace perdure::log
