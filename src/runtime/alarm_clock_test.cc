#include "runtime/alarm_clock.h"

#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>
#include <malloc.h>

namespace perdure::runtime {
namespace {

class AlarmClockTest : public testing::Test {
 protected:
  ObjectId id(std::uint64_t number) const { return factory_.from_name(std::to_string(number)); }

  // Takes the first alarm off.
  std::uint64_t pop() {
    const AlarmClock::Alarm first = *clock_.first();
    clock_.remove(first.id);
    return first.due_ms;
  }

  ObjectIdFactory factory_{"ns"};
  AlarmClock clock_;
};

TEST_F(AlarmClockTest, NamesTheOneThatIsDueFirst) {
  EXPECT_EQ(clock_.first(), nullptr);
  clock_.set(1, id(1), 30);
  clock_.set(2, id(2), 10);
  clock_.set(1, id(3), 20);
  ASSERT_NE(clock_.first(), nullptr);
  EXPECT_EQ(clock_.first()->id, id(2));
  EXPECT_EQ(clock_.first()->ns, 2u);
  EXPECT_EQ(clock_.first()->due_ms, 10u);
  clock_.set(2, id(2), 25);
  EXPECT_EQ(clock_.first()->id, id(3));
  clock_.remove(id(3));
  clock_.remove(id(3));
  EXPECT_FALSE(clock_.contains(id(3)));
  EXPECT_TRUE(clock_.contains(id(2)));
  EXPECT_EQ(pop(), 25u);
  EXPECT_EQ(pop(), 30u);
  EXPECT_EQ(clock_.first(), nullptr);
  EXPECT_EQ(clock_.size(), 0u);
}

TEST_F(AlarmClockTest, AgreesWithAMapWhateverHappens) {
  std::mt19937_64 random(7);
  std::map<std::uint64_t, std::uint64_t> model;
  for (int step = 0; step < 50'000; ++step) {
    const std::uint64_t object = random() % 300;
    if (random() % 3 == 0) {
      clock_.remove(id(object));
      model.erase(object);
    } else {
      const std::uint64_t due_ms = random() % 1000;
      clock_.set(1, id(object), due_ms);
      model[object] = due_ms;
    }
    ASSERT_EQ(clock_.size(), model.size());
    ASSERT_EQ(clock_.contains(id(object)), model.contains(object));
    if (model.empty()) continue;
    std::uint64_t first = UINT64_MAX;
    for (const auto& [number, due_ms] : model) first = std::min(first, due_ms);
    ASSERT_EQ(clock_.first()->due_ms, first);
  }
  std::uint64_t last = 0;
  while (clock_.first() != nullptr) {
    const std::uint64_t due_ms = pop();
    ASSERT_GE(due_ms, last);
    last = due_ms;
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(AlarmClockTest, AMillionAlarmsTakeTheMemoryThatIsPromised) {
  constexpr std::uint64_t kAlarms = 1'000'000;
  std::mt19937_64 random(7);
  const auto used = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const std::size_t before = used();
  for (std::uint64_t i = 0; i < kAlarms; ++i) {
    ObjectId::Bytes bytes{};
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    clock_.set(1, ObjectId(bytes), random() % 1'000'000);
  }
  const std::size_t each = (used() - before) / kAlarms;
  RecordProperty("bytes_per_alarm", static_cast<int>(each));
  EXPECT_LE(each, AlarmClock::kBytesPerAlarm);
}
#endif

}  // namespace
}  // namespace perdure::runtime
