#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/error_testing.h"
#include "log/history.h"
#include "log/log_testing.h"

// What the past of a random object is to be.

namespace perdure::log {

inline constexpr std::uint64_t kUndoBytesMax = 1 << 20;

inline Undo undo_to(History& history, const RandomObject& object, std::size_t commit) {
  const Appended head = object.last();
  return history.undo(object.number(), head.lsn, head.location, object.lsn_of(commit),
                      kUndoBytesMax);
}

// Takes the object back to the state after one of its commits.
inline void expect_undo(History& history, const RandomObject& object, std::size_t commit) {
  const Undo found = undo_to(history, object, commit);
  State state = object.states().back();
  ASSERT_EQ(found.commits, object.states().size() - 1 - commit);
  if (found.commits == 0) {
    ASSERT_TRUE(found.pages.empty());
    return;
  }
  ASSERT_EQ(found.pages_now, state.size());
  ASSERT_EQ(found.pages_then, object.states()[commit].size());
  state.resize(std::max(found.pages_now, found.pages_then), Bytes(object.page_size()));
  for (const auto& [page, difference] : found.pages) {
    ASSERT_LE(page, state.size());
    ASSERT_EQ(difference.size(), object.page_size());
    for (std::size_t at = 0; at < difference.size(); ++at) state[page - 1][at] ^= difference[at];
  }
  state.resize(found.pages_then);
  ASSERT_EQ(state, object.states()[commit]);
}

// Walks through all that is kept; returns the number of the oldest commit, and how it ended.
struct Walked {
  std::size_t oldest = 0;
  History::End end = History::End::kStopped;
};
inline Walked expect_walk(History& history, const RandomObject& object) {
  std::size_t commit = object.states().size() - 1;
  const Appended head = object.last();
  const auto end =
      history.walk(object.number(), head.lsn, head.location, [&](const CommitInfo& info) {
        EXPECT_EQ(info.number, commit);
        EXPECT_EQ(info.lsn, object.lsn_of(commit));
        EXPECT_EQ(info.previous_lsn, object.lsn_of(commit - 1));
        EXPECT_EQ(info.time_ms, object.commits()[commit - 1].time_ms);
        EXPECT_EQ(info.page_size, object.page_size());
        EXPECT_EQ(info.pages_before, object.states()[commit - 1].size());
        EXPECT_EQ(info.pages_after, object.states()[commit].size());
        EXPECT_EQ(info.flags, commit % 3);
        --commit;
        return !testing::Test::HasFailure();
      });
  return {commit + 1, end};
}

inline Lsn find_time(History& history, const RandomObject& object, std::int64_t time_ms) {
  const Appended head = object.last();
  return history.at_time(object.number(), head.lsn, head.location, time_ms);
}

// The first from the head backwards that is not newer.
inline void expect_at_time(History& history, const RandomObject& object, std::int64_t time_ms) {
  std::size_t commit = object.commits().size();
  while (commit > 0 && object.commits()[commit - 1].time_ms > time_ms) --commit;
  EXPECT_EQ(find_time(history, object, time_ms), object.lsn_of(commit));
}

}  // namespace perdure::log
