// Bookmarks and restores of single objects: what they mean, and what is refused.
#include "runtime/point_in_time.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/error_testing.h"
#include "log/history.h"
#include "log/log.h"
#include "runtime/point_in_time_testing.h"

namespace perdure::runtime {
namespace {

using store::testing::message_of;
using ::testing::HasSubstr;

class PointInTimeTest : public testing::PointInTimeFixture {
 protected:
  PointInTimeTest() { open(); }

  void put(const std::string& name, int value) {
    commit_sql(name, "CREATE TABLE IF NOT EXISTS t(i); DELETE FROM t; INSERT INTO t VALUES (" +
                         std::to_string(value) + ")");
  }
  std::string get(const std::string& name) { return query(name, "SELECT i FROM t"); }

  // What was committed so far is in history files, and nowhere else.
  void make_history() {
    for (int i = 0; i < 1'000 && disk_.exists("/data/log/0000000000000001.log"); ++i) {
      commit_sql("filler",
                 "CREATE TABLE IF NOT EXISTS t(i); INSERT INTO t VALUES (randomblob(9000))");
      if (i % 10 != 9) continue;
      store_->checkpoint();
      store_->log().history().catch_up();
    }
    ASSERT_GT(store_->log().history().usage().files, 0u);
    ASSERT_FALSE(disk_.exists("/data/log/0000000000000001.log"));
  }
};

TEST_F(PointInTimeTest, TakesAnObjectBackAndForth) {
  put("a", 1);
  const std::string first = bookmark("a");
  put("a", 2);
  const std::string second = bookmark("a");
  EXPECT_LT(first, second);

  const std::string undo = restore("a", first);
  EXPECT_EQ(get("a"), "1");
  EXPECT_GT(undo, second);
  const std::string redo = restore("a", undo);
  EXPECT_EQ(get("a"), "2");
  EXPECT_GT(redo, undo);
  restore("a", redo);
  EXPECT_EQ(get("a"), "1");
  put("a", 3);
  restore("a", second);
  EXPECT_EQ(get("a"), "2");
}

TEST_F(PointInTimeTest, TheBookmarkOfAnUnchangedObjectStaysTheSame) {
  put("a", 1);
  const std::string first = bookmark("a");
  EXPECT_EQ(bookmark("a"), first);
  leave("a");
  EXPECT_EQ(bookmark("a"), first);
  reopen();
  EXPECT_EQ(bookmark("a"), first);
}

TEST_F(PointInTimeTest, ARestoreHappensInTheNextSessionAndNotBefore) {
  put("a", 1);
  const std::string first = bookmark("a");
  put("a", 2);
  const std::string undo = schedule("a", first);
  put("a", 3);
  EXPECT_EQ(get("a"), "3");
  leave("a");
  EXPECT_EQ(get("a"), "1");
  leave("a");
  put("a", 4);
  EXPECT_EQ(get("a"), "4") << "a restore happens once";
  restore("a", undo);
  EXPECT_EQ(get("a"), "3") << "the state immediately before the restore, not that of the call";
}

TEST_F(PointInTimeTest, ALaterCallReplacesTheOneBefore) {
  put("a", 1);
  const std::string first = bookmark("a");
  put("a", 2);
  const std::string second = bookmark("a");
  put("a", 3);
  const std::string replaced = schedule("a", first);
  restore("a", second);
  EXPECT_EQ(get("a"), "2");
  EXPECT_THAT(message_of([&] { schedule("a", replaced); }),
              HasSubstr("undoes a restore that this object has not had"));
}

TEST_F(PointInTimeTest, UndoingARestoreThatWaitsKeepsTheObjectAsItIs) {
  put("a", 1);
  const std::string first = bookmark("a");
  put("a", 2);
  const std::string undo = schedule("a", first);
  const std::string undo_undo = schedule("a", undo);
  put("a", 3);
  leave("a");
  EXPECT_EQ(get("a"), "3");
  put("a", 4);
  restore("a", undo_undo);
  EXPECT_EQ(get("a"), "3");
}

TEST_F(PointInTimeTest, AnObjectGoesBackToBeforeItsFirstCommit) {
  const std::string nothing = bookmark("a");
  put("a", 1);
  const std::string undo = restore("a", nothing);
  EXPECT_EQ(query("a", "SELECT count(*) FROM sqlite_schema"), "0");
  EXPECT_EQ(snapshot("a").pages, 0u);
  store_->checkpoint();
  reopen();
  EXPECT_EQ(snapshot("a").pages, 0u) << "the file is empty, too";
  restore("a", undo);
  EXPECT_EQ(get("a"), "1");
}

// The file has the pages when the restore cuts them off.
TEST_F(PointInTimeTest, AnEmptyStateReachesTheFile) {
  const std::string nothing = bookmark("a");
  put("a", 1);
  store_->checkpoint();
  restore("a", nothing);
  reopen();
  EXPECT_EQ(query("a", "SELECT count(*) FROM sqlite_schema"), "0");
  put("a", 2);
  reopen();
  EXPECT_EQ(get("a"), "2");
}

// It has an alarm, and pages of another size than ours.
TEST_F(PointInTimeTest, AnImportedObjectGoesBackToWhatWasImported) {
  sqlite3* made = nullptr;
  ASSERT_EQ(sqlite3_open_v2(":memory:", &made, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(made,
                         "PRAGMA page_size = 1024; CREATE TABLE t(i); INSERT INTO t VALUES (7);"
                         "CREATE TABLE _cf_METADATA(key INTEGER PRIMARY KEY, value BLOB);"
                         "INSERT INTO _cf_METADATA VALUES (1, 5000000000)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_int64 size = 0;
  unsigned char* bytes = sqlite3_serialize(made, "main", &size, 0);
  disk_.create_directories("/data/import");
  {
    const auto file = disk_.open("/data/import/a", FileSystem::Mode::kCreate);
    file->write(0, std::as_bytes(std::span(bytes, static_cast<std::size_t>(size))));
    file->sync();
  }
  disk_.sync_directory("/data/import");
  sqlite3_free(bytes);
  sqlite3_close(made);
  const Adoption adoption{.ns = ns_, .id = id("a"), .file = "/data/import/a", .alarm_ms = 5'000};
  catalog_->adopt({&adoption, 1});
  shard_->load_alarms(ns_, [](const ObjectId&) { return true; });

  const testing::Snapshot imported = snapshot("a");
  const std::string first = bookmark("a");
  put("a", 8);
  commit("a", [&](Slot at) { shard_->delete_alarm(at); });
  const std::string undo = restore("a", first);
  EXPECT_EQ(snapshot("a"), imported);
  EXPECT_EQ(get("a"), "7");
  restore("a", undo);
  EXPECT_EQ(get("a"), "8");
  EXPECT_EQ(shard_->bookmark_at(slot("a"), kStartMs - kDayMs).text(), first);
}

TEST_F(PointInTimeTest, AnObjectThatNeverWroteCanBeRestored) {
  const std::string nothing = bookmark("a");
  EXPECT_EQ(shard_->bookmark_at(slot("a"), kStartMs).text(), nothing);
  EXPECT_THROW(schedule("a", "x"), Error);
  EXPECT_FALSE(catalog_->contains(ns_, id("a"))) << "asking makes no object";
  restore("a", nothing);
  EXPECT_EQ(query("a", "SELECT count(*) FROM sqlite_schema"), "0");
  put("a", 1);
  EXPECT_EQ(get("a"), "1");
}

TEST_F(PointInTimeTest, TheAlarmOfTheRestoredStateIsOnTheClock) {
  commit("a", [&](Slot at) { shard_->set_alarm(at, 5'000, 0); });
  const std::string early = bookmark("a");
  commit("a", [&](Slot at) { shard_->set_alarm(at, 9'000, 0); });
  const std::string late = bookmark("a");
  commit("a", [&](Slot at) { shard_->delete_alarm(at); });

  const std::string undo = restore("a", early);
  EXPECT_EQ(snapshot("a").alarm_ms, 5'000u);
  ASSERT_NE(shard_->clock().first(), nullptr);
  EXPECT_EQ(shard_->clock().first()->due_ms, 5'000u);
  restore("a", late);
  EXPECT_EQ(shard_->clock().first()->due_ms, 9'000u);
  restore("a", undo);
  EXPECT_EQ(snapshot("a").alarm_ms, std::nullopt);
  EXPECT_EQ(shard_->clock().first(), nullptr);
}

// The alarm is due and its event waits for the object, whose construction restores it.
TEST_F(PointInTimeTest, AnAlarmThatTheRestoredStateDoesNotHaveDoesNotRing) {
  put("a", 1);
  const std::string without = bookmark("a");
  commit("a", [&](Slot at) { shard_->set_alarm(at, 5'000, 0); });
  schedule("a", without);
  leave("a");
  const auto due = shard_->first_due(6'000);
  ASSERT_TRUE(due.has_value());
  const Slot at = shard_->add(ns_, due->id, due->name);
  ASSERT_TRUE(shard_->alarm_due(at, 6'000));
  auto& core = shard_->at(at).core;
  ASSERT_EQ(core.arrive(1), object::Object::Admission::kConstruct);
  EXPECT_TRUE(shard_->begin_session(at));
  core.constructed();
  ASSERT_EQ(core.next(), 1u);
  EXPECT_FALSE(shard_->alarm_begins(at, 6'000).has_value());
  EXPECT_EQ(shard_->clock().first(), nullptr);
}

TEST_F(PointInTimeTest, AnAlarmInThePastRingsAtOnceAndTellsItsTime) {
  commit("a", [&](Slot at) { shard_->set_alarm(at, 5'000, 0); });
  const std::string with = bookmark("a");
  commit("a", [&](Slot at) { shard_->delete_alarm(at); });
  restore("a", with);
  ASSERT_TRUE(shard_->first_due(1'000'000).has_value());
  EXPECT_EQ(shard_->at(slot("a")).core.get_alarm(), 5'000u);
}

TEST_F(PointInTimeTest, ATimeNamesTheLastCommitUpToIt) {
  const std::string nothing = bookmark("a");
  clock_ms_ = kStartMs + 1'000;
  put("a", 1);
  const std::string first = bookmark("a");
  clock_ms_ = kStartMs + 2'000;
  put("b", 7);
  clock_ms_ = kStartMs + 3'000;
  put("a", 2);
  const std::string second = bookmark("a");
  clock_ms_ = kStartMs + 4'000;
  const auto at = [&](std::int64_t ms) {
    return shard_->bookmark_at(slot("a"), kStartMs + ms).text();
  };
  EXPECT_EQ(at(999), nothing);
  EXPECT_EQ(at(1'000), first);
  EXPECT_EQ(at(2'999), first);
  EXPECT_EQ(at(3'000), second);
  EXPECT_EQ(at(4'000), second);
  EXPECT_EQ(at(-29 * kDayMs), nothing) << "before there was anything";
}

TEST_F(PointInTimeTest, ATimeOutsideTheRetentionIsRefusedWithTheRange) {
  put("a", 1);
  for (const std::int64_t time_ms : {kStartMs - 30 * kDayMs - 1, kStartMs + 1, INT64_MIN}) {
    const auto ask = [&] { static_cast<void>(shard_->bookmark_at(slot("a"), time_ms)); };
    EXPECT_EQ(code_of(ask), ErrorCode::kRange);
    EXPECT_THAT(message_of(ask),
                HasSubstr("to times from 2026-12-16T08:00:00.000Z to 2027-01-15T08:00:00.000Z."));
  }
}

TEST_F(PointInTimeTest, AStateCanBeNamedWhileItWasCurrentWithinTheRetention) {
  put("a", 1);
  const std::string first = bookmark("a");
  clock_ms_ += 20 * kDayMs;
  put("a", 2);
  clock_ms_ += 29 * kDayMs;
  restore("a", first);
  EXPECT_EQ(get("a"), "1") << "it was the state until 29 days ago";
}

TEST_F(PointInTimeTest, ABookmarkExpires) {
  put("a", 1);
  const std::string first = bookmark("a");
  clock_ms_ += kDayMs;
  put("a", 2);
  const std::string second = bookmark("a");
  clock_ms_ += 30 * kDayMs + 1;
  const auto ask = [&] { schedule("a", first); };
  EXPECT_EQ(code_of(ask), ErrorCode::kRange);
  EXPECT_THAT(message_of(ask), HasSubstr("\"" + first +
                                         "\" has expired: this object can be taken back to "
                                         "2027-01-16T08:00:00.001Z at the earliest."));
  restore("a", second);
  EXPECT_EQ(get("a"), "2");
}

TEST_F(PointInTimeTest, ABookmarkOfAnotherObjectIsRefused) {
  put("a", 1);
  put("b", 2);
  const std::string other = bookmark("b");
  const auto ask = [&] { schedule("a", other); };
  EXPECT_EQ(code_of(ask), ErrorCode::kInvalid);
  EXPECT_THAT(message_of(ask), HasSubstr("is of another object"));
  leave("a");
  EXPECT_EQ(get("a"), "1");
}

TEST_F(PointInTimeTest, ABookmarkOfAnotherDataDirectoryIsRefused) {
  put("a", 1);
  const std::string here = bookmark("a");
  close();
  SimulatedFileSystem other;
  std::swap(disk_, other);
  open();
  put("a", 2);
  EXPECT_THAT(message_of([&] { schedule("a", here); }), HasSubstr("of another data directory"));
  close();
  std::swap(disk_, other);
}

TEST_F(PointInTimeTest, ABookmarkFromTheFutureIsRefused) {
  put("a", 1);
  make_durable();
  put("a", 2);
  const std::string lost = bookmark("a");
  crash(0);
  open();
  ASSERT_EQ(get("a"), "1");
  const auto ask = [&] { schedule("a", lost); };
  EXPECT_EQ(code_of(ask), ErrorCode::kInvalid);
  EXPECT_THAT(message_of(ask), HasSubstr("names a state that this object has not had"));
  // Another object's commit has the number by now.
  put("b", 1);
  put("a", 3);
  EXPECT_EQ(code_of(ask), ErrorCode::kInvalid);
  leave("a");
  EXPECT_EQ(get("a"), "3");
}

TEST_F(PointInTimeTest, AMalformedBookmarkIsRefused) {
  put("a", 1);
  EXPECT_THAT(message_of([&] { schedule("a", "x"); }), HasSubstr("\"x\" is malformed"));
  leave("a");
  EXPECT_EQ(get("a"), "1");
}

TEST_F(PointInTimeTest, ARestoreWhoseHistoryIsLostIsGivenUp) {
  put("a", 1);
  const std::string first = bookmark("a");
  put("a", 2);
  const std::string second = bookmark("a");
  make_history();
  put("a", 3);
  schedule("a", first);
  close();
  disk_.remove("/data/history/0000000000000001.history");
  open();
  EXPECT_THAT(message_of([&] { slot("a"); }), HasSubstr("is given up, and the object as it was"));
  EXPECT_EQ(get("a"), "3");
  leave("a");
  EXPECT_EQ(get("a"), "3");
  EXPECT_EQ(code_of([&] { schedule("a", first); }), ErrorCode::kRange) << "it is known by now";
  leave("a");
  restore("a", second);
  EXPECT_EQ(get("a"), "2") << "what comes after it is there";
}

TEST_F(PointInTimeTest, ADamagedHistoryIsNamedAtTheCall) {
  put("a", 1);
  const std::string first = bookmark("a");
  put("a", 2);
  make_history();
  put("a", 3);
  close();
  const std::string path = "/data/history/0000000000000001.history";
  {
    const auto file = disk_.open(path, FileSystem::Mode::kReadWrite);
    std::vector<std::byte> bytes(file->size());
    file->read(0, bytes);
    for (std::byte& each : bytes) each ^= std::byte{0x10};
    file->write(0, bytes);
    file->sync();
  }
  open();
  EXPECT_THAT(message_of([&] { schedule("a", first); }), HasSubstr(path));
  leave("a");
  EXPECT_EQ(get("a"), "3");
}

TEST_F(PointInTimeTest, ARestoreThatChangesMoreThanATransactionMayIsRefusedAtTheCall) {
  transaction_bytes_max_ = 1 << 20;
  reopen();
  put("a", 1);
  const std::string first = bookmark("a");
  commit_sql("a", "CREATE TABLE u(v); INSERT INTO u VALUES (randomblob(700000))");
  const std::string second = bookmark("a");
  commit_sql("a", "INSERT INTO u VALUES (randomblob(700000))");
  const auto ask = [&] { schedule("a", first); };
  EXPECT_EQ(code_of(ask), ErrorCode::kFull);
  EXPECT_THAT(message_of(ask), HasSubstr("\"" + first +
                                         "\" is too far away: going there changes more than 1 MiB "
                                         "of the database."));
  leave("a");
  EXPECT_EQ(query("a", "SELECT count(*) FROM u"), "2");
  restore("a", second);
  EXPECT_EQ(query("a", "SELECT count(*) FROM u"), "1");
}

TEST_F(PointInTimeTest, AFullDiskLeavesTheRestoreForALaterSession) {
  commit_sql("a", "CREATE TABLE t(i)");
  const std::string first = bookmark("a");
  commit_sql("a", "INSERT INTO t VALUES (1)");
  schedule("a", first);
  leave("a");
  make_durable();
  disk_.set_capacity(disk_.used_bytes());
  bool refused = false;
  for (int i = 0; i < 1'000 && !refused; ++i) {
    try {
      commit_sql("b", "CREATE TABLE IF NOT EXISTS t(i); INSERT INTO t VALUES (randomblob(9000))");
    } catch (const Error&) {
      refused = true;
    }
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(code_of([&] { slot("a"); }), ErrorCode::kFull);
  disk_.set_capacity(1ull << 40);
  for (int i = 0; i < 10'000 && !store_->log().has_room(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(query("a", "SELECT count(*) FROM t"), "0");
}

TEST_F(PointInTimeTest, WaitingRestoresSurviveARestart) {
  put("a", 1);
  put("b", 1);
  const std::string a = bookmark("a");
  put("a", 2);
  put("b", 2);
  schedule("a", a);
  reopen();
  EXPECT_EQ(get("b"), "2");
  EXPECT_EQ(get("a"), "1");
  reopen();
  EXPECT_EQ(get("a"), "1");
}

TEST_F(PointInTimeTest, WhoKnowsABookmarkDependsOnItsState) {
  put("a", 1);
  const Lsn lsn = shard_->database(slot("a")).last_lsn();
  leave("a");
  bookmark("a");
  EXPECT_GE(shard_->at(slot("a")).core.seen_lsn(), lsn);
  schedule("a", bookmark("a"));
  EXPECT_EQ(shard_->at(slot("a")).core.seen_lsn(), store_->log().appended_lsn());
}

}  // namespace
}  // namespace perdure::runtime
