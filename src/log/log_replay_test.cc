#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "log/log.h"
#include "log/log_testing.h"

// What point-in-time recovery, replication and crash recovery ask of the records: an object can be
// replayed forwards from any checkpoint and backwards to its start, and each state on the way is
// the one that was committed, byte for byte.

namespace perdure::log {
namespace {

constexpr std::size_t kObjects = 8;
constexpr int kCommits = 1500;

std::vector<std::uint32_t> pages_of(const RecordView& record) {
  std::vector<std::uint32_t> pages;
  record.for_each_page([&](std::uint32_t page, bool) { pages.push_back(page); });
  return pages;
}

void redo(const RecordView& record, State& state) {
  state.resize(std::max<std::size_t>({state.size(), record.pages_before, record.pages_after}),
               Bytes(record.page_size));
  for (const std::uint32_t page : pages_of(record)) record.redo(page, state[page - 1]);
  state.resize(record.pages_after);
}

void undo(const RecordView& record, State& state) {
  state.resize(std::max(record.pages_before, record.pages_after), Bytes(record.page_size));
  for (const std::uint32_t page : pages_of(record)) record.undo(page, state[page - 1]);
  state.resize(record.pages_before);
}

class LogReplayTest : public testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) ADD_FAILURE() << "the seed was " << seed_;
  }

  struct Start {
    Lsn lsn = 0;
    std::vector<std::size_t> commits;  // of each object by then
  };

  LogReplayTest() {
    test_.segment_bytes = 256 << 10;
    test_.open();
    for (std::size_t i = 0; i < kObjects; ++i) {
      objects_.emplace_back(i + 1, std::uint32_t{512} << i % 4);
    }
    starts_.push_back(start_now(0));
    for (int i = 0; i < kCommits; ++i) {
      objects_[random_() % kObjects].commit(*test_.log, random_);
      if (random_() % 150 == 0) checkpoint();
    }
    test_.log->wait_durable(test_.log->appended_lsn());
  }

  Start start_now(Lsn lsn) {
    Start start{lsn, {}};
    for (const RandomObject& object : objects_) start.commits.push_back(object.states().size() - 1);
    return start;
  }

  // None is completed, so that the whole log stays readable.
  void checkpoint() {
    last_checkpoint_ = test_.log->begin_checkpoint();
    starts_.push_back(start_now(last_checkpoint_.lsn));
    // Commits go on while the pages are written.
    for (int i = 0; i < 5; ++i) objects_[random_() % kObjects].commit(*test_.log, random_);
  }

  // The records of an object after `lsn`, the first one first.
  std::vector<RecordLocation> chain(const RandomObject& object, Lsn lsn) {
    std::vector<RecordLocation> result;
    Appended at = object.last();
    Bytes buffer;
    while (at.lsn > lsn) {
      result.push_back(at.location);
      const RecordView record = test_.log->read(at.location, buffer);
      EXPECT_EQ(record.lsn, at.lsn);
      at = {record.previous_lsn, record.previous};
    }
    std::reverse(result.begin(), result.end());
    return result;
  }

  void expect_forwards(const RandomObject& object, Lsn lsn, std::size_t commit) {
    State state = object.states()[commit];
    Bytes buffer;
    for (const RecordLocation& location : chain(object, lsn)) {
      const RecordView record = test_.log->read(location, buffer);
      redo(record, state);
      ASSERT_EQ(record.number, ++commit);
      ASSERT_EQ(state, object.states()[commit]);
    }
    EXPECT_EQ(commit, object.states().size() - 1) << "every commit was seen";
  }

  // Every page that changes after the checkpoint may be torn in the file.
  void expect_forwards_over_torn_pages(const RandomObject& object, Lsn lsn, std::size_t commit) {
    State state = object.states()[commit];
    std::set<std::uint32_t> torn;
    Bytes buffer;
    const std::vector<RecordLocation> locations = chain(object, lsn);
    for (const RecordLocation& location : locations) {
      for (const std::uint32_t page : pages_of(test_.log->read(location, buffer))) {
        if (page <= state.size() && torn.insert(page).second) {
          state[page - 1] = random_bytes(page, state[page - 1].size());
        }
      }
    }
    for (const RecordLocation& location : locations) {
      const RecordView record = test_.log->read(location, buffer);
      redo(record, state);
      for (const std::uint32_t page : pages_of(record)) torn.erase(page);
      const State& expected = object.states()[++commit];
      ASSERT_EQ(state.size(), expected.size());
      for (std::uint32_t page = 1; page <= state.size(); ++page) {
        if (!torn.contains(page)) {
          ASSERT_EQ(state[page - 1], expected[page - 1]);
        }
      }
    }
    EXPECT_EQ(state, object.states().back());
  }

  void expect_backwards(const RandomObject& object) {
    State state = object.states().back();
    std::size_t commit = object.states().size() - 1;
    Bytes buffer;
    for (RecordLocation at = object.last().location; at != RecordLocation{};) {
      const RecordView record = test_.log->read(at, buffer);
      ASSERT_EQ(record.number, commit);
      undo(record, state);
      ASSERT_EQ(state, object.states()[--commit]);
      at = record.previous;
    }
    EXPECT_EQ(commit, 0u);
    EXPECT_TRUE(state.empty());
  }

  const std::uint64_t seed_ = std::random_device{}();
  Random random_{seed_};
  TestLog test_;
  std::vector<RandomObject> objects_;
  std::vector<Start> starts_;
  CheckpointStart last_checkpoint_;
};

TEST_F(LogReplayTest, ForwardsFromEachCheckpoint) {
  EXPECT_GT(starts_.size(), 2u);
  for (const Start& start : starts_) {
    const std::size_t i = random_() % kObjects;
    expect_forwards(objects_[i], start.lsn, start.commits[i]);
    const std::size_t j = random_() % kObjects;
    expect_forwards_over_torn_pages(objects_[j], start.lsn, start.commits[j]);
  }
}

TEST_F(LogReplayTest, BackwardsToTheStart) {
  for (const RandomObject& object : objects_) expect_backwards(object);
}

TEST_F(LogReplayTest, TheSameAfterOpeningAgain) {
  test_.open();
  const Start& start = starts_[random_() % starts_.size()];
  const std::size_t i = random_() % kObjects;
  expect_forwards(objects_[i], start.lsn, start.commits[i]);
  expect_backwards(objects_[i]);
}

TEST_F(LogReplayTest, RecoveryBringsEveryObjectToItsLastState) {
  ASSERT_GT(starts_.size(), 1u);
  test_.log->complete_checkpoint(last_checkpoint_);
  test_.log.reset();
  const Start& start = starts_.back();
  std::vector<State> states;
  for (std::size_t i = 0; i < kObjects; ++i) {
    states.push_back(objects_[i].states()[start.commits[i]]);
  }
  const auto log = Log::open(
      test_.options(), [&](const RecordView& record) { redo(record, states[record.object - 1]); });
  EXPECT_EQ(log->recovery().checkpoint_lsn, start.lsn);
  for (std::size_t i = 0; i < kObjects; ++i) EXPECT_EQ(states[i], objects_[i].states().back());
}

}  // namespace
}  // namespace perdure::log
