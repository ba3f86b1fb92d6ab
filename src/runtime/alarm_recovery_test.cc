// An object's alarm and what else it stores belong to the same commit, whenever the power goes off.
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "base/simulated_file_system.h"
#include "runtime/shard.h"
#include "store/store_testing.h"

namespace perdure::runtime {
namespace {

using store::testing::query;

constexpr std::uint64_t kFirstMs = 1'000'000;

// Objects that count their commits, and whose alarm says the same number: commit n sets it to
// kFirstMs + n, and each third one deletes it.
class AlarmRecoveryTest : public testing::Test {
 protected:
  struct Object {
    StorageKind kind;
    const char* name;
  };
  static constexpr Object kObjects[] = {
      {StorageKind::kSqlite, "a"}, {StorageKind::kKeyValue, "b"}, {StorageKind::kSqlite, "c"}};

  ~AlarmRecoveryTest() override { close(); }

  void open() {
    auto options = store::testing::simulated_options(disk_);
    options.segment_bytes = 1 << 20;
    store_ = store::Store::open(options);
    catalog_ = std::make_unique<Catalog>(*store_);
    sqlite_ = catalog_->open_namespace("sqlite");
    key_value_ = catalog_->open_namespace("kv", StorageKind::kKeyValue);
    shard_ = std::make_unique<Shard>(*store_, *catalog_);
    for (const NamespaceNumber ns : {sqlite_, key_value_})
      shard_->load_alarms(ns, [](const ObjectId&) { return true; });
  }

  void close() {
    testing::internal::CaptureStderr();
    shard_.reset();
    catalog_.reset();
    store_.reset();
    testing::internal::GetCapturedStderr();
  }

  [[nodiscard]] NamespaceNumber ns(const Object& object) const {
    return object.kind == StorageKind::kSqlite ? sqlite_ : key_value_;
  }
  [[nodiscard]] ObjectId id(const Object& object) const {
    return (object.kind == StorageKind::kSqlite ? sqlite_ids_ : key_value_ids_)
        .from_name(object.name);
  }

  Slot start(const Object& object) {
    const Slot slot = shard_->add(ns(object), id(object), object.name);
    auto& core = shard_->at(slot).core;
    core.arrive(1);
    core.constructed();
    core.next();
    return slot;
  }

  void stop(Slot slot) {
    shard_->at(slot).core.finish(0);
    shard_->remove(slot);
  }

  std::uint64_t count(Slot slot) {
    const auto bytes = shard_->with_key_value(slot, [](auto& kv) -> std::string {
      const auto value = kv.get("n");
      if (!value) return "0";
      return {reinterpret_cast<const char*>(value->bytes.data()), value->bytes.size()};
    });
    return std::stoull(bytes);
  }

  static std::optional<std::uint64_t> alarm_of(std::uint64_t commit) {
    if (commit == 0 || commit % 3 == 0) return std::nullopt;
    return kFirstMs + commit;
  }

  // One more commit.
  void work(const Object& object) {
    const Slot slot = start(object);
    const std::uint64_t next = count(slot) + 1;
    const std::string text = std::to_string(next);
    shard_->begin_write(slot);
    shard_->with_key_value(slot,
                           [&](auto& kv) { kv.put("n", std::as_bytes(std::span(text)), true); });
    if (const auto time_ms = alarm_of(next)) {
      shard_->set_alarm(slot, *time_ms, 0);
    } else {
      shard_->delete_alarm(slot);
    }
    shard_->commit(slot);
    stop(slot);
  }

  // Each object is at some commit of its own, with everything that belongs to it.
  void check() {
    for (const Object& object : kObjects) {
      SCOPED_TRACE(object.name);
      const auto on_clock = shard_->clock().contains(id(object));
      const Slot slot = start(object);
      const std::uint64_t commit = count(slot);
      const auto expected = alarm_of(commit);
      const auto stored = catalog_->find_alarm(ns(object), id(object));
      EXPECT_EQ(stored.has_value(), expected.has_value()) << "at commit " << commit;
      if (stored && expected) {
        EXPECT_EQ(stored->alarm.time_ms, *expected);
        EXPECT_EQ(stored->name, object.name);
      }
      EXPECT_EQ(on_clock, expected.has_value());
      EXPECT_EQ(shard_->at(slot).core.get_alarm(), expected);
      if (object.kind == StorageKind::kSqlite && commit > 0) {
        const std::string value =
            query(shard_->database(slot), "SELECT value FROM _cf_METADATA WHERE key = 1");
        EXPECT_EQ(value, expected ? std::to_string(*expected) + "000000" : "NULL");
      }
      stop(slot);
    }
  }

  SimulatedFileSystem disk_;
  ObjectIdFactory sqlite_ids_{"sqlite"};
  ObjectIdFactory key_value_ids_{"kv"};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Shard> shard_;
  NamespaceNumber sqlite_ = 0;
  NamespaceNumber key_value_ = 0;
};

TEST_F(AlarmRecoveryTest, ACrashAtAnyOperationOfTheDiskLeavesBothOrNeither) {
  constexpr std::uint64_t kOperationsMax = 2'000;
  std::uint64_t operation = 1;
  for (bool crashed = true; crashed && operation < kOperationsMax; ++operation) {
    SCOPED_TRACE("operation " + std::to_string(operation));
    disk_.power_off_at(operation);
    try {
      open();
      for (int round = 0; round < 4; ++round) {
        for (const Object& object : kObjects) work(object);
        if (round == 1) store_->checkpoint();
        store_->log().wait_durable(store_->log().appended_lsn());
      }
    } catch (const Error&) {
      ASSERT_TRUE(disk_.is_power_off());
    }
    crashed = disk_.is_power_off();
    close();
    disk_.crash(operation);
    open();
    check();
    close();
    if (HasFailure()) return;
  }
  EXPECT_GT(operation, 20u);
  EXPECT_LT(operation, kOperationsMax);
}

// Checkpoints begin epochs, change the catalog, and must never wait for who waits for them.
TEST_F(AlarmRecoveryTest, CheckpointsInBetweenChangeNothing) {
  open();
  std::atomic<bool> stopping = false;
  std::thread checkpoints([&] {
    while (!stopping) store_->checkpoint();
  });
  for (int round = 0; round < 300; ++round)
    for (const Object& object : kObjects) work(object);
  check();
  stopping = true;
  checkpoints.join();
  store_->log().wait_durable(store_->log().appended_lsn());
  disk_.power_off_at(1);
  close();
  disk_.crash(1);
  open();
  check();
  EXPECT_EQ(count(start(kObjects[0])), 300u);
}

}  // namespace
}  // namespace perdure::runtime
