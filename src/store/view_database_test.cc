#include "store/view_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/database_file.h"
#include "store/store_testing.h"
#include "store/temporary_file.h"

namespace perdure::store {
namespace {

using testing::commit;
using ::testing::HasSubstr;
using testing::message_of;

class ViewDatabaseTest : public ::testing::Test {
 protected:
  ViewDatabaseTest()
      : store_(Store::open(testing::simulated_options(disk_))),
        file_(store_->file(20, "objects/a.sqlite")),
        database_(std::make_unique<Database>(*store_, file_)) {
    database_->execute("PRAGMA auto_vacuum = FULL");
    commit(*database_, "CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
    commit(*database_, "INSERT INTO t VALUES (1, 'one'), (2, randomblob(20000))");
  }

  std::shared_ptr<ReadView> view(std::size_t max = ReadView::kSetAsideBytesMax) {
    return std::make_shared<ReadView>(file_, max);
  }

  static std::string rows(ViewDatabase& database, const std::string& sql) {
    Statement statement = database.prepare(sql);
    std::string text;
    while (database.step(statement)) {
      if (!text.empty()) text += ';';
      text += reinterpret_cast<const char*>(sqlite3_column_text(statement.handle(), 0));
    }
    return text;
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<DatabaseFile> file_;
  std::unique_ptr<Database> database_;
};

TEST_F(ViewDatabaseTest, ShowsWhatWasCommittedWhenItWasMade) {
  const std::string sum = "SELECT a || ':' || length(b) FROM t ORDER BY a";
  ViewDatabase before(view());
  Statement running = before.prepare("SELECT a FROM t ORDER BY a");
  ASSERT_TRUE(before.step(running));
  for (int i = 0; i < 3; ++i) {
    commit(*database_,
           "UPDATE t SET b = randomblob(9000) WHERE a = 2; INSERT INTO t (b) VALUES "
           "(hex(randomblob(3000)))");
    store_->checkpoint();  // also when the file is written
  }
  EXPECT_EQ(rows(before, sum), "1:3;2:20000");
  EXPECT_TRUE(before.step(running));
  EXPECT_FALSE(before.step(running));
  ViewDatabase after(view());
  EXPECT_EQ(rows(after, sum), "1:3;2:9000;3:6000;4:6000;5:6000");
  EXPECT_EQ(rows(after, "PRAGMA integrity_check"), "ok");
  EXPECT_EQ(rows(before, "PRAGMA integrity_check"), "ok");
}

TEST_F(ViewDatabaseTest, ShowsPagesThatWereCutOffSince) {
  ViewDatabase before(view());
  commit(*database_, "DELETE FROM t; DROP TABLE t");
  store_->checkpoint();
  ASSERT_LT(file_->page_count(), before.view()->page_count());
  commit(*database_, "CREATE TABLE other (x); INSERT INTO other VALUES (randomblob(30000))");
  EXPECT_EQ(rows(before, "SELECT length(b) FROM t"), "3;20000");
  EXPECT_EQ(rows(before, "PRAGMA integrity_check"), "ok");
}

TEST_F(ViewDatabaseTest, ShowsNothingOfAnOpenTransaction) {
  database_->begin();
  database_->execute("INSERT INTO t VALUES (3, randomblob(100000))");
  ViewDatabase during(view());
  EXPECT_EQ(rows(during, "SELECT count(*) FROM t"), "2");
  database_->commit();
  EXPECT_EQ(rows(during, "SELECT count(*) FROM t"), "2");
}

TEST_F(ViewDatabaseTest, IsLostWhenTooMuchHasChanged) {
  ViewDatabase small(view(8 << 10));
  ViewDatabase large(view());
  commit(*database_, "UPDATE t SET b = randomblob(19000) WHERE a = 2");
  EXPECT_EQ(message_of([&] { rows(small, "SELECT length(b) FROM t"); }),
            "The object has changed too much while it was being read (more than 0 MiB of it have "
            "changed). Try again, or read less at a time.");
  EXPECT_EQ(rows(large, "SELECT length(b) FROM t"), "3;20000");
}

// SQLite's own check of the structure would take what it cannot read for damage, and go on.
TEST_F(ViewDatabaseTest, ACheckOfAViewThatIsLostFindsNoDamage) {
  ViewDatabase small(view(8 << 10));
  commit(*database_, "UPDATE t SET b = randomblob(19000) WHERE a = 2");
  EXPECT_EQ(code_of([&] { rows(small, "PRAGMA integrity_check"); }), ErrorCode::kFull);
}

TEST_F(ViewDatabaseTest, RefusesToWrite) {
  ViewDatabase database(view());
  for (const char* sql : {"INSERT INTO t VALUES (7, 7)", "CREATE TEMP TABLE x (y)", "DROP TABLE t",
                          "VACUUM INTO '/tmp/copy'", "PRAGMA user_version = 3"}) {
    EXPECT_THAT(message_of([&] {
                  Statement statement = database.prepare(sql);
                  while (database.step(statement)) {
                  }
                }),
                HasSubstr("SQLITE_READONLY"))
        << sql;
  }
  EXPECT_THAT(message_of([&] {
                Statement statement = database.prepare("ATTACH '/tmp/other' AS other");
                database.step(statement);
              }),
              HasSubstr("too many attached databases"));
}

TEST_F(ViewDatabaseTest, PragmasOnlyTell) {
  ViewDatabase database(view());
  EXPECT_EQ(rows(database, "PRAGMA Integrity_Check"), "ok");
  EXPECT_EQ(rows(database, "SELECT name FROM pragma_table_info('t')"), "a;b");
  for (const char* sql : {"PRAGMA hard_heap_limit = 100000", "PRAGMA soft_heap_limit = 1",
                          "PRAGMA temp_store = MEMORY", "PRAGMA temp_store_directory = ''",
                          "PRAGMA cache_size = -1000000", "PRAGMA mmap_size = 1"}) {
    EXPECT_THAT(message_of([&] { rows(database, sql); }),
                HasSubstr("is refused: it does not only tell about the database: SQLITE_AUTH"))
        << sql;
  }
}

// A table n of so many rows.
std::string numbers(std::uint64_t count) {
  return "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < " +
         std::to_string(count) + ") ";
}

TEST_F(ViewDatabaseTest, SortsGroupsAndJoinsWithinALimit) {
  {
    ViewDatabase database(view());
    const auto with = numbers(20'000);
    const std::string row = "(SELECT x, hex(zeroblob(500)) AS filler FROM n)";
    EXPECT_EQ(rows(database, with + "SELECT max(y) FROM (SELECT x AS y, filler FROM " + row +
                                 " ORDER BY filler || -x LIMIT -1 OFFSET 1)"),
              "20000");
    EXPECT_EQ(rows(database,
                   with + "SELECT count(*) FROM (SELECT DISTINCT filler || x FROM " + row + ")"),
              "20000");
    Statement sorting = database.prepare(with + "SELECT x FROM " + row + " ORDER BY filler || -x");
    ASSERT_TRUE(database.step(sorting));
    EXPECT_GT(TemporaryFile::bytes_used(), 10u << 20);
    for (const char* query : {"SELECT x FROM n ORDER BY -x || hex(randomblob(1000000))",
                              "SELECT DISTINCT randomblob(1000000) FROM n"}) {
      EXPECT_THAT(message_of([&] { rows(database, numbers(1'000) + query); }),
                  HasSubstr("may sort, group and join 128 MiB at one time"))
          << query;
      EXPECT_LT(TemporaryFile::bytes_used(), 64u << 20) << "what the failed one had is free";
    }
  }
  EXPECT_EQ(TemporaryFile::bytes_used(), 0u);
}

TEST_F(ViewDatabaseTest, AValueIsAsLargeAsAnObjectsOwn) {
  ViewDatabase database(view());
  EXPECT_EQ(rows(database, "SELECT length(zeroblob(2097152))"), "2097152");
  EXPECT_THAT(message_of([&] { rows(database, "SELECT zeroblob(2097153)"); }),
              HasSubstr("SQLITE_TOOBIG"));
  ViewDatabase larger(view(), 4 << 20);
  EXPECT_EQ(rows(larger, "SELECT length(zeroblob(2097153))"), "2097153");
}

TEST_F(ViewDatabaseTest, OfADatabaseWithoutCommitsIsEmpty) {
  ViewDatabase empty(std::make_shared<ReadView>(store_->file(21, "objects/b.sqlite")));
  EXPECT_EQ(empty.view()->page_count(), 0u);
  EXPECT_EQ(rows(empty, "SELECT name FROM sqlite_schema"), "");
}

// Also when the interruption comes before the step begins, on another thread.
TEST_F(ViewDatabaseTest, CanBeInterrupted) {
  ViewDatabase database(view());
  Statement endless = database.prepare(
      "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(x) FROM n");
  database.interrupt();
  EXPECT_THAT(message_of([&] { database.step(endless); }), HasSubstr("SQLITE_INTERRUPT"));
}

TEST_F(ViewDatabaseTest, SaysWhichPageIsDamaged) {
  store_->checkpoint();
  database_.reset();
  const auto raw = disk_.open("/data/objects/a.sqlite", FileSystem::Mode::kReadWrite);
  const std::uint64_t root_offset = 2 * 4096;  // after the pointer map
  raw->write(root_offset, std::vector<std::byte>(1, std::byte{0x77}));
  ViewDatabase database(view());
  EXPECT_THAT(message_of([&] { rows(database, "SELECT a FROM t"); }),
              HasSubstr("(page 3 was read last): SQLITE_CORRUPT"));
}

TEST_F(ViewDatabaseTest, HoldsNothingOfTheFileWhenItIsGone) {
  { const ViewDatabase gone(view()); }
  {
    const auto first = view();
    auto second = view();
    const auto third = view();
    second.reset();  // from the middle of the list
    commit(*database_, "UPDATE t SET b = 'uno' WHERE a = 1");
    std::vector<std::byte> page(first->page_size());
    first->read(1, page);
    third->read(1, page);
  }
  commit(*database_, "UPDATE t SET b = 'eins' WHERE a = 1");
  ViewDatabase now(view());
  EXPECT_EQ(rows(now, "SELECT b FROM t WHERE a = 1"), "eins");
}

}  // namespace
}  // namespace perdure::store
