#include "store/statement_limit.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "store/store_testing.h"

namespace perdure::store {
namespace {

using std::chrono::milliseconds;
using Stopped = StatementLimit::Stopped;
using testing::message_of;
using testing::query;

constexpr milliseconds kLong{3'600'000};
constexpr char kEndless[] =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
constexpr char kEndlessInsert[] =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) INSERT INTO t SELECT 1 FROM n "
    "WHERE x < 0";
constexpr char kInterrupted[] = "interrupted: SQLITE_INTERRUPT";

class StatementLimitTest : public ::testing::Test {
 protected:
  StatementLimitTest() {
    commit(database_, "CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES (1)");
  }

  static bool never() { return false; }
  Lsn commit(Database& database, const std::string& sql) { return testing::commit(database, sql); }
  std::string error_of(const char* sql) {
    return message_of([&] { query(database_, sql); });
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<Store> store_ = Store::open(testing::simulated_options(disk_));
  Database database_{*store_, store_->file(20, "a.sqlite")};
};

TEST_F(StatementLimitTest, EndsWhatTakesTooLong) {
  StatementLimit limit(database_, milliseconds(20), never);
  EXPECT_EQ(error_of(kEndless), kInterrupted);
  EXPECT_EQ(limit.stopped(), Stopped::kByTime);
}

TEST_F(StatementLimitTest, TimeIsThatOfAllStatements) {
  StatementLimit limit(database_, milliseconds(0), never);
  EXPECT_EQ(error_of(kEndless), kInterrupted);
  EXPECT_EQ(error_of(kEndless), kInterrupted);
}

TEST_F(StatementLimitTest, EndsWhatAnotherThreadDoesNotWant) {
  std::atomic<bool> is_unwanted = false;
  std::atomic<bool> is_running = false;
  StatementLimit limit(database_, kLong, [&] {
    is_running = true;
    return is_unwanted.load();
  });
  std::thread other([&] {
    while (!is_running) std::this_thread::yield();
    is_unwanted = true;
  });
  EXPECT_EQ(error_of(kEndless), kInterrupted);
  other.join();
  EXPECT_EQ(limit.stopped(), Stopped::kAsUnwanted);
}

TEST_F(StatementLimitTest, AWriteTakesItsTransactionAlongAndTheDatabaseGoesOn) {
  Statement open = database_.prepare("SELECT a FROM t", Access::kUser);
  EXPECT_EQ(sqlite3_step(open.handle()), SQLITE_ROW);  // of somebody else, in the middle of it
  database_.begin();
  query(database_, "INSERT INTO t VALUES (2)");
  {
    StatementLimit limit(database_, milliseconds(20), never);
    EXPECT_EQ(error_of(kEndlessInsert), kInterrupted);
  }
  EXPECT_FALSE(database_.in_transaction());
  EXPECT_FALSE(database_.broken());
  EXPECT_EQ(query(database_, "SELECT a FROM t"), "1");
  EXPECT_EQ(sqlite3_step(open.handle()), SQLITE_DONE);
  commit(database_, "INSERT INTO t VALUES (3)");
  EXPECT_EQ(query(database_, "SELECT sum(a) FROM t"), "4");
}

TEST_F(StatementLimitTest, WhatIsFastEnoughRunsAndNothingIsLimitedAfterwards) {
  {
    StatementLimit limit(database_, kLong, never);
    EXPECT_EQ(query(database_, "SELECT a FROM t"), "1");
    EXPECT_EQ(limit.stopped(), Stopped::kNo);
  }
  {
    const StatementLimit gone(database_, milliseconds(0), [] { return true; });
  }
  EXPECT_EQ(query(database_,
                  "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n "
                  "WHERE x < 100000) SELECT count(*) FROM n"),
            "100000");
}

TEST_F(StatementLimitTest, CountsTheRowsThatAllStatementsHaveChanged) {
  commit(database_, "CREATE INDEX i ON t(a); INSERT INTO t VALUES (7)");
  commit(database_, "CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO u VALUES (1); END");
  const StatementLimit limit(database_, kLong, never);
  EXPECT_EQ(limit.rows_changed(), 0);
  commit(database_, "CREATE TABLE v(a); INSERT INTO v VALUES (1), (2), (3); UPDATE v SET a = 4");
  EXPECT_EQ(limit.rows_changed(), 6);
  commit(database_, "DELETE FROM t WHERE a = 7");
  EXPECT_EQ(limit.rows_changed(), 8);
}

}  // namespace
}  // namespace perdure::store
