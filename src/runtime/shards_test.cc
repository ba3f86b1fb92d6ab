// Several shards on one data directory, each on a thread of its own: run it with ThreadSanitizer.
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/simulated_file_system.h"
#include "runtime/catalog.h"
#include "runtime/shard.h"
#include "store/store_testing.h"

namespace perdure::runtime {
namespace {

using store::testing::query;

constexpr std::uint32_t kShards = 4;
constexpr int kObjectsPerShard = 8;
constexpr int kCommitsPerShard = 400;
constexpr std::uint64_t kFarMs = 4'000'000'000'000;

// What each object's storage must hold in the end: as many rows, and an alarm or none.
struct Expected {
  std::string name;
  StorageKind kind = StorageKind::kSqlite;
  int commits = 0;
  std::optional<std::uint64_t> alarm_ms;
};

class ShardsTest : public testing::Test {
 protected:
  void open() {
    auto options = store::testing::simulated_options(disk_);
    options.segment_bytes = 1 << 20;
    options.checkpoint_log_bytes = 300 << 10;  // checkpoints run all the time
    store_ = store::Store::open(options);
    catalog_ = std::make_unique<Catalog>(*store_);
    sqlite_ = catalog_->open_namespace("sqlite");
    key_value_ = catalog_->open_namespace("kv", StorageKind::kKeyValue);
  }

  [[nodiscard]] NamespaceNumber ns(StorageKind kind) const {
    return kind == StorageKind::kSqlite ? sqlite_ : key_value_;
  }
  [[nodiscard]] const ObjectIdFactory& factory(StorageKind kind) const {
    return kind == StorageKind::kSqlite ? sqlite_ids_ : key_value_ids_;
  }

  // An object with an instance, in the middle of an event.
  Slot start(Shard& shard, const Expected& object) const {
    const Slot slot =
        shard.add(ns(object.kind), factory(object.kind).from_name(object.name), object.name);
    auto& core = shard.at(slot).core;
    core.arrive(1);
    core.constructed();
    core.next();
    return slot;
  }

  // One commit: a row or key more, and at times another alarm, or none.
  void commit(Shard& shard, Slot slot, Expected& object, std::mt19937_64& random) const {
    shard.begin_write(slot);
    const std::string n = std::to_string(object.commits);
    if (object.kind == StorageKind::kSqlite) {
      shard.database(slot).execute(
          ("CREATE TABLE IF NOT EXISTS t(n PRIMARY KEY, v); INSERT INTO t VALUES (" + n +
           ", randomblob(200))")
              .c_str());
    } else {
      const std::vector<std::byte> value(100, std::byte{'v'});
      shard.with_key_value(slot, [&](auto& kv) { kv.put("key " + n, value, false); });
    }
    if (random() % 3 == 0) {
      object.alarm_ms = kFarMs + random() % 1000;
      shard.set_alarm(slot, *object.alarm_ms, 1);
    } else if (random() % 5 == 0) {
      object.alarm_ms.reset();
      shard.delete_alarm(slot);
    }
    shard.commit(slot);
    ++object.commits;
  }

  // What one thread does. Objects come and go, so that the catalog is asked all the time.
  void work(std::uint32_t index, std::vector<Expected>& objects) {
    std::mt19937_64 random(index);
    Shard shard(*store_, *catalog_);
    for (int i = 0; i < kCommitsPerShard; ++i) {
      Expected& object = objects[random() % objects.size()];
      const Slot slot = start(shard, object);
      commit(shard, slot, object, random);
      if (random() % 20 == 0) store_->log().wait_durable(store_->log().appended_lsn());
      shard.at(slot).core.finish(1);
      shard.remove(slot);
    }
    shard.close();
  }

  void verify(const Expected& object) {
    SCOPED_TRACE(object.name);
    Shard shard(*store_, *catalog_);
    const Slot slot = start(shard, object);
    if (object.commits > 0 && object.kind == StorageKind::kSqlite) {
      EXPECT_EQ(query(shard.database(slot), "SELECT count(*) FROM t"),
                std::to_string(object.commits));
    }
    if (object.kind == StorageKind::kKeyValue) {
      int count = 0;
      shard.with_key_value(slot, [&](auto& kv) {
        while (kv.get("key " + std::to_string(count)).has_value()) ++count;
      });
      EXPECT_EQ(count, object.commits);
    }
    const auto alarm = catalog_->find_alarm(ns(object.kind), shard.at(slot).id);
    EXPECT_EQ(alarm.has_value(), object.alarm_ms.has_value());
    if (alarm && object.alarm_ms) {
      EXPECT_EQ(alarm->alarm.time_ms, *object.alarm_ms);
    }
    shard.at(slot).core.finish(1);
    shard.remove(slot);
    shard.close();
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  ObjectIdFactory sqlite_ids_{"sqlite"};
  ObjectIdFactory key_value_ids_{"kv"};
  NamespaceNumber sqlite_ = 0;
  NamespaceNumber key_value_ = 0;
};

TEST_F(ShardsTest, ThreadsCommitAtOneTimeAndNothingIsLost) {
  open();
  std::vector<std::vector<Expected>> objects(kShards);
  for (std::uint32_t shard = 0; shard < kShards; ++shard) {
    for (int i = 0; i < kObjectsPerShard; ++i) {
      objects[shard].push_back({.name = std::to_string(shard) + "/" + std::to_string(i),
                                .kind = i % 2 == 0 ? StorageKind::kSqlite : StorageKind::kKeyValue,
                                .alarm_ms = {}});
    }
  }
  std::vector<std::thread> threads;
  for (std::uint32_t shard = 0; shard < kShards; ++shard)
    threads.emplace_back([&, shard] { work(shard, objects[shard]); });
  for (auto& thread : threads) thread.join();
  for (const auto& of_shard : objects)
    for (const Expected& object : of_shard) verify(object);

  // The same after a power cut, as all of it was durable.
  store_->log().wait_durable(store_->log().appended_lsn());
  disk_.power_off_at(1);
  testing::internal::CaptureStderr();
  catalog_.reset();
  store_.reset();
  testing::internal::GetCapturedStderr();
  disk_.crash(7);
  open();
  for (const auto& of_shard : objects)
    for (const Expected& object : of_shard) verify(object);
}

TEST(ShardOfObject, IsDecidedByTheFirstBytesOfItsId) {
  ObjectId::Bytes bytes{};
  bytes[3] = 5;
  EXPECT_EQ(ObjectId(bytes).shard(1), 0u);
  EXPECT_EQ(ObjectId(bytes).shard(4), 1u);
  bytes[0] = 0xff;
  EXPECT_EQ(ObjectId(bytes).shard(7), 0xff000005u % 7);
}

}  // namespace
}  // namespace perdure::runtime
