#include "store/key_value_buffer.h"

#include <map>
#include <random>

#include "store/store_testing.h"

namespace perdure::store {
namespace {

using testing::message_of;

constexpr ObjectNumber kNumber = 2;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

void put(KeyValueBuffer& kv, std::string_view key, std::string_view value, bool is_text = true) {
  kv.put(key, bytes(value), is_text);
}

std::string text_of(const KeyValue::Value& value) {
  return std::string(value.is_text ? "" : "blob:") +
         std::string(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

std::string get(KeyValueBuffer& kv, std::string_view key) {
  const auto value = kv.get(key);
  return value ? text_of(*value) : "none";
}

// Keys and values as "a=1 b=2".
std::string list(KeyValueBuffer& kv, const KeyValue::ListOptions& options = {}) {
  std::string pairs;
  auto cursor = kv.list(options);
  while (cursor.next()) {
    if (!pairs.empty()) pairs += ' ';
    pairs += std::string(cursor.key()) + "=" + text_of(cursor.value());
  }
  return pairs;
}

class KeyValueBufferTest : public ::testing::Test {
 protected:
  KeyValueBufferTest() { open(); }
  ~KeyValueBufferTest() override { shared_->close(); }

  void open() {
    store_ = Store::open(testing::simulated_options(disk_));
    shared_ = std::make_shared<SharedKeyValue>(*store_, store_->file(kNumber, "data.sqlite"));
  }

  void crash() {
    store_->log().wait_durable(store_->log().appended_lsn());
    disk_.power_off_at(1);
    disk_.crash(1);
    shared_->close();
    ::testing::internal::CaptureStderr();
    store_.reset();
    ::testing::internal::GetCapturedStderr();
    open();
  }

  KeyValueBuffer object(const std::string& id, const std::string& ns = "ns") {
    return {shared_, {ns, id}};
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<SharedKeyValue> shared_;
};

TEST_F(KeyValueBufferTest, ReadingCreatesNothing) {
  KeyValueBuffer a = object("a");
  EXPECT_EQ(get(a, "k"), "none");
  EXPECT_FALSE(a.remove("k"));
  EXPECT_EQ(list(a), "");
  EXPECT_EQ(a.commit(), 0u);
  EXPECT_EQ(store_->log().appended_lsn(), 0u);
}

TEST_F(KeyValueBufferTest, WhatIsWrittenIsSeenByItsObjectAtOnceAndByNobodyElse) {
  KeyValueBuffer a = object("a");
  KeyValueBuffer again = object("a");
  put(a, "k", "1");
  put(a, "b", std::string_view("\0\xff", 2), false);
  EXPECT_EQ(get(a, "k"), "1");
  EXPECT_EQ(get(again, "k"), "none");
  EXPECT_EQ(a.commit(), 1u) << "one record of the log";
  EXPECT_EQ(get(again, "k"), "1");
  EXPECT_EQ(get(again, "b"), std::string("blob:\0\xff", 7));
  put(a, "k", "2");
  EXPECT_TRUE(a.remove("b"));
  EXPECT_FALSE(a.remove("b"));
  EXPECT_EQ(list(a), "k=2");
  EXPECT_EQ(get(again, "k"), "1");
  a.rollback();
  EXPECT_EQ(get(a, "k"), "1");
  EXPECT_TRUE(a.remove("b"));
  EXPECT_EQ(a.commit(), 2u);
  EXPECT_EQ(list(again), "k=1");
}

TEST_F(KeyValueBufferTest, ObjectsAndNamespacesAreApart) {
  KeyValueBuffer a = object("a");
  KeyValueBuffer b = object("b");
  KeyValueBuffer other = object("a", "other");
  for (KeyValueBuffer* each : {&a, &b, &other}) {
    put(*each, "k", "1");
    each->commit();
  }
  a.remove_all();
  put(a, "new", "2");
  EXPECT_EQ(list(a), "new=2");
  a.commit();
  EXPECT_EQ(list(a), "new=2");
  EXPECT_EQ(list(b), "k=1");
  EXPECT_EQ(list(other), "k=1");
}

TEST_F(KeyValueBufferTest, OneObjectsRollbackTakesNothingOfAnother) {
  KeyValueBuffer a = object("a");
  KeyValueBuffer b = object("b");
  put(a, "k", "lost");
  put(b, "k", "kept");
  b.commit();
  a.rollback();
  put(a, "k2", "not committed");
  crash();
  EXPECT_EQ(list(*std::make_unique<KeyValueBuffer>(shared_, KeyOwner{"ns", "b"})), "k=kept");
  EXPECT_EQ(list(*std::make_unique<KeyValueBuffer>(shared_, KeyOwner{"ns", "a"})), "");
}

TEST_F(KeyValueBufferTest, Savepoints) {
  KeyValueBuffer a = object("a");
  put(a, "k", "1");
  put(a, "gone", "1");
  a.commit();
  put(a, "k", "2");
  a.open_savepoint(0);
  put(a, "k", "3");
  put(a, "new", "3");
  a.remove("gone");
  EXPECT_NE(message_of([&] { a.remove_all(); }), "nothing was thrown");
  a.open_savepoint(1);
  put(a, "k", "4");
  put(a, "inner", "4");
  a.release_savepoint(1);
  a.open_savepoint(1);
  a.remove("k");
  EXPECT_EQ(list(a), "inner=4 new=3");
  a.rollback_savepoint(1);
  EXPECT_EQ(list(a), "inner=4 k=4 new=3");
  a.rollback_savepoint(0);
  EXPECT_EQ(list(a), "gone=1 k=2");
  a.commit();
  EXPECT_EQ(list(a), "gone=1 k=2");
}

TEST_F(KeyValueBufferTest, ListsMergeWhatIsWrittenWithWhatIsThere) {
  KeyValueBuffer a = object("a");
  for (const char* key : {"a", "b", "d", "z"}) put(a, key, "old");
  a.commit();
  for (const char* key : {"", "b", "c", "e"}) put(a, key, "new");
  a.remove("d");
  EXPECT_EQ(list(a), "=new a=old b=new c=new e=new z=old");
  EXPECT_EQ(list(a, {.reverse = true}), "z=old e=new c=new b=new a=old =new");
  EXPECT_EQ(list(a, {.start = "b", .end = "z", .limit = 2}), "b=new c=new");
  EXPECT_EQ(list(a, {.start = "b", .after_start = true, .limit = 2, .reverse = true}),
            "z=old e=new");
  EXPECT_EQ(list(a, {.prefix = "d"}), "");
  EXPECT_EQ(list(a, {.start = "c", .end = "b"}), "");
  EXPECT_EQ(list(a, {.start = "c", .end = "b", .reverse = true}), "");
}

TEST_F(KeyValueBufferTest, ABufferHasALimit) {
  KeyValueBuffer a = object("a");
  const std::string value(KeyValueBuffer::kUncommittedBytesMax / 4, 'x');
  for (const char* key : {"a", "b", "c"}) put(a, key, value);
  for (int i = 0; i < 5; ++i) put(a, "c", value);  // what is replaced does not count
  EXPECT_EQ(message_of([&] { put(a, "d", value); }),
            "A transaction of this Durable Object is larger than 64 MiB. Commit what it writes in "
            "smaller parts.");
  // All of the transaction is gone, until the owner knows.
  EXPECT_TRUE(a.lost());
  for (const char* key : {"a", "d"}) EXPECT_EQ(get(a, key), "none");
  a.rollback();
  EXPECT_FALSE(a.lost());
  put(a, "d", value);
  EXPECT_EQ(get(a, "d"), value);
  // A savepoint keeps what it could bring back, once.
  for (std::uint32_t depth = 0; depth < 2; ++depth) {
    a.open_savepoint(depth);
    for (int i = 0; i < 5; ++i) put(a, "d", value);
  }
  EXPECT_NE(message_of([&] {
              put(a, "e", value);
              put(a, "f", value);
            }),
            "nothing was thrown");
  EXPECT_TRUE(a.lost());
}

// What an object has is what a map has, through every kind of write, commit, rollback and crash.
TEST_F(KeyValueBufferTest, AgreesWithAMap) {
  using Model = std::map<std::string, std::string>;
  constexpr int kSteps = 20'000;
  std::mt19937 random(20261121);
  const auto below = [&](unsigned n) { return static_cast<int>(random() % n); };
  auto kv = std::make_unique<KeyValueBuffer>(shared_, KeyOwner{"ns", "id"});
  KeyValueBuffer neighbour = object("ie");
  put(neighbour, "k1", "neighbour");
  neighbour.commit();
  Model committed;
  Model now;
  std::vector<Model> savepoints;
  const auto expect_same = [&] {
    const std::string start = "k" + std::to_string(below(30));
    const bool reverse = below(2) == 0;
    std::string expected;
    const auto add = [&](const auto& pair) {
      if (pair.first < start) return;
      if (!expected.empty()) expected += ' ';
      expected += pair.first + "=" + pair.second;
    };
    if (reverse) {
      for (auto it = now.rbegin(); it != now.rend(); ++it) add(*it);
    } else {
      for (const auto& pair : now) add(pair);
    }
    ASSERT_EQ(list(*kv, {.start = start, .reverse = reverse}), expected);
  };
  for (int step = 0; step < kSteps; ++step) {
    const std::string key = "k" + std::to_string(below(40));
    const auto depth = static_cast<std::uint32_t>(savepoints.size());
    switch (below(16)) {
      case 0:
        ASSERT_EQ(kv->remove(key), now.erase(key) == 1);
        break;
      case 1:
        kv->open_savepoint(depth);
        savepoints.push_back(now);
        break;
      case 2:
        if (depth == 0) break;
        kv->release_savepoint(depth - 1);
        savepoints.pop_back();
        break;
      case 3:
        if (depth == 0) break;
        kv->rollback_savepoint(depth - 1);
        now = savepoints.back();
        savepoints.pop_back();
        break;
      case 4:
        savepoints.clear();
        if (below(3) == 0) {
          kv->rollback();
          now = committed;
        } else {
          kv->commit();
          committed = now;
        }
        break;
      case 5:
        if (depth > 0 || below(10) > 0) break;
        kv->remove_all();
        now.clear();
        break;
      case 6:
        if (below(40) > 0) break;
        if (below(2) == 0) {
          store_->checkpoint();
          break;
        }
        crash();
        kv = std::make_unique<KeyValueBuffer>(shared_, KeyOwner{"ns", "id"});
        now = committed;
        savepoints.clear();
        break;
      case 7:
        expect_same();
        break;
      default: {
        const std::string value = std::to_string(step);
        put(*kv, key, value);
        now[key] = value;
        ASSERT_EQ(get(*kv, key), value);
      }
    }
    if (HasFatalFailure()) FAIL() << "step " << step;
  }
  EXPECT_EQ(list(*std::make_unique<KeyValueBuffer>(shared_, KeyOwner{"ns", "ie"})), "k1=neighbour");
}

}  // namespace
}  // namespace perdure::store
