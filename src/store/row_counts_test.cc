#include "store/row_counts.h"

#include "store/store_testing.h"

namespace perdure::store {
namespace {

// Rows read and written by one run of `sql`, as "read/written".
std::string counts(Database& database, std::string_view sql) {
  Statement statement = database.prepare(sql, Access::kEngine);
  while (database.step(statement) == SQLITE_ROW) {
  }
  const auto text = [&] {
    return std::to_string(rows_read(statement.handle())) + "/" +
           std::to_string(rows_written(statement.handle()));
  };
  const std::string counted = text();
  clear_row_counts(statement.handle());
  EXPECT_EQ(text(), "0/0");
  return counted;
}

TEST(RowCounts, AreThoseOfCloudflaresSqlite) {
  if (!kCountsRows)
    GTEST_SKIP() << "rowsRead and rowsWritten are not tested: the system's SQLite does not count";
  SimulatedFileSystem disk;
  const auto store = Store::open(testing::simulated_options(disk));
  Database database(*store, store->file(20, "a.sqlite"));
  EXPECT_EQ(counts(database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c UNIQUE)"), "1/3");
  EXPECT_EQ(counts(database, "SELECT * FROM t"), "1/0");
  EXPECT_EQ(counts(database, "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)"), "3/6");
  EXPECT_EQ(counts(database, "SELECT * FROM t"), "3/0");
  EXPECT_EQ(counts(database, "SELECT * FROM t ORDER BY a DESC"), "3/0");
  EXPECT_EQ(counts(database, "SELECT * FROM t ORDER BY b"), "6/0");
  EXPECT_EQ(counts(database, "SELECT count(*) FROM t"), "3/0");
  EXPECT_EQ(counts(database, "SELECT * FROM t WHERE a = 9"), "1/0");
  EXPECT_EQ(counts(database, "SELECT * FROM t WHERE c = 9"), "0/0");
  EXPECT_EQ(counts(database, "SELECT * FROM t WHERE c = 2"), "1/0");
  EXPECT_EQ(counts(database, "SELECT DISTINCT b FROM t UNION SELECT a FROM t"), "9/0");
  EXPECT_EQ(counts(database, "UPDATE t SET c = c + 10"), "3/6");
  EXPECT_EQ(counts(database, "DELETE FROM t WHERE a = 1"), "1/1");
  EXPECT_EQ(counts(database, "DELETE FROM t"), "0/2");
  EXPECT_EQ(counts(database, "CREATE VIRTUAL TABLE f USING fts5(x)"), "1/2");
  EXPECT_EQ(counts(database, "INSERT INTO f VALUES ('a'), ('b')"), "0/2");
  EXPECT_EQ(counts(database, "SELECT * FROM f"), "2/0");
}

}  // namespace
}  // namespace perdure::store
