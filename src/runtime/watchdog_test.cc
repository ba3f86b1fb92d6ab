#include "runtime/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::runtime {
namespace {

using std::chrono::milliseconds;
using ::testing::Optional;

class FakeThread : public WatchedThread {
 public:
  void ping() override { ++pings; }
  [[nodiscard]] std::uint32_t turn() const override { return turns; }
  [[nodiscard]] std::string describe() const override {
    if (turn_ends_while_described) ++turns;
    return what;
  }

  std::atomic<int> pings = 0;
  mutable std::atomic<std::uint32_t> turns = 0;
  bool turn_ends_while_described = false;
  std::string what = "Counter \"a\": spin()";
};

struct WatchTest : ::testing::Test {
  auto look_at(int ms) { return watch.look(WatchdogClock::time_point(milliseconds(ms))); }

  FakeThread thread;
  Watch watch{thread, milliseconds(1000)};
};

TEST_F(WatchTest, SaysNothingOfAThreadThatAnswers) {
  for (int ms = 0; ms < 10'000; ms += 250) {
    EXPECT_EQ(look_at(ms), std::nullopt);
    EXPECT_EQ(thread.pings, ms / 250 + 1);
    watch.answer();
  }
}

TEST_F(WatchTest, ReportsABlockedTurnOnceAndItsEnd) {
  EXPECT_EQ(look_at(0), std::nullopt);
  EXPECT_EQ(look_at(999), std::nullopt);
  EXPECT_THAT(look_at(1000),
              Optional(std::string("Counter \"a\": spin() has run for 1.0 s without giving way; "
                                   "nothing else runs on its thread.")));
  EXPECT_EQ(look_at(2000), std::nullopt);
  EXPECT_EQ(thread.pings, 1) << "a thread that has not answered is not asked again";
  watch.answer();
  EXPECT_THAT(look_at(7250),
              Optional(std::string("Counter \"a\": spin() has given way after 7.2 s.")));
  EXPECT_EQ(thread.pings, 2);
  EXPECT_EQ(look_at(8000), std::nullopt);
  EXPECT_NE(look_at(8250), std::nullopt) << "and the next one";
}

TEST_F(WatchTest, DoesNotCountTheTimeInWhichTheProcessWasStopped) {
  EXPECT_EQ(look_at(0), std::nullopt);
  watch.forgive(milliseconds(60'000));
  EXPECT_EQ(look_at(60'999), std::nullopt);
  EXPECT_NE(look_at(61'000), std::nullopt);
}

TEST_F(WatchTest, ManyShortTurnsThatLeaveNoTimeForAnAnswerAreNone) {
  EXPECT_EQ(look_at(0), std::nullopt);
  for (int ms = 250; ms < 10'000; ms += 250) {
    ++thread.turns;
    EXPECT_EQ(look_at(ms), std::nullopt);
  }
}

TEST_F(WatchTest, ABlockedTurnEndsWhenAnotherBegins) {
  look_at(0);
  ASSERT_NE(look_at(1500), std::nullopt);
  ++thread.turns;
  thread.what = "Counter \"b\": spin()";
  EXPECT_THAT(look_at(1750),
              Optional(std::string("Counter \"a\": spin() has given way after 1.8 s.")));
  EXPECT_EQ(look_at(2500), std::nullopt);
  EXPECT_NE(look_at(2750), std::nullopt);
}

TEST_F(WatchTest, NamesNobodyWhenTheTurnEndsMeanwhile) {
  look_at(0);
  thread.turn_ends_while_described = true;
  EXPECT_EQ(look_at(1500), std::nullopt);
  EXPECT_EQ(look_at(1750), std::nullopt) << "there is no end to tell either";
}

TEST(WatchdogTest, WatchesSeveralThreadsUntilTheyAreUnwatched) {
  std::mutex mutex;
  std::condition_variable printed;
  std::vector<std::string> lines;
  Watchdog watchdog([&](const std::string& line) {
    const std::scoped_lock lock(mutex);
    lines.push_back(line);
    printed.notify_all();
  });
  for (int round = 0; round < 3; ++round) {
    FakeThread first;
    FakeThread second;
    second.what = "Counter \"b\": wait()";
    watchdog.watch(first, milliseconds(5));
    watchdog.watch(second, milliseconds(10));
    {
      std::unique_lock lock(mutex);
      printed.wait(lock, [&] { return lines.size() == 2; });
      EXPECT_THAT(lines, ::testing::UnorderedElementsAre(
                             ::testing::StartsWith("Counter \"a\": spin() has run for "),
                             ::testing::StartsWith("Counter \"b\": wait() has run for ")));
      lines.clear();
    }
    watchdog.unwatch(first);
    watchdog.unwatch(second);
  }
}

}  // namespace
}  // namespace perdure::runtime
