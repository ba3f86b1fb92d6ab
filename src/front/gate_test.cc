#include "front/gate.h"

#include <gtest/gtest.h>
#include <poll.h>

#include "front/test_server.h"

namespace perdure::front {
namespace {

bool is_readable(const Waker& waker) {
  pollfd descriptor{waker.descriptor(), POLLIN, 0};
  return ::poll(&descriptor, 1, 0) == 1;
}

TEST(Gate, WithoutALogEverythingIsOpen) {
  Waker waker;
  Gate gate(nullptr, waker);
  EXPECT_TRUE(gate.is_open(1'000'000));
  EXPECT_TRUE(gate.prepare_sleep());
}

TEST(Gate, ReleasesInTheOrderOfTheLog) {
  FakeDurability log;
  log.advance(3);
  Waker waker;
  Gate gate(&log, waker);
  EXPECT_TRUE(gate.is_open(3));
  EXPECT_FALSE(gate.is_open(4));
  gate.wait(6, 60);
  gate.wait(4, 40);
  gate.wait(5, 50);
  log.advance(5);
  std::vector<RequestId> released;
  gate.release(released);
  EXPECT_EQ(released, (std::vector<RequestId>{40, 50}));
  EXPECT_TRUE(gate.is_open(5));
}

TEST(Gate, WakesOnlyForWhatSomebodyWaitsFor) {
  FakeDurability log;
  Waker waker;
  Gate gate(&log, waker);
  gate.wait(5, 1);
  ASSERT_TRUE(gate.prepare_sleep());
  ASSERT_TRUE(waker.try_sleep());
  log.advance(4);
  EXPECT_FALSE(is_readable(waker));
  log.advance(5);
  EXPECT_TRUE(is_readable(waker));
}

TEST(Gate, DoesNotSleepOverAnAdvanceItMissed) {
  FakeDurability log;
  Waker waker;
  Gate gate(&log, waker);
  gate.wait(5, 1);
  log.advance(5);
  EXPECT_FALSE(gate.prepare_sleep());
  std::vector<RequestId> released;
  gate.release(released);
  EXPECT_EQ(released.size(), 1u);
  EXPECT_TRUE(gate.prepare_sleep());
}

TEST(Waker, SignalsBetweenAwakeAndSleepAreNotLost) {
  Waker waker;
  waker.awake();
  waker.signal();
  EXPECT_FALSE(waker.try_sleep());
  EXPECT_FALSE(is_readable(waker));  // nobody slept, so it cost nothing
  waker.awake();
  EXPECT_TRUE(waker.try_sleep());
  waker.signal();
  EXPECT_TRUE(is_readable(waker));
}

}  // namespace
}  // namespace perdure::front
