// A database as it was before its last commits, and taking it back there.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "log/history.h"
#include "store/database_file.h"
#include "store/metadata.h"
#include "store/store_testing.h"

namespace perdure::store {
namespace {

using testing::commit;
using ::testing::HasSubstr;
using testing::message_of;
using testing::query;

constexpr std::uint64_t kBytesMax = 1 << 20;
constexpr std::uint32_t kFlags = kRestoreFlag | 7 << kFlagsNumberShift;

// A second database that notes in the same group that the first was restored.
class Note final : public Companion {
 public:
  explicit Note(Database& database) : database_(database) {}
  ~Note() override {
    if (database_.staged()) database_.abandon_staged();
  }
  Database& stage() override {
    database_.begin();
    database_.execute("CREATE TABLE noted(i)");
    database_.stage_commit();
    return database_;
  }

 private:
  Database& database_;
};

class DatabaseRestoreTest : public ::testing::Test {
 protected:
  DatabaseRestoreTest() {
    store_ = Store::open(testing::simulated_options(disk_));
    file_ = store_->file(20, "a.sqlite");
    other_ = std::make_unique<Database>(*store_, store_->file(21, "b.sqlite"));
  }

  log::Undo undo(Lsn target) {
    const Head head = file_->head();
    return store_->log().history().undo(20, head.last_lsn, head.location, target, kBytesMax);
  }

  Lsn commit_alone(const std::string& sql) {
    Database database(*store_, file_);
    return commit(database, sql);
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<DatabaseFile> file_;
  std::unique_ptr<Database> other_;
};

TEST_F(DatabaseRestoreTest, ShowsAnOlderStateAndChangesNothing) {
  const Lsn first = commit_alone("CREATE TABLE t(i); INSERT INTO t VALUES (1)");
  const Lsn last = commit_alone("INSERT INTO t VALUES (randomblob(30000)); CREATE TABLE u(i)");
  {
    Database then(*store_, file_, undo(first));
    EXPECT_EQ(query(then, "SELECT i FROM t"), "1");
    EXPECT_EQ(query(then, "SELECT count(*) FROM sqlite_schema"), "1");
    EXPECT_EQ(query(then, "PRAGMA integrity_check"), "ok");
    EXPECT_THAT(message_of([&] { then.execute("DELETE FROM t"); }), HasSubstr("readonly"));
    EXPECT_EQ(stored_alarm_time(then), std::nullopt);
  }
  {
    Database never(*store_, file_, undo(0));
    EXPECT_EQ(query(never, "SELECT count(*) FROM sqlite_schema"), "0");
  }
  EXPECT_EQ(file_->head().last_lsn, last);
  Database now(*store_, file_);
  EXPECT_EQ(query(now, "SELECT count(*) FROM t"), "2");
}

TEST_F(DatabaseRestoreTest, IsOneCommitWithItsCompanion) {
  const Lsn first = commit_alone("CREATE TABLE t(i); INSERT INTO t VALUES (1)");
  const Lsn last = commit_alone("DROP TABLE t; CREATE TABLE u(i)");
  Lsn restored = 0;
  {
    Database then(*store_, file_, undo(first));
    Note note(*other_);
    restored = then.restore(kFlags, note);
  }
  EXPECT_EQ(query(*other_, "SELECT count(*) FROM noted"), "0");
  const Head head = file_->head();
  EXPECT_EQ(head.commit_number, 3u);
  store_->log().history().walk(20, head.last_lsn, head.location, [&](const log::CommitInfo& info) {
    EXPECT_EQ(info.flags, kFlags);
    EXPECT_EQ(info.previous_lsn, last);
    EXPECT_EQ(info.lsn + 1, restored) << "the companion's record comes right after it";
    return false;
  });
  Database now(*store_, file_);
  EXPECT_EQ(query(now, "SELECT i FROM t"), "1");
}

TEST_F(DatabaseRestoreTest, LeavesARecordAlsoWhenNothingChanges) {
  const Lsn last = commit_alone("CREATE TABLE t(i)");
  log::Undo nothing;
  nothing.page_size = file_->page_size();
  nothing.pages_now = nothing.pages_then = file_->page_count();
  {
    Database then(*store_, file_, std::move(nothing));
    Note note(*other_);
    EXPECT_GT(then.restore(kFlags, note), last);
  }
  EXPECT_EQ(file_->head().commit_number, 2u);
}

TEST_F(DatabaseRestoreTest, FailsWholeWhenTheCompanionDoes) {
  class Failing final : public Companion {
    Database& stage() override { throw Error(ErrorCode::kFull, "no room"); }
  };
  const Lsn first = commit_alone("CREATE TABLE t(i)");
  const Lsn last = commit_alone("DROP TABLE t");
  {
    Database then(*store_, file_, undo(first));
    Failing failing;
    EXPECT_EQ(message_of([&] { then.restore(kFlags, failing); }), "no room");
  }
  EXPECT_EQ(file_->head().last_lsn, last);
  Database now(*store_, file_);
  EXPECT_EQ(query(now, "SELECT count(*) FROM sqlite_schema"), "0");
}

TEST_F(DatabaseRestoreTest, RefusesToTakeBackWhatAreNotTheLastCommits) {
  const Lsn first = commit_alone("CREATE TABLE t(i)");
  commit_alone("INSERT INTO t VALUES (randomblob(9000))");
  auto late = undo(first);
  commit_alone("INSERT INTO t VALUES (randomblob(9000))");
  EXPECT_THAT(message_of([&] { const Database then(*store_, file_, std::move(late)); }),
              HasSubstr("something was committed meanwhile"));
}

}  // namespace
}  // namespace perdure::store
