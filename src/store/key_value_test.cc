#include "store/key_value.h"

#include "store/store_testing.h"

namespace perdure::store {
namespace {

using testing::query;

class KeyValueTest : public ::testing::Test {
 protected:
  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
  }
  void put(std::string_view key, std::string_view value, bool is_text = true) {
    kv_->put(key, bytes(value), is_text);
  }
  std::string get(std::string_view key) {
    const auto value = kv_->get(key);
    if (!value) return "none";
    return std::string(value->is_text ? "text:" : "blob:") +
           std::string(reinterpret_cast<const char*>(value->bytes.data()), value->bytes.size());
  }
  std::string list(const KeyValue::ListOptions& options) {
    std::string keys;
    auto cursor = kv_->list(options);
    while (cursor.next()) {
      if (!keys.empty()) keys += ',';
      keys += cursor.key();
    }
    return keys;
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<Store> store_ = Store::open(testing::simulated_options(disk_));
  std::unique_ptr<Database> database_ =
      std::make_unique<Database>(*store_, store_->file(20, "a.sqlite"));
  std::unique_ptr<KeyValue> kv_ = std::make_unique<KeyValue>(*database_);
};

TEST_F(KeyValueTest, ReadingCreatesNothing) {
  EXPECT_EQ(get("a"), "none");
  EXPECT_FALSE(kv_->remove("a"));
  EXPECT_EQ(list({}), "");
  EXPECT_EQ(store_->log().appended_lsn(), 0U);
}

TEST_F(KeyValueTest, KeepsBytesAndType) {
  put("a", "1");
  put("b", std::string_view("\0\xff", 2), false);
  put("", "empty key");
  put("e", "");
  put("f", "", false);
  EXPECT_EQ(get("a"), "text:1");
  EXPECT_EQ(get("b"), std::string("blob:\0\xff", 7));
  EXPECT_EQ(get(""), "text:empty key");
  EXPECT_EQ(get("e"), "text:");
  EXPECT_EQ(get("f"), "blob:");
  put("a", "2", false);
  EXPECT_EQ(get("a"), "blob:2");
  EXPECT_TRUE(kv_->remove("a"));
  EXPECT_FALSE(kv_->remove("a"));
  EXPECT_EQ(get("a"), "none");
  EXPECT_EQ(query(*database_, "SELECT sql FROM sqlite_schema"),
            "CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID");
}

TEST_F(KeyValueTest, ListsRangesInByteOrder) {
  for (const auto* key : {"a", "ab", "abc", "b", "B", "\xc3\xbc", "z", "\xf0\x9f\x98\x80"}) {
    put(key, "1");
  }
  EXPECT_EQ(list({}), "B,a,ab,abc,b,z,\xc3\xbc,\xf0\x9f\x98\x80");
  EXPECT_EQ(list({.prefix = "ab"}), "ab,abc");
  EXPECT_EQ(list({.prefix = "\xf0\x9f\x98\x80"}), "\xf0\x9f\x98\x80");
  EXPECT_EQ(list({.start = "ab", .end = "b"}), "ab,abc");
  EXPECT_EQ(list({.start = "ab", .after_start = true, .end = "z"}), "abc,b");
  EXPECT_EQ(list({.start = "abc", .prefix = "a"}), "abc");
  EXPECT_EQ(list({.end = "ab", .prefix = "a"}), "a");
  EXPECT_EQ(list({.start = "z", .end = "a"}), "");
  EXPECT_EQ(list({.limit = 2}), "B,a");
  EXPECT_EQ(list({.prefix = "a", .limit = 2, .reverse = true}), "abc,ab");
  EXPECT_EQ(list({.start = "b", .reverse = true}), "\xf0\x9f\x98\x80,\xc3\xbc,z,b");
}

TEST_F(KeyValueTest, ListsMayNestAndOutliveWrites) {
  for (const auto* key : {"a", "b", "c"}) put(key, key);
  auto outer = kv_->list({});
  ASSERT_TRUE(outer.next());
  EXPECT_EQ(list({}), "a,b,c");
  put("aa", "1");
  EXPECT_TRUE(kv_->remove("b"));
  ASSERT_TRUE(outer.next());
  EXPECT_EQ(outer.key(), "aa");
  ASSERT_TRUE(outer.next());
  EXPECT_EQ(outer.key(), "c");
  EXPECT_FALSE(outer.next());
  EXPECT_FALSE(outer.next());
}

TEST_F(KeyValueTest, SurvivesTheRollbackThatTakesTheTableAway) {
  database_->begin();
  put("a", "1");
  EXPECT_EQ(get("a"), "text:1");
  database_->rollback();
  EXPECT_EQ(get("a"), "none");
  EXPECT_EQ(list({}), "");
  put("a", "2");
  EXPECT_EQ(get("a"), "text:2");
}

TEST_F(KeyValueTest, ListsAfterTheRollbackThatTakesTheTableAway) {
  for (int i = 0; i < 2; ++i) {
    database_->begin();
    put("a", "1");
    EXPECT_EQ(list({}), "a");
    database_->rollback();
    EXPECT_EQ(list({}), "");
  }
}

TEST_F(KeyValueTest, SurvivesSchemaChangesOfTheUser) {
  put("a", "1");
  EXPECT_EQ(get("a"), "text:1");
  query(*database_, "CREATE TABLE t(a)", Access::kUser);
  EXPECT_EQ(get("a"), "text:1");
  put("a", "2");
  query(*database_, "DROP TABLE t", Access::kUser);
  EXPECT_TRUE(kv_->remove("a"));
}

TEST_F(KeyValueTest, RemoveAllLeavesAnEmptyDatabase) {
  put("a", "1");
  const std::vector<const char*> statements = {
      "CREATE TABLE p(a INTEGER PRIMARY KEY AUTOINCREMENT)",
      "CREATE TABLE c(a REFERENCES p(a))",
      "CREATE TABLE \"odd \"\" name\"(a)",
      "INSERT INTO p VALUES (1)",
      "INSERT INTO c VALUES (1)",
      "CREATE INDEX i ON c(a)",
      "CREATE VIEW v AS SELECT * FROM p",
      "CREATE TRIGGER tr AFTER DELETE ON p BEGIN INSERT INTO c VALUES (9); END",
      "CREATE VIRTUAL TABLE f USING fts5(x)",
      "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
      "INSERT INTO f VALUES ('hello')",
      "ANALYZE",
      "PRAGMA case_sensitive_like = ON",
  };
  for (const auto* sql : statements) query(*database_, sql, Access::kUser);
  database_->execute("CREATE TABLE _cf_METADATA(k, v)");
  database_->begin();
  kv_->remove_all();
  database_->commit();
  EXPECT_EQ(query(*database_, "SELECT name FROM sqlite_schema"), "_cf_METADATA");
  EXPECT_EQ(query(*database_, "PRAGMA integrity_check"), "ok");
  EXPECT_EQ(query(*database_, "PRAGMA foreign_keys"), "1");
  EXPECT_EQ(get("a"), "none");
  put("a", "2");
  EXPECT_EQ(get("a"), "text:2");
  query(*database_, statements[0], Access::kUser);
  EXPECT_EQ(query(*database_, "INSERT INTO p DEFAULT VALUES RETURNING a", Access::kUser), "1");
}

TEST_F(KeyValueTest, RemoveAllTakesOpenViolationsOfForeignKeysAlong) {
  database_->begin();
  for (const auto* sql : {
           "CREATE TABLE p(a INTEGER PRIMARY KEY, c REFERENCES c(a) DEFERRABLE INITIALLY DEFERRED)",
           "CREATE TABLE c(a INTEGER PRIMARY KEY, p REFERENCES p(a) DEFERRABLE INITIALLY DEFERRED)",
           "CREATE TABLE now(p REFERENCES p(a))",
           "INSERT INTO p VALUES (1, 7), (2, 8)",
           "INSERT INTO c VALUES (1, 1), (2, 9)",
           "PRAGMA defer_foreign_keys = ON",
           "INSERT INTO now VALUES (1), (5)",
           "DELETE FROM p WHERE a = 1",
       }) {
    query(*database_, sql, Access::kUser);
  }
  kv_->remove_all();
  query(*database_, "CREATE TABLE t(a)", Access::kUser);
  EXPECT_NO_THROW(database_->commit());
  EXPECT_EQ(query(*database_, "SELECT name FROM sqlite_schema"), "t");
}

TEST_F(KeyValueTest, ARolledBackRemoveAllLeavesEverything) {
  query(*database_, "CREATE TABLE p(a INTEGER PRIMARY KEY AUTOINCREMENT)", Access::kUser);
  query(*database_, "INSERT INTO p VALUES (41)", Access::kUser);
  database_->begin();
  kv_->remove_all();
  database_->rollback();
  EXPECT_EQ(query(*database_, "INSERT INTO p DEFAULT VALUES RETURNING a", Access::kUser), "42");
  EXPECT_THROW(query(*database_, "UPDATE sqlite_schema SET sql = ''", Access::kEngine), SqlError);
}

}  // namespace
}  // namespace perdure::store
