#include "log/recent_files.h"

#include <gtest/gtest.h>

namespace perdure::log {
namespace {

class RecentFilesTest : public testing::Test {
 protected:
  RecentFilesTest() {
    for (int i = 1; i <= 3; ++i)
      files_.put(static_cast<std::uint64_t>(i), std::make_shared<int>(i));
  }

  // 0: it is not there.
  int found(std::uint64_t number) {
    const std::shared_ptr<int> file = files_.find(number);
    return file ? *file : 0;
  }

  RecentFiles<int> files_{3};
};

TEST_F(RecentFilesTest, EachIsFoundByItsNumber) {
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(found(static_cast<std::uint64_t>(i)), i);
  EXPECT_EQ(found(4), 0);
}

TEST_F(RecentFilesTest, TheOneNotUsedForLongestGoes) {
  EXPECT_EQ(found(1), 1);
  files_.put(4, std::make_shared<int>(4));
  EXPECT_EQ(found(2), 0);
  files_.put(5, std::make_shared<int>(5));
  EXPECT_EQ(found(3), 0);
  EXPECT_EQ(found(1), 1);
  EXPECT_EQ(found(4), 4);
  EXPECT_EQ(found(5), 5);
}

TEST_F(RecentFilesTest, ANumberIsThereOnce) {
  files_.put(2, std::make_shared<int>(20));
  EXPECT_EQ(found(1), 1) << "nothing had to go for it";
  EXPECT_EQ(found(2), 20);
  files_.forget(2);
  EXPECT_EQ(found(2), 0);
}

TEST_F(RecentFilesTest, WhoHasAFileKeepsIt) {
  const std::shared_ptr<int> file = files_.find(1);
  files_.forget(1);
  EXPECT_EQ(found(1), 0);
  EXPECT_EQ(*file, 1);
}

}  // namespace
}  // namespace perdure::log
