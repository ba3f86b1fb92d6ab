// The past of objects as operators look at it: without touching the objects.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "runtime/point_in_time_testing.h"
#include "store/read_view.h"
#include "store/view_database.h"

namespace perdure::runtime {
namespace {

using store::testing::message_of;
using ::testing::HasSubstr;

class PastTest : public testing::PointInTimeFixture {
 protected:
  PastTest() { open(); }

  Lsn put(int value) {
    return commit_sql("a",
                      "CREATE TABLE IF NOT EXISTS t(i, filling); DELETE FROM t; INSERT INTO t "
                      "VALUES (" +
                          std::to_string(value) + ", zeroblob(" + std::to_string(value * 3000) +
                          "))");
  }

  std::string seen_at(const std::string& bookmark) {
    const ObjectId a = id("a");
    store::ViewDatabase view(point_in_time().view({ns_, a, "a"}, bookmark));
    store::Statement statement = view.prepare("SELECT i || ':' || length(filling) FROM t");
    EXPECT_TRUE(view.step(statement));
    std::string text = reinterpret_cast<const char*>(sqlite3_column_text(statement.handle(), 0));
    store::Statement check = view.prepare("PRAGMA integrity_check");
    EXPECT_TRUE(view.step(check));
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(sqlite3_column_text(check.handle(), 0))),
              "ok");
    return text;
  }

  PointInTime point_in_time() { return PointInTime(*store_, *catalog_); }
};

TEST_F(PastTest, ShowsEachStateWhileTheObjectGoesOn) {
  std::vector<std::string> bookmarks;
  for (const int value : {5, 1, 7, 2}) {
    put(value);
    bookmarks.push_back(bookmark("a"));
  }
  store_->checkpoint();
  EXPECT_EQ(seen_at(bookmarks[0]), "5:15000");
  EXPECT_EQ(seen_at(bookmarks[1]), "1:3000");
  EXPECT_EQ(seen_at(bookmarks[2]), "7:21000");
  EXPECT_EQ(seen_at(bookmarks[3]), "2:6000");
  const ObjectId a = id("a");
  store::ViewDatabase old(point_in_time().view({ns_, a, "a"}, bookmarks[0]));
  put(9);
  store::Statement statement = old.prepare("SELECT i FROM t");
  EXPECT_TRUE(old.step(statement));
  EXPECT_EQ(sqlite3_column_int(statement.handle(), 0), 5);
  EXPECT_EQ(query("a", "SELECT i FROM t"), "9");
}

TEST_F(PastTest, EndsWhenItIsTold) {
  put(1);
  const std::string then = bookmark("a");
  put(2);
  PointInTime stopped(*store_, *catalog_, [] { return true; });
  const ObjectId a = id("a");
  const PastOf object{ns_, a, "a"};
  EXPECT_THROW((void)stopped.past(object, 10), Stopped);
  EXPECT_THROW((void)stopped.plan(object, then), Stopped);
  EXPECT_THROW((void)stopped.view(object, then), Stopped);
  EXPECT_THROW((void)stopped.schedule(object, then), Stopped);
  EXPECT_THROW((void)stopped.at_time(object, clock_ms_), Stopped);
  EXPECT_FALSE(catalog_->find_restore(ns_, a));
}

TEST_F(PastTest, PlansARestoreWithoutMakingIt) {
  put(1);
  const std::string first = bookmark("a");
  put(2);
  const Lsn last = put(3);
  const ObjectId a = id("a");
  const auto plan = point_in_time().plan({ns_, a, "a"}, first);
  EXPECT_EQ(plan.commits, 2u);
  EXPECT_GE(plan.changed_pages, 1u);
  EXPECT_LT(plan.target_lsn, last);
  const auto nothing = point_in_time().plan({ns_, a, "a"}, bookmark("a"));
  EXPECT_EQ(nothing.commits, 0u);
  EXPECT_EQ(nothing.target_lsn, last);
  EXPECT_THAT(message_of([&] {
                static_cast<void>(point_in_time().plan({ns_, a, "a"}, "nonsense"));
              }),
              HasSubstr("nonsense"));
  leave("a");
  EXPECT_EQ(query("a", "SELECT i FROM t"), "3");
  EXPECT_EQ(bookmark("a"), point_in_time().current({ns_, a, "a"}).text());
}

TEST_F(PastTest, ListsCommitsWithTheirBookmarks) {
  std::vector<std::string> bookmarks;
  for (const int value : {1, 2, 3}) {
    put(value);
    bookmarks.push_back(bookmark("a"));
    clock_ms_ += 1000;
  }
  const ObjectId a = id("a");
  const auto all = point_in_time().past({ns_, a, "a"}, 100);
  EXPECT_EQ(all.end, log::History::End::kBeginning);
  ASSERT_EQ(all.commits.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(all.commits[i].bookmark.text(), bookmarks[2 - i]);
    EXPECT_EQ(all.commits[i].commit.time_ms, kStartMs + 1000 * static_cast<int>(2 - i));
  }
  const auto some = point_in_time().past({ns_, a, "a"}, 2);
  EXPECT_EQ(some.end, log::History::End::kStopped);
  EXPECT_EQ(some.commits.size(), 2u);
}

}  // namespace
}  // namespace perdure::runtime
