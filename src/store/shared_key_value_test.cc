#include "store/shared_key_value.h"

#include <chrono>
#include <thread>

#include "store/database_file.h"
#include "store/store_testing.h"

namespace perdure::store {
namespace {

using testing::message_of;
using testing::query;

constexpr ObjectNumber kNumber = 2;

KeyWrites writes(std::string key, std::string value) {
  KeyWrites made;
  made[std::move(key)] = StoredValue{std::move(value), true};
  return made;
}

class SharedKeyValueTest : public ::testing::Test {
 protected:
  std::string get(const KeyOwner& owner, std::string_view key) {
    const auto value = shared_.get(owner, key);
    return value ? value->bytes : "none";
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<Store> store_ = Store::open(testing::simulated_options(disk_));
  SharedKeyValue shared_{*store_, store_->file(kNumber, "data.sqlite")};
  const KeyOwner a_{"ns", "a"};
  const KeyOwner b_{"ns", "b"};
};

TEST_F(SharedKeyValueTest, TheTableIsTheDocumentedOne) {
  shared_.commit(a_, false, writes("k", "1"));
  KeyWrites more;
  more["blob"] = StoredValue{std::string("\0\1", 2), false};
  shared_.commit(a_, false, more);
  shared_.close();
  Database database(*store_, store_->file(kNumber, "data.sqlite"));
  EXPECT_EQ(query(database,
                  "SELECT namespace, id, key, iif(typeof(value) = 'text', value, hex(value)), "
                  "typeof(value) FROM do_storage ORDER BY key"),
            "ns|a|blob|0001|blob;ns|a|k|1|text");
}

// A companion whose database cannot be changed, or is.
class TestCompanion : public Companion {
 public:
  explicit TestCompanion(Database* database) : database_(database) {}
  Database& stage() override {
    if (database_ == nullptr) throw Error(ErrorCode::kFull, "no room for the companion");
    database_->begin();
    database_->execute("CREATE TABLE IF NOT EXISTS t(a); INSERT INTO t VALUES (1)");
    database_->stage_commit();
    return *database_;
  }

