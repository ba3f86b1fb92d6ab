#include "store/store.h"

#include <chrono>
#include <thread>

#include "store/database_file.h"
#include "store/store_testing.h"

namespace perdure::store {
namespace {

using testing::commit;
using testing::message_of;
using testing::query;
using testing::simulated_options;

class StoreTest : public ::testing::Test {
 protected:
  void open() { store_ = Store::open(options_); }
  void reopen() {
    store_.reset();
    open();
  }
  // As reopen(), but nothing that was not synced stays, and nothing is checkpointed.
  void crash() {
    disk_.power_off_at(1);
    ::testing::internal::CaptureStderr();
    store_.reset();
    ::testing::internal::GetCapturedStderr();
    disk_.crash(7);
    open();
  }
  std::unique_ptr<Database> database(ObjectNumber number = 20) {
    return std::make_unique<Database>(
        *store_, store_->file(number, "objects/" + std::to_string(number) + ".sqlite"));
  }
  Lsn durable(Lsn lsn) {
    store_->log().wait_durable(lsn);
    return lsn;
  }

  SimulatedFileSystem disk_;
  StoreOptions options_ = simulated_options(disk_);
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, CommitIsOneRecordAndSurvivesACrash) {
  open();
  {
    auto db = database();
    EXPECT_EQ(db->last_lsn(), 0U);
    EXPECT_EQ(commit(*db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)"), 1U);
    EXPECT_EQ(durable(commit(*db, "INSERT INTO t VALUES (2)")), 2U);
  }
  crash();
  auto db = database();
  EXPECT_EQ(query(*db, "SELECT a FROM t"), "1;2");
  EXPECT_EQ(db->last_lsn(), 2U);
}

TEST_F(StoreTest, NothingChangedIsNoRecord) {
  open();
  auto db = database();
  const Lsn lsn = commit(*db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  EXPECT_EQ(commit(*db, "SELECT * FROM t"), lsn);
  EXPECT_EQ(commit(*db, "UPDATE t SET a = 1"), lsn);
  EXPECT_EQ(commit(*db, "DELETE FROM t WHERE a = 5"), lsn);
  EXPECT_EQ(store_->log().appended_lsn(), lsn);
}

TEST_F(StoreTest, ANewDatabaseCostsNoDiskUntilTheCheckpoint) {
  open();
  auto db = database();
  commit(*db, "CREATE TABLE t(a)");
  EXPECT_FALSE(disk_.exists("/data/objects/20.sqlite"));
  store_->checkpoint();
  EXPECT_TRUE(disk_.exists("/data/objects/20.sqlite"));
}

TEST_F(StoreTest, RollbackLeavesNothing) {
  open();
  auto db = database();
  commit(*db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  db->begin();
  db->execute("INSERT INTO t VALUES (2); CREATE TABLE u(a)");
  db->rollback();
  EXPECT_EQ(query(*db, "SELECT a FROM t"), "1");
  EXPECT_THROW(query(*db, "SELECT * FROM u"), SqlError);
  commit(*db, "INSERT INTO t VALUES (3)");
  EXPECT_EQ(query(*db, "SELECT a FROM t"), "1;3");
}

// More pages than the page cache holds, so that SQLite writes before the commit.
constexpr char kBig[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
    "INSERT INTO t SELECT randomblob(1000) FROM n";

TEST_F(StoreTest, SpilledTransactionsCommitAndRollBack) {
  options_.segment_bytes = 32 << 20;
  open();
  auto db = database();
  commit(*db, "CREATE TABLE t(a)");
  commit(*db, kBig);
  EXPECT_EQ(query(*db, "SELECT count(*), sum(length(a)) FROM t"), "3000|3000000");
  db->begin();
  db->execute(kBig);
  db->execute("UPDATE t SET a = randomblob(900)");
  db->rollback();
  EXPECT_EQ(query(*db, "SELECT count(*), sum(length(a)) FROM t"), "3000|3000000");
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
  commit(*db, "DELETE FROM t WHERE rowid > 10");
  db.reset();
  crash();
  db = database();
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
}

TEST_F(StoreTest, AStatementRollsBackAloneEvenWhenSpilled) {
  options_.segment_bytes = 32 << 20;
  open();
  auto db = database();
  commit(*db, "CREATE TABLE t(a); CREATE TABLE u(a UNIQUE); INSERT INTO u VALUES (2500)");
  db->begin();
  db->execute("INSERT INTO t VALUES ('kept')");
  db->execute("CREATE TABLE big(a, b)");
  EXPECT_THROW(db->execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
                           "i < 3000) INSERT INTO u SELECT CASE i WHEN 3000 THEN 2500 ELSE "
                           "hex(randomblob(500)) END FROM n"),
               SqlError);
  EXPECT_TRUE(db->in_transaction());
  db->commit();
  EXPECT_EQ(query(*db, "SELECT count(*) FROM u"), "1");
  EXPECT_EQ(query(*db, "SELECT a FROM t"), "kept");
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
}

TEST_F(StoreTest, ATransactionPastItsLimitRollsBack) {
  options_.transaction_bytes_max = 3 << 20;
  open();
  auto db = database();
  commit(*db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  const Lsn lsn = db->last_lsn();
  EXPECT_EQ(message_of([&] { commit(*db, std::string(kBig) + "; " + kBig); }),
            "database or disk is full: SQLITE_FULL");
  EXPECT_FALSE(db->in_transaction());
  EXPECT_FALSE(db->broken());
  EXPECT_EQ(db->last_lsn(), lsn);
  EXPECT_EQ(query(*db, "SELECT a FROM t"), "1");
  commit(*db, "INSERT INTO t VALUES (2)");
  EXPECT_EQ(query(*db, "SELECT a FROM t"), "1;2");
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
}

TEST_F(StoreTest, ATransactionMayBeLargerThanASegment) {
  options_.segment_bytes = 1 << 20;
  open();
  {
    auto db = database();
    commit(*db, "CREATE TABLE t(a)");
    durable(commit(*db, kBig));
  }
  crash();
  auto db = database();
  EXPECT_EQ(query(*db, "SELECT count(*), sum(length(a)) FROM t"), "3000|3000000");
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
}

TEST_F(StoreTest, ADatabaseThatShrinksIsCut) {
  open();
  auto db = database();
  db->execute("PRAGMA auto_vacuum = FULL");
  commit(*db, "CREATE TABLE t(a)");
  commit(*db,
         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
         "INSERT INTO t SELECT randomblob(3000) FROM n");
  store_->checkpoint();
  const auto pages = [&] { return store_->file(20, "")->page_count(); };
  const auto large = pages();
  commit(*db, "DELETE FROM t WHERE rowid > 10");
  EXPECT_LT(pages(), large / 4);
  // Grown again over pages that the real file still has.
  commit(*db, "INSERT INTO t SELECT randomblob(3000) FROM t");
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
  db.reset();
  store_->log().wait_durable(store_->log().appended_lsn());
  crash();
  db = database();
  EXPECT_EQ(query(*db, "SELECT count(*) FROM t"), "20");
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
  store_->checkpoint();
  EXPECT_EQ(disk_.open("/data/objects/20.sqlite", FileSystem::Mode::kRead)->size(),
            std::uint64_t{pages()} * 4096);
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
}

TEST_F(StoreTest, CommitsAfterACheckpointDoNotNeedTheFile) {
  open();
  {
    auto db = database();
    commit(*db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    store_->checkpoint();
    EXPECT_EQ(store_->dirty_bytes(), 0U);
    durable(commit(*db, "UPDATE t SET a = 2"));
  }
  // A checkpoint may have been half-way through this file.
  {
    const auto file = disk_.open("/data/objects/20.sqlite", FileSystem::Mode::kReadWrite);
    std::vector<std::byte> garbage(512, std::byte{0xaa});
    file->write(4096, garbage);
    file->sync();
  }
  crash();
  auto db = database();
  EXPECT_EQ(query(*db, "SELECT a FROM t"), "2");
}

TEST_F(StoreTest, ReadsGoOnWhenTheDiskIsFullAndCommitsAfterIt) {
  open();
  auto db = database();
  commit(*db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  disk_.set_capacity(disk_.used_bytes());
  std::string refused;
  for (int i = 0; i < 2000 && refused.empty(); ++i) {
    try {
      commit(*db, "INSERT INTO t VALUES (randomblob(20000))");
    } catch (const SqlError& error) {
      refused = error.what();
    }
  }
  EXPECT_EQ(refused, "database or disk is full: SQLITE_FULL");
  EXPECT_FALSE(db->broken());
  EXPECT_EQ(query(*db, "SELECT a FROM t LIMIT 1"), "1");
  const std::string count = query(*db, "SELECT count(*) FROM t");
  disk_.set_capacity(std::uint64_t{1} << 30);
  bool accepted = false;
  for (int i = 0; i < 100 && !accepted; ++i) {
    try {
      commit(*db, "INSERT INTO t VALUES ('after')");
      accepted = true;
    } catch (const SqlError&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  EXPECT_TRUE(accepted);
  EXPECT_EQ(query(*db, "SELECT count(*) - 1 FROM t"), count);
  EXPECT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
}

TEST_F(StoreTest, TooMuchDirtyWaitsForTheCheckpoint) {
  options_.dirty_bytes_max = 1 << 20;
  open();
  auto db = database();
  commit(*db, "CREATE TABLE t(a)");
  for (int i = 0; i < 300; ++i) {
    commit(*db, "INSERT INTO t VALUES (randomblob(50000))");
    // One transaction may go past the limit, by its own size.
    EXPECT_LE(store_->dirty_bytes(), 2 * options_.dirty_bytes_max + 200'000);
  }
  EXPECT_EQ(query(*db, "SELECT count(*) FROM t"), "300");
}

TEST_F(StoreTest, ADatabaseThatNobodyHoldsCostsNoMemoryOnceClean) {
  open();
  commit(*database(), "CREATE TABLE t(a)");
  const std::weak_ptr<DatabaseFile> file = store_->file(20, "");
  EXPECT_FALSE(file.expired());
  store_->checkpoint();
  EXPECT_TRUE(file.expired());
  EXPECT_EQ(query(*database(), "SELECT count(*) FROM t"), "0");
}

TEST_F(StoreTest, ADamagedFileIsNamed) {
  open();
  commit(*database(), "CREATE TABLE t(a)");
  store_->checkpoint();
  disk_.open("/data/objects/20.sqlite", FileSystem::Mode::kReadWrite)
      ->write(0, std::vector<std::byte>(100));
  EXPECT_EQ(message_of([&] { query(*database(), "SELECT * FROM t"); }),
            "The file /data/objects/20.sqlite is not a whole SQLite database: that shows at "
            "byte 0. Restore it from a backup, or move it away.");
}

TEST_F(StoreTest, TheDirectoryHasOneOwner) {
  open();
  EXPECT_EQ(message_of([&] { Store::open(options_); }),
            "The data directory /data is in use by another process. Stop that one, or choose "
            "another directory with --data.");
}

TEST_F(StoreTest, ANewerFormatIsRefused) {
  open();
  store_.reset();
  const std::string text = "perdure 2\n";
  disk_.open("/data/format", FileSystem::Mode::kReadWrite)
      ->write(0, std::as_bytes(std::span(text)));
  EXPECT_EQ(message_of([&] { open(); }),
            "The data directory /data was written by a newer Perdure (format 2; this one reads up "
            "to 1). Use that version, or another directory with --data.");
}

TEST_F(StoreTest, ForeignDirectoriesAreNotTouched) {
  disk_.create_directories("/data");
  disk_.open("/data/notes.txt", FileSystem::Mode::kCreate);
  EXPECT_EQ(message_of([&] { open(); }),
            "The directory /data is not a data directory of Perdure, and not empty (it has "
            "'notes.txt' but no file 'format'). Choose another directory with --data.");
  const std::string text = "something else";
  disk_.open("/data/format", FileSystem::Mode::kCreate)->write(0, std::as_bytes(std::span(text)));
  EXPECT_EQ(message_of([&] { open(); }),
            "The file /data/format is not one of Perdure's. Choose another directory with --data.");
}

// After a clean stop, any SQLite reads an object's file.
TEST(Store, ACleanStopLeavesPlainFiles) {
  const auto directory = std::filesystem::path(::testing::TempDir()) / "perdure_store_plain";
  std::filesystem::remove_all(directory);
  StoreOptions options;
  options.directory = directory;
  options.segment_bytes = 1 << 20;
  auto store = Store::open(options);
  {
    Database db(*store, store->file(20, "objects/x/a.sqlite"));
    commit(db, "CREATE TABLE t(a); CREATE INDEX i ON t(a)");
    for (int i = 0; i < 200; ++i) commit(db, "INSERT INTO t VALUES (randomblob(500))");
  }
  store->close();
  sqlite3* plain = nullptr;
  ASSERT_EQ(sqlite3_open((directory / "objects/x/a.sqlite").c_str(), &plain), SQLITE_OK);
  std::string text;
  const auto append = [](void* out, int, char** values, char**) {
    *static_cast<std::string*>(out) += values[0];
    return 0;
  };
  sqlite3_exec(plain, "PRAGMA quick_check; SELECT count(*) FROM t", append, &text, nullptr);
  EXPECT_EQ(text, "ok200");
  sqlite3_close(plain);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace perdure::store
