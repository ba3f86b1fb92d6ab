#include "runtime/shard.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "store/store_testing.h"

namespace perdure::runtime {
namespace {

using store::testing::message_of;
using store::testing::query;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ShardTest : public testing::Test {
 protected:
  ShardTest() { open(); }

  void open() {
    store_ = store::Store::open(store::testing::simulated_options(disk_));
    catalog_ = std::make_unique<Catalog>(*store_);
    ns_ = catalog_->open_namespace("ns");
    shard_ = std::make_unique<Shard>(*store_, *catalog_);
  }

  void restart() {
    shard_.reset();
    catalog_.reset();
    store_.reset();
    disk_.crash(1);
    open();
  }

  // An object with an instance, in the middle of its first event.
  Slot start(const std::string& name) {
    const Slot slot = shard_->add(ns_, factory_.from_name(name), name);
    auto& core = shard_->at(slot).core;
    core.arrive(1);
    core.constructed();
    core.next();
    return slot;
  }

  Lsn write(Slot slot, const char* sql) {
    EXPECT_TRUE(shard_->begin_write(slot));
    shard_->database(slot).execute(sql);
    return shard_->commit(slot);
  }

  std::string rows(Slot slot) {
    return query(shard_->database(slot), "SELECT a FROM t ORDER BY a");
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Shard> shard_;
  ObjectIdFactory factory_{"ns"};
  NamespaceNumber ns_ = 0;
};

TEST_F(ShardTest, OneTransactionHoldsAllWritesOfARun) {
  const Slot slot = start("a");
  EXPECT_TRUE(shard_->begin_write(slot));
  shard_->database(slot).execute("CREATE TABLE t(a)");
  EXPECT_FALSE(shard_->begin_write(slot)) << "it is open already";
  shard_->database(slot).execute("INSERT INTO t VALUES (1)");
  const Lsn first = shard_->commit(slot);
  EXPECT_GT(first, 0u);
  EXPECT_EQ(shard_->commit(slot), first) << "nothing new";
  EXPECT_GT(write(slot, "INSERT INTO t VALUES (2)"), first);
  EXPECT_EQ(rows(slot), "1;2");
}

TEST_F(ShardTest, ObjectsDoNotShareAnything) {
  const Slot a = start("a");
  const Slot b = start("b");
  write(a, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  write(b, "CREATE TABLE t(a); INSERT INTO t VALUES (2)");
  EXPECT_EQ(rows(a), "1");
  EXPECT_EQ(rows(b), "2");
}

TEST_F(ShardTest, ACommitThatFailsLeavesNothing) {
  const Slot slot = start("a");
  const Lsn before = write(slot, "CREATE TABLE t(a)");
  shard_->begin_write(slot);
  {
    auto open = shard_->database(slot).prepare("INSERT INTO t VALUES (1), (2) RETURNING a",
                                               store::Access::kUser);
    ASSERT_EQ(sqlite3_step(open.handle()), SQLITE_ROW);
    EXPECT_EQ(message_of([&] { shard_->commit(slot); }),
              "cannot commit transaction - SQL statements in progress: SQLITE_BUSY");
  }
  EXPECT_FALSE(shard_->at(slot).core.transaction_open());
  EXPECT_EQ(shard_->commit(slot), before) << "outputs depend on what was there before";
  EXPECT_EQ(rows(slot), "");
}

TEST_F(ShardTest, ClosingRollsBackWhatIsOpen) {
  const Slot slot = start("a");
  write(slot, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  shard_->begin_write(slot);
  shard_->with_key_value(slot, [](auto& kv) { kv.put("key", {}, true); });
  shard_->database(slot).execute("INSERT INTO t VALUES (2)");
  shard_->at(slot).core.reset(0);
  shard_->close_storage(slot);
  EXPECT_EQ(rows(slot), "1");
  EXPECT_FALSE(shard_->with_key_value(slot, [](auto& kv) { return kv.get("key"); }).has_value());
}

TEST_F(ShardTest, ObjectsOfKeyValueStorageCommitByThemselves) {
  ns_ = catalog_->open_namespace("kv", StorageKind::kKeyValue);
  const Slot a = start("a");
  const Slot b = start("b");
  const auto put = [&](Slot slot, const char* key) {
    shard_->with_key_value(slot, [&](auto& kv) { kv.put(key, {}, true); });
  };
  const auto has = [&](Slot slot, const char* key) {
    return shard_->with_key_value(slot, [&](auto& kv) { return kv.get(key).has_value(); });
  };
  EXPECT_TRUE(shard_->begin_write(a));
  EXPECT_FALSE(shard_->begin_write(a));
  put(a, "kept");
  EXPECT_TRUE(shard_->begin_write(b));
  put(b, "lost");
  const Lsn lsn = shard_->commit(a);
  EXPECT_EQ(shard_->at(a).core.output_lsn(), lsn);
  shard_->rollback(b);
  EXPECT_FALSE(shard_->at(b).core.transaction_open());
  EXPECT_FALSE(has(b, "lost"));

  shard_->begin_write(a);
  shard_->open_savepoint(a, 0);
  put(a, "inside");
  shard_->rollback_savepoint(a, 0);
  put(a, "outside");
  EXPECT_GT(shard_->commit(a, 1), 0u);
  EXPECT_EQ(shard_->at(a).core.output_lsn(), lsn) << "its one write was unconfirmed";
  EXPECT_FALSE(has(a, "inside"));
  EXPECT_EQ(message_of([&] { shard_->database(a); }),
            "An object of key-value storage has no database.");

  shard_->begin_write(a);
  put(a, "lost");
  shard_->at(a).core.reset(0);
  shard_->close_storage(a);
  EXPECT_TRUE(has(a, "outside"));
  EXPECT_FALSE(has(a, "lost"));
  EXPECT_GT(shard_->at(a).core.output_lsn(), lsn) << "what it reads may not be durable";
}

TEST_F(ShardTest, WithoutAnInstanceNothingIsWritten) {
  const Slot slot = start("a");
  shard_->at(slot).core.reset(0);
  EXPECT_EQ(message_of([&] { shard_->begin_write(slot); }),
            "This Durable Object has no instance that could write.");
  EXPECT_FALSE(shard_->at(slot).core.transaction_open());
}

TEST_F(ShardTest, AnObjectThatWasForgottenComesBackWithItsStateAndItsDependency) {
  const Slot slot = start("a");
  const Lsn lsn = write(slot, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  shard_->at(slot).core.finish(0);
  shard_->at(slot).core.evict();
  shard_->remove(slot);
  EXPECT_THROW((void)shard_->at(slot), Error);
  const Slot again = start("a");
  EXPECT_EQ(again, slot) << "a slot is used again";
  EXPECT_EQ(rows(again), "1");
  EXPECT_EQ(shard_->commit(again), lsn) << "what it reads may not be durable yet";
}

TEST_F(ShardTest, ClosingTheShardRollsBackAndACrashKeepsWhatWasDurable) {
  const Slot slot = start("a");
  const Lsn lsn = write(slot, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
  store_->log().wait_durable(lsn);
  shard_->begin_write(slot);
  shard_->database(slot).execute("INSERT INTO t VALUES (2)");
  shard_->close();
  EXPECT_THROW((void)shard_->at(slot), Error);
  restart();
  EXPECT_EQ(rows(start("a")), "1");
}

TEST_F(ShardTest, NamesTheIdleOnes) {
  const Slot busy = start("busy");
  const Slot idle = start("idle");
  const Slot writing = start("writing");
  const Slot failed = start("failed");
  EXPECT_THAT(shard_->idle(100'000, 10'000), IsEmpty());
  shard_->at(idle).core.finish(1'000);
  shard_->begin_write(writing);
  shard_->at(writing).core.finish(1'000);
  shard_->at(failed).core.reset(2'000);
  EXPECT_THAT(shard_->idle(11'000, 10'000), ElementsAre(idle));
  EXPECT_THAT(shard_->idle(12'000, 10'000), ElementsAre(idle, failed));
  shard_->commit(writing);
  EXPECT_THAT(shard_->idle(12'000, 10'000), ElementsAre(idle, writing, failed));
  shard_->at(busy).core.finish(5'000);
  EXPECT_THAT(shard_->idle(15'000, 10'000), ElementsAre(busy, idle, writing, failed));
}

// ---- alarms

class ShardAlarmTest : public ShardTest {
 protected:
  static constexpr std::uint64_t kRetryMs = object::AlarmState::kRetryFirstMs;

  void reopen() {
    store_->log().wait_durable(store_->log().appended_lsn());
    restart();
    shard_->load_alarms(ns_, [](const ObjectId&) { return true; });
  }

  void use_key_value() { ns_ = catalog_->open_namespace("kv", StorageKind::kKeyValue); }

  void set(Slot slot, std::uint64_t time_ms) {
    shard_->begin_write(slot);
    shard_->set_alarm(slot, time_ms, 0);
    shard_->commit(slot);
  }

  // Its handler runs.
  void begin(Slot slot, std::uint64_t now_ms) {
    ASSERT_TRUE(shard_->alarm_due(slot, now_ms));
    ASSERT_TRUE(shard_->alarm_begins(slot, now_ms).has_value());
  }

  std::optional<std::uint64_t> next_ms() {
    const auto* first = shard_->clock().first();
    return first == nullptr ? std::nullopt : std::optional(first->due_ms);
  }

  std::optional<Catalog::StoredAlarm> stored(const std::string& name) {
    return catalog_->find_alarm(ns_, factory_.from_name(name));
  }
};

TEST_F(ShardAlarmTest, TheClockHasItAfterTheCommit) {
  const Slot slot = start("a");
  shard_->begin_write(slot);
  shard_->set_alarm(slot, 500, 100);
  EXPECT_EQ(next_ms(), std::nullopt);
  const Lsn before = store_->log().appended_lsn();
  const Lsn lsn = shard_->commit(slot);
  EXPECT_GT(lsn, before);
  EXPECT_EQ(lsn, store_->log().appended_lsn()) << "what depends on it waits for both records";
  EXPECT_EQ(next_ms(), 500u);
  EXPECT_FALSE(shard_->first_due(499).has_value());
  const auto due = shard_->first_due(500);
  ASSERT_TRUE(due.has_value());
  EXPECT_EQ(due->name, "a");
  EXPECT_EQ(due->id, factory_.from_name("a"));
  shard_->begin_write(slot);
  shard_->set_alarm(slot, 900, 100);
  shard_->rollback(slot);
  EXPECT_EQ(next_ms(), 500u);
  shard_->begin_write(slot);
  shard_->delete_alarm(slot);
  shard_->commit(slot);
  EXPECT_EQ(next_ms(), std::nullopt);
  EXPECT_FALSE(stored("a").has_value());
}

TEST_F(ShardAlarmTest, FollowsSavepoints) {
  const Slot slot = start("a");
  shard_->begin_write(slot);
  shard_->set_alarm(slot, 500, 0);
  shard_->open_savepoint(slot, 0);
  shard_->set_alarm(slot, 600, 0);
  shard_->rollback_savepoint(slot, 0);
  shard_->open_savepoint(slot, 0);
  shard_->open_savepoint(slot, 1);
  shard_->delete_alarm(slot);
  shard_->rollback_savepoint(slot, 1);
  shard_->release_savepoint(slot, 0);
  shard_->commit(slot);
  EXPECT_EQ(next_ms(), 500u);
}

TEST_F(ShardAlarmTest, EndsWithItsCommitAndNotBefore) {
  for (const bool key_value : {false, true}) {
    SCOPED_TRACE(key_value);
    if (key_value) use_key_value();
    set(start("a"), 500);
    reopen();
    if (key_value) use_key_value();
    shard_->load_alarms(ns_, [](const ObjectId&) { return true; });
    EXPECT_EQ(next_ms(), 500u);
    Slot slot = start("a");
    begin(slot, 700);
    EXPECT_EQ(next_ms(), std::nullopt) << "it rings";
    shard_->alarm_returned(slot);
    reopen();
    if (key_value) use_key_value();
    shard_->load_alarms(ns_, [](const ObjectId&) { return true; });
    EXPECT_EQ(next_ms(), 500u) << "nothing has been committed";
    slot = start("a");
    begin(slot, 700);
    shard_->alarm_returned(slot);
    shard_->commit(slot);
    reopen();
    if (key_value) use_key_value();
    shard_->load_alarms(ns_, [](const ObjectId&) { return true; });
    EXPECT_EQ(next_ms(), std::nullopt);
  }
}

TEST_F(ShardAlarmTest, ARetryKeepsItsDelayAndItsCountOverARestart) {
  Slot slot = start("a");
  set(slot, 500);
  begin(slot, 500);
  EXPECT_EQ(shard_->alarm_failed(slot, 1'000), object::AlarmFailure::kRetry);
  EXPECT_EQ(next_ms(), 1'000 + kRetryMs);
  reopen();
  EXPECT_EQ(next_ms(), 1'000 + kRetryMs);
  slot = start("a");
  EXPECT_EQ(shard_->at(slot).core.get_alarm(), 500u);
  ASSERT_TRUE(shard_->alarm_due(slot, 1'000 + kRetryMs));
  const auto run = shard_->alarm_begins(slot, 1'000 + kRetryMs);
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->scheduled_ms, 500u);
  EXPECT_EQ(run->retry_count, 1u);
}

TEST_F(ShardAlarmTest, ADroppedOneIsGoneEverywhere) {
  const Slot slot = start("a");
  set(slot, 500);
  std::uint64_t now_ms = 500;
  for (auto expected = object::AlarmFailure::kRetry; expected != object::AlarmFailure::kDropped;) {
    begin(slot, now_ms);
    expected = shard_->alarm_failed(slot, now_ms);
    if (expected == object::AlarmFailure::kRetry) now_ms = *next_ms();
  }
  EXPECT_EQ(now_ms, 500 + kRetryMs * ((1 << object::AlarmState::kRetriesMax) - 1));
  EXPECT_EQ(next_ms(), std::nullopt);
  EXPECT_FALSE(stored("a").has_value());
  EXPECT_EQ(query(shard_->database(slot), "SELECT key, value FROM _cf_METADATA"), "1|NULL");
}

TEST_F(ShardAlarmTest, ACommitThatFailsLeavesTheCatalogAsItWas) {
  const Slot slot = start("a");
  const Slot other = start("other");
  write(slot, "CREATE TABLE t(a)");
  set(other, 700);
  shard_->begin_write(slot);
  shard_->set_alarm(slot, 500, 0);
  {
    auto open = shard_->database(slot).prepare("INSERT INTO t VALUES (1), (2) RETURNING a",
                                               store::Access::kUser);
    ASSERT_EQ(sqlite3_step(open.handle()), SQLITE_ROW);
    EXPECT_THROW(shard_->commit(slot), store::SqlError);
  }
  EXPECT_EQ(next_ms(), 700u);
  EXPECT_FALSE(stored("a").has_value());
  EXPECT_EQ(stored("other")->alarm.time_ms, 700u);
  set(slot, 600);
  EXPECT_EQ(stored("a")->alarm.time_ms, 600u);
  reopen();
  EXPECT_EQ(next_ms(), 600u);
}

TEST_F(ShardAlarmTest, AnObjectThatOnlySetsOneIsThere) {
  set(start("a"), 500);
  use_key_value();
  factory_ = ObjectIdFactory("kv");
  set(start("b"), 600);
  EXPECT_EQ(stored("b")->alarm.time_ms, 600u);
  reopen();
  EXPECT_EQ(next_ms(), 500u);
}

TEST_F(ShardAlarmTest, WhoComesBackKnowsItAndDependsOnIt) {
  const Slot slot = start("a");
  set(slot, 500);
  shard_->at(slot).core.finish(0);
  shard_->at(slot).core.evict();
  shard_->remove(slot);
  const Slot again = start("a");
  EXPECT_EQ(shard_->at(again).core.get_alarm(), 500u);
  EXPECT_EQ(shard_->at(again).core.output_lsn(), store_->log().appended_lsn());
}

TEST_F(ShardAlarmTest, EmptyingTheStorageTakesItAlongOrNot) {
  for (const bool with_alarm : {false, true}) {
    const Slot slot = start(with_alarm ? "gone" : "kept");
    set(slot, 500);
    shard_->begin_write(slot);
    shard_->remove_all(slot, with_alarm);
    shard_->commit(slot);
    EXPECT_EQ(stored(with_alarm ? "gone" : "kept").has_value(), !with_alarm);
    EXPECT_EQ(query(shard_->database(slot), "SELECT value FROM _cf_METADATA"),
              with_alarm ? "NULL" : "500000000");
  }
}

TEST_F(ShardAlarmTest, ClosesWhileAnAlarmIsAtWork) {
  const Slot slot = start("a");
  set(slot, 500);
  begin(slot, 500);
  shard_->begin_write(slot);
  shard_->close();
  reopen();
  EXPECT_EQ(next_ms(), 500u);
}

}  // namespace
}  // namespace perdure::runtime