 private:
  Database* database_;
};

TEST_F(SharedKeyValueTest, ACompanionIsCommittedWithItOrNeitherIs) {
  Database other(*store_, store_->file(7, "other.sqlite"));
  const auto count = [&] { return query(other, "SELECT count(*) FROM t"); };
  TestCompanion fits(&other);
  const Lsn lsn = shared_.commit(a_, false, writes("k", "1"), &fits);
  EXPECT_EQ(lsn, store_->log().appended_lsn());
  EXPECT_EQ(count(), "1");
  TestCompanion alone(&other);
  EXPECT_EQ(shared_.commit(a_, false, {}, &alone), lsn + 1) << "one record more";
  EXPECT_EQ(count(), "2");

  TestCompanion refused(nullptr);
  EXPECT_EQ(message_of([&] { shared_.commit(a_, false, writes("k", "2"), &refused); }),
            "no room for the companion");
  EXPECT_EQ(get(a_, "k"), "1");
  shared_.commit(b_, false, writes("k", "3"));
  EXPECT_EQ(get(a_, "k"), "1") << "what was refused is no part of what comes next";
  shared_.close();
}

// A table that another program made, with rowids.
TEST_F(SharedKeyValueTest, WorksOnATableThatIsThere) {
  {
    Database database(*store_, store_->file(kNumber, "data.sqlite"));
    testing::commit(
        database,
        "CREATE TABLE do_storage (namespace TEXT NOT NULL, id TEXT NOT NULL, key TEXT NOT "
        "NULL, value TEXT NOT NULL, PRIMARY KEY (namespace, id, key)); INSERT INTO "
        "do_storage VALUES ('ns', 'a', 'k', '[1]')");
  }
  EXPECT_EQ(get(a_, "k"), "[1]");
  shared_.commit(a_, false, writes("k", "2"));
  EXPECT_EQ(get(a_, "k"), "2");
  shared_.close();
}

TEST_F(SharedKeyValueTest, ACommitThatFailsIsNothingAndHarmsNobody) {
  shared_.commit(a_, false, writes("k", "1"));
  disk_.set_capacity(disk_.used_bytes());
  const std::string large(1 << 20, 'x');
  std::string refused;
  int kept = 0;
  while (refused.empty() && kept < 100) {
    KeyWrites both = writes("k" + std::to_string(kept), large);
    both["last"] = StoredValue{std::to_string(kept), true};
    try {
      shared_.commit(b_, false, both);
      ++kept;
    } catch (const Error& error) {
      refused = error.what();
    }
  }
  EXPECT_EQ(refused, "database or disk is full: SQLITE_FULL");
  EXPECT_EQ(get(b_, "last"), kept == 0 ? "none" : std::to_string(kept - 1));
  EXPECT_EQ(get(b_, "k" + std::to_string(kept)), "none");
  EXPECT_EQ(get(a_, "k"), "1");
  disk_.set_capacity(std::uint64_t{1} << 30);
  bool accepted = false;
  for (int i = 0; i < 1000 && !accepted; ++i) {
    try {
      shared_.commit(a_, false, writes("k", "2"));
      accepted = true;
    } catch (const Error&) {  // the log looks for room now and then
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  EXPECT_EQ(get(a_, "k"), "2");
  shared_.close();
}

TEST_F(SharedKeyValueTest, ContainsAnOwnerThatHasKeys) {
  EXPECT_FALSE(shared_.contains(a_));  // there is no table
  shared_.commit(b_, false, writes("k", "1"));
  EXPECT_FALSE(shared_.contains(a_));
  shared_.commit(a_, false, writes("", "1"));
  EXPECT_TRUE(shared_.contains(a_));
  KeyWrites removal;
  removal[""] = std::nullopt;
  shared_.commit(a_, false, removal);
  EXPECT_FALSE(shared_.contains(a_));
  EXPECT_FALSE(shared_.contains({"other", "b"}));
  shared_.close();
}

TEST_F(SharedKeyValueTest, DiscardsAllOfOneOwnerInSeveralCommits) {
  shared_.discard(a_);  // there is no table
  KeyWrites many;
  for (int i = 0; i < 600; ++i) many["k" + std::to_string(i)] = StoredValue{"1", true};
  shared_.commit(a_, false, many);
  shared_.commit(b_, false, many);
  shared_.commit({"other", "a"}, false, writes("k", "1"));
  const auto commits = [&] { return store_->file(kNumber, "data.sqlite")->head().commit_number; };
  const auto before = commits();
  shared_.discard(a_);
  EXPECT_EQ(commits(), before + 3);
  EXPECT_FALSE(shared_.contains(a_));
  EXPECT_TRUE(shared_.contains({"other", "a"}));
  shared_.close();
  Database database(*store_, store_->file(kNumber, "data.sqlite"));
  EXPECT_EQ(query(database, "SELECT namespace, id, count(*) FROM do_storage GROUP BY 1, 2"),
            "ns|b|600;other|a|1");
}

TEST_F(SharedKeyValueTest, OnceClosedItSaysSo) {
  shared_.close();
  const std::string closed = "The key-value storage is closed: its store has been closed.";
  EXPECT_EQ(message_of([&] { shared_.get(a_, "k"); }), closed);
  EXPECT_EQ(message_of([&] { shared_.commit(a_, false, writes("k", "1")); }), closed);
  EXPECT_EQ(message_of([&] { static_cast<void>(shared_.last_lsn()); }), closed);
  EXPECT_EQ(message_of([&] { shared_.contains(a_); }), closed);
  EXPECT_EQ(message_of([&] { shared_.discard(a_); }), closed);
  store_.reset();  // it may go first now
}

}  // namespace
}  // namespace perdure::store
