#include "perdure/storage.h"

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "native/native_testing.h"
#include "runtime/point_in_time.h"

namespace perdure::native::testing {
namespace {

class StorageTest : public NativeTest {
 protected:
  Storage counter(const std::string& name) {
    Storage storage = create(name);
    storage.sql().exec("CREATE TABLE t (a)");
    return storage;
  }
  static int count(Storage& storage) {
    return storage.sql().exec("SELECT count(*) FROM t").one<int>();
  }
};

TEST_F(StorageTest, WhatWasWaitedForSurvivesACrash) {
  Storage storage = counter("a");
  storage.sql().exec("INSERT INTO t VALUES (1)");
  const Lsn lsn = storage.last_commit();
  EXPECT_GT(lsn, 0u);
  engine_->wait_durable(lsn);
  EXPECT_GE(engine_->durable_lsn(), lsn);
  storage.close();
  crash();
  Storage again = sqlite_->open("a");
  EXPECT_EQ(count(again), 1);
  EXPECT_EQ(again.last_commit(), lsn);
}

TEST_F(StorageTest, ACrashTakesWhatNobodyWaitedForAsAWhole) {
  Storage storage = counter("a");
  storage.sync();
  disk_.power_off_at(1);
  storage.transaction_sync([&] {
    storage.sql().exec("INSERT INTO t VALUES (1)");
    storage.sql().exec("INSERT INTO t VALUES (2)");
  });
  storage.close();
  crash();
  Storage again = sqlite_->open("a");
  EXPECT_EQ(count(again), 0);
}

TEST_F(StorageTest, TransactionsCommitOrRollBack) {
  Storage storage = counter("a");
  const Lsn before = storage.last_commit();
  Transaction first = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  EXPECT_GT(first.commit(), before);
  EXPECT_EQ(message_of([&] { first.commit(); }), "This transaction has ended already.");
  first.rollback();
  {
    const Transaction second = storage.begin();
    storage.sql().exec("INSERT INTO t VALUES (2)");
    storage.set_alarm(Time(std::chrono::milliseconds(now_ms_ + 5000)));
  }
  EXPECT_EQ(count(storage), 1);
  EXPECT_EQ(storage.get_alarm(), std::nullopt);
  EXPECT_EQ(storage.transaction_sync([&] { return count(storage); }), 1);
  EXPECT_THROW(storage.transaction_sync([&] {
    storage.sql().exec("DELETE FROM t");
    throw std::runtime_error("no");
  }),
               std::runtime_error);
  EXPECT_EQ(count(storage), 1);
}

TEST_F(StorageTest, TransactionsNest) {
  Storage storage = counter("a");
  Transaction outer = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  {
    Transaction inner = storage.begin();
    storage.sql().exec("INSERT INTO t VALUES (2)");
    inner.rollback();
  }
  Transaction inner = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (3)");
  EXPECT_EQ(inner.commit(), 0u);
  outer.commit();
  EXPECT_EQ(storage.sql().exec("SELECT group_concat(a) FROM t").one<std::string>(), "1,3");
}

TEST_F(StorageTest, AnOuterTransactionTakesTheInnerOnesAlong) {
  Storage storage = counter("a");
  Transaction outer = storage.begin();
  Transaction inner = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  EXPECT_EQ(message_of([&] { outer.commit(); }),
            "A transaction inside this one is still open: it was taken back as a whole. Commit or "
            "roll back the inner one first.");
  EXPECT_EQ(message_of([&] { inner.commit(); }), "This transaction has ended already.");
  EXPECT_EQ(count(storage), 0);
  Transaction next = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  inner.rollback();
  next.commit();
  EXPECT_EQ(count(storage), 1) << "one that has ended is not the next one";
}

TEST_F(StorageTest, ACommitThatFailsLeavesNothing) {
  Storage storage = counter("a");
  storage.sql().exec(
      "CREATE TABLE p (a PRIMARY KEY);"
      "CREATE TABLE c (a REFERENCES p (a) DEFERRABLE INITIALLY DEFERRED)");
  Transaction transaction = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  storage.sql().exec("INSERT INTO c VALUES (1)");
  EXPECT_EQ(message_of([&] { transaction.commit(); }),
            "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: "
            "SQLITE_CONSTRAINT_FOREIGNKEY)");
  EXPECT_EQ(count(storage), 0);
  storage.sql().exec("INSERT INTO t VALUES (1)");
  EXPECT_EQ(count(storage), 1);
}

TEST_F(StorageTest, ATransactionThatAFailureTookIsNotGoneOnWith) {
  Storage storage = counter("a");
  storage.sql().exec("CREATE TABLE u (a UNIQUE ON CONFLICT ROLLBACK)");
  Transaction transaction = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  storage.sql().exec("INSERT INTO u VALUES (1)");
  EXPECT_THROW(storage.sql().exec("INSERT INTO u VALUES (1)"), SqlError);
  const std::string lost =
      "The transaction was taken back when one of its statements failed. Roll it back and begin "
      "another.";
  EXPECT_EQ(message_of([&] { storage.sql().exec("INSERT INTO t VALUES (2)"); }), lost);
  EXPECT_EQ(message_of([&] { storage.kv().put("a", 1); }), lost);
  EXPECT_EQ(message_of([&] { static_cast<void>(storage.begin()); }), lost);
  EXPECT_EQ(message_of([&] { transaction.commit(); }), lost);
  EXPECT_EQ(count(storage), 0);
  storage.sql().exec("INSERT INTO t VALUES (2)");
  EXPECT_EQ(count(storage), 1);
}

TEST_F(StorageTest, AlarmsAreKeptWithTheObject) {
  const Time when(std::chrono::milliseconds(now_ms_ + 5000));
  {
    Storage storage = create("a");
    EXPECT_EQ(storage.get_alarm(), std::nullopt);
    storage.set_alarm(when);
    EXPECT_EQ(storage.get_alarm(), when);
    storage.sync();
  }
  crash();
  Storage storage = sqlite_->open("a");
  EXPECT_EQ(storage.get_alarm(), when);
  storage.delete_alarm();
  EXPECT_EQ(storage.get_alarm(), std::nullopt);
  EXPECT_EQ(message_of([&] { storage.set_alarm(Time()); }),
            "An alarm must be set to a time after 1970-01-01T00:00:00.000Z, not to "
            "1970-01-01T00:00:00.000Z.");
  Storage keyed = create_keyed("a");
  keyed.set_alarm(when);
  keyed.close();
  EXPECT_EQ(keyed_->open("a", Namespace::OpenMode::kCreateIfMissing).get_alarm(), when);
}

TEST_F(StorageTest, DeletesAll) {
  Storage storage = counter("a");
  storage.kv().put("k", 1);
  storage.set_alarm(Time(std::chrono::milliseconds(now_ms_ + 5000)));
  storage.delete_all();
  EXPECT_FALSE(storage.kv().get("k"));
  EXPECT_EQ(storage.get_alarm(), std::nullopt);
  EXPECT_THROW(count(storage), SqlError);
  storage.kv().put("k", 2);
  Transaction outer = storage.begin();
  const Transaction inner = storage.begin();
  EXPECT_EQ(message_of([&] { storage.delete_all(); }),
            "delete_all() cannot be used in a transaction that is inside another.");
}

TEST_F(StorageTest, DeletesAllOrNothingInATransaction) {
  Storage storage = counter("a");
  storage.sql().exec(
      "INSERT INTO t VALUES (1), (2); CREATE TABLE a (x); CREATE VIEW v AS SELECT 1");
  Transaction transaction = storage.begin();
  {
    Statement running = storage.sql().prepare("SELECT a FROM t");
    ASSERT_TRUE(running.step());
    EXPECT_EQ(message_of([&] { storage.delete_all(); }), "database table is locked: SQLITE_LOCKED");
  }
  transaction.commit();
  EXPECT_EQ(count(storage), 2);
  EXPECT_EQ(storage.sql().exec("SELECT count(*) FROM v").one<int>(), 1);
  Transaction second = storage.begin();
  storage.delete_all();
  storage.kv().put("k", 1);
  second.commit();
  EXPECT_THROW(count(storage), SqlError);
  EXPECT_TRUE(storage.kv().get("k"));
}

TEST_F(StorageTest, KeyValueObjectsHaveNeitherSqlNorBookmarks) {
  Storage storage = create_keyed("a");
  const std::string id = storage.id().to_string();
  EXPECT_EQ(storage.kind(), StorageKind::kKeyValue);
  EXPECT_EQ(
      message_of([&] { static_cast<void>(storage.sql()); }),
      "The object " + id + " has key-value storage (new_classes), and no SQL: use Storage::kv().");
  EXPECT_EQ(message_of([&] { static_cast<void>(storage.get_current_bookmark()); }),
            "The object " + id + " has key-value storage (new_classes), which has no bookmarks.");
}

TEST_F(StorageTest, GoesBackToABookmarkAndForthAgain) {
  Storage storage = counter("a");
  storage.kv().put("k", "old");
  storage.sql().exec("INSERT INTO t VALUES (1)");
  const std::string then = storage.get_current_bookmark();
  EXPECT_EQ(then.size(), 59u);
  const Time at{std::chrono::milliseconds(now_ms_)};
  now_ms_ += 60'000;
  storage.sql().exec("INSERT INTO t VALUES (2)");
  storage.kv().put("k", "new");
  storage.set_alarm(Time(std::chrono::milliseconds(now_ms_ + 5000)));
  EXPECT_LT(then, storage.get_current_bookmark());
  EXPECT_EQ(storage.get_bookmark_for_time(at), then);
  Statement before = storage.sql().prepare("SELECT 1");
  const std::string undo = storage.restore(then);
  EXPECT_EQ(code_of([&] { before.step(); }), ErrorCode::kInvalid);
  EXPECT_EQ(count(storage), 1);
  EXPECT_EQ(storage.kv().get("k")->as_string(), "old");
  EXPECT_EQ(storage.get_alarm(), std::nullopt);
  storage.restore(undo);
  EXPECT_EQ(count(storage), 2);
  EXPECT_EQ(storage.kv().get("k")->as_string(), "new");
  EXPECT_TRUE(storage.get_alarm().has_value());
  storage.sync();
  storage.close();
  crash();
  Storage again = sqlite_->open("a");
  EXPECT_EQ(count(again), 2);
}

// onNextSessionRestoreBookmark() in JavaScript, or a crash in the middle of restore().
TEST_F(StorageTest, OpeningMakesARestoreThatWaits) {
  Storage storage = counter("a");
  const std::string then = storage.get_current_bookmark();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  {
    const EngineState::Use use(*state_);
    const auto ns = use.catalog().open_namespace(sqlite_->key());
    const runtime::ObjectId object(storage.id().bytes());
    runtime::PointInTime(use.store(), use.catalog()).schedule({ns, object, {}}, then);
  }
  EXPECT_EQ(count(storage), 1);
  storage.close();
  Storage again = sqlite_->open("a");
  EXPECT_EQ(count(again), 0);
}

TEST_F(StorageTest, ShowsItsPastAndWhatARestoreWouldDo) {
  Storage storage = counter("a");
  const std::string first = storage.get_current_bookmark();
  now_ms_ += 1000;
  storage.sql().exec("INSERT INTO t VALUES (1)");
  const std::string second = storage.get_current_bookmark();
  storage.sql().exec("INSERT INTO t VALUES (2)");
  const RestorePlan plan = storage.plan_restore(first);
  EXPECT_EQ(plan.commits, 2u);
  EXPECT_EQ(plan.changed_pages, 1u) << "the one with the rows";
  EXPECT_EQ(count(storage), 2) << "nothing was done";
  storage.restore(first);
  const Past past = storage.past(100);
  ASSERT_EQ(past.commits.size(), 4u);
  EXPECT_EQ(past.end, Past::End::kBeginning);
  EXPECT_TRUE(past.commits[0].is_restore);
  EXPECT_EQ(past.commits[2].bookmark, second);
  EXPECT_EQ(past.commits[3].bookmark, first);
  EXPECT_FALSE(past.commits[2].is_restore);
  EXPECT_EQ(past.commits[2].time, Time(std::chrono::milliseconds(now_ms_)));
  EXPECT_EQ(past.commits[2].database_bytes, 8192u);
  EXPECT_GT(past.commits[2].bytes, 0u);
  EXPECT_EQ(storage.past(2).commits.size(), 2u);
  EXPECT_EQ(storage.past(2).end, Past::End::kMore);
  EXPECT_EQ(code_of([&] { static_cast<void>(storage.plan_restore("x")); }), ErrorCode::kInvalid);
}

TEST_F(StorageTest, RefusesBookmarksThatAreNotThisObjects) {
  Storage a = counter("a");
  Storage b = counter("b");
  const std::string of_b = b.get_current_bookmark();
  EXPECT_EQ(code_of([&] { a.restore(of_b); }), ErrorCode::kInvalid);
  EXPECT_EQ(code_of([&] { a.restore("nonsense"); }), ErrorCode::kInvalid);
  EXPECT_EQ(
      message_of([&] { a.restore("nonsense"); }),
      "The bookmark \"nonsense\" is malformed, and so not as it was given out. A bookmark has "
      "groups of 8, 8, 8 and 32 digits, 0 to 9 and a to f; the last 16 are a checksum of the "
      "others.");
  EXPECT_EQ(code_of([&] {
              static_cast<void>(
                  a.get_bookmark_for_time(Time(std::chrono::milliseconds(now_ms_ + 1'000'000))));
            }),
            ErrorCode::kRange);
  EXPECT_EQ(count(a), 0);
  const Transaction open = a.begin();
  EXPECT_EQ(message_of([&] { a.restore(of_b); }),
            "Bookmarks cannot be used while a transaction is open.");
}

TEST_F(StorageTest, ClosingRollsBackAndMayBeRepeated) {
  Storage storage = counter("a");
  Transaction open = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (1)");
  storage.close();
  storage.close();
  EXPECT_EQ(message_of([&] { open.commit(); }), "This transaction has ended already.");
  EXPECT_EQ(code_of([&] { static_cast<void>(storage.begin()); }), ErrorCode::kInvalid);
  EXPECT_EQ(code_of([&] { storage.sync(); }), ErrorCode::kInvalid);
  Storage again = sqlite_->open("a");
  EXPECT_EQ(count(again), 0);
}

TEST_F(StorageTest, ThreadsUseObjectsOfTheirOwn) {
  const auto work = [this](const std::string& name) {
    Storage storage = counter(name);
    for (int i = 0; i < 500; ++i) {
      storage.sql().exec("INSERT INTO t VALUES (?)", i);
      storage.kv().put("k", i);
    }
    storage.sync();
  };
  std::thread other(work, "a");
  work("b");
  other.join();
  crash();
  for (const char* name : {"a", "b"}) {
    Storage storage = sqlite_->open(name);
    EXPECT_EQ(count(storage), 500);
    EXPECT_EQ(storage.kv().get("k")->as_integer(), 499);
  }
}

TEST_F(StorageTest, AnObjectGoesFromThreadToThread) {
  Storage storage = counter("a");
  std::thread([&] { storage.sql().exec("INSERT INTO t VALUES (1)"); }).join();
  EXPECT_EQ(count(storage), 1);
}

TEST_F(StorageTest, NothingIsWrittenAfterTheLogHasFailed) {
  Storage storage = counter("a");
  storage.sync();
  disk_.fail(SimulatedFileSystem::Operation::kSync);
  storage.sql().exec("INSERT INTO t VALUES (1)");
  EXPECT_EQ(code_of([&] { storage.sync(); }), ErrorCode::kPoisoned);
  while (failure_.empty()) std::this_thread::yield();
  EXPECT_EQ(code_of([&] { storage.sql().exec("INSERT INTO t VALUES (2)"); }), ErrorCode::kPoisoned);
  EXPECT_EQ(code_of([&] { storage.kv().put("k", 2); }), ErrorCode::kPoisoned);
  EXPECT_EQ(code_of([&] { engine_->checkpoint(); }), ErrorCode::kPoisoned);
  EXPECT_EQ(count(storage), 1) << "reads go on";
}

TEST_F(StorageTest, AFullDiskRefusesCommitsAndNothingElse) {
  Storage storage = counter("a");
  storage.sync();
  disk_.set_capacity(disk_.used_bytes());
  int written = 0;
  try {
    const std::string large(1 << 20, 'x');
    for (; written < 100; ++written) storage.sql().exec("INSERT INTO t VALUES (?)", large);
    ADD_FAILURE() << "the disk did not fill up";
  } catch (const SqlError& error) {
    EXPECT_EQ(error.sqlite_code() & 0xff, 13) << error.what();
  }
  EXPECT_EQ(count(storage), written);
}

// A transaction that is larger than what the log keeps free is refused when it is committed, which
// leaves SQLite in doubt.
TEST_F(StorageTest, GoesOnAfterACommitThatLeavesSqliteInDoubt) {
  Storage storage = counter("a");
  Statement before = storage.sql().prepare("SELECT 1");
  storage.sync();
  // Once the log has its spare segment, it takes commits until that is full.
  constexpr std::uint64_t kSegmentBytes = 4 << 20;
  while (disk_.used_bytes() < 2 * kSegmentBytes) std::this_thread::yield();
  disk_.set_capacity(disk_.used_bytes() + (1 << 20));
  Transaction transaction = storage.begin();
  for (int i = 0; i < 4; ++i) storage.sql().exec("INSERT INTO t VALUES (randomblob(1900000))");
  EXPECT_THROW(transaction.commit(), SqlError);
  EXPECT_EQ(code_of([&] { before.step(); }), ErrorCode::kInvalid) << "its database is gone";
  EXPECT_EQ(count(storage), 0);
  disk_.set_capacity(std::uint64_t{1} << 40);
  // The log takes new commits once it has noticed.
  const auto accepted = [&] {
    try {
      storage.sql().exec("INSERT INTO t VALUES (1)");
      return true;
    } catch (const SqlError&) {
      return false;
    }
  };
  while (!accepted()) std::this_thread::yield();
  storage.sync();
  storage.close();
  crash();
  Storage again = sqlite_->open("a");
  EXPECT_EQ(count(again), 1);
}

}  // namespace
}  // namespace perdure::native::testing
