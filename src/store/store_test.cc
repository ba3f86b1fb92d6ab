#include "store/store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "sqlite3.h"
#include "store/database.h"

namespace perdure::store {
namespace {

TEST(Store, CommitsAndReopens) {
  const auto directory = std::filesystem::path(testing::TempDir()) / "store_thin";
  std::filesystem::remove_all(directory);
  StoreOptions options;
  options.directory = directory;
  options.segment_bytes = 1 << 20;
  {
    auto store = Store::open(options);
    Database database(*store, store->file(2, "a.sqlite"));
    database.begin();
    database.execute("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    const Lsn lsn = database.commit();
    EXPECT_EQ(lsn, 1U);
    store->log().wait_durable(lsn);
  }
  auto store = Store::open(options);
  Database database(*store, store->file(2, "a.sqlite"));
  auto statement = database.prepare("SELECT a FROM t", Access::kUser);
  EXPECT_EQ(sqlite3_step(statement.handle()), SQLITE_ROW);
  EXPECT_EQ(sqlite3_column_int(statement.handle(), 0), 1);
}

}  // namespace
}  // namespace perdure::store
