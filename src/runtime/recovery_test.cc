#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/simulated_file_system.h"
#include "runtime/catalog.h"
#include "store/database_file.h"
#include "store/store_testing.h"

namespace perdure::runtime {
namespace {

using store::testing::query;

// Objects that change at random on a disk that loses its power at random, and are compared with
// every state that they ever had.
class RecoveryTest : public testing::TestWithParam<std::uint64_t> {
 protected:
  struct Commit {
    Lsn lsn;
    std::string state;
  };
  // The states of one object, from the first; before it, the object does not exist.
  using History = std::vector<Commit>;

  static constexpr int kObjects = 6;

  std::uint64_t random(std::uint64_t below) { return random_() % below; }

  void open() {
    auto options = store::testing::simulated_options(disk_);
    options.segment_bytes = 1 << 20;
    options.checkpoint_log_bytes = 200 << 10;
    options.dirty_bytes_max = 300 << 10;
    store_ = store::Store::open(options);
    catalog_ = std::make_unique<Catalog>(*store_);
    ns_ = catalog_->open_namespace("ns");
  }

  std::unique_ptr<store::Database> database(int object) {
    const std::string name = std::to_string(object);
    return std::make_unique<store::Database>(*store_,
                                             catalog_->object(ns_, factory_.from_name(name), name));
  }

  static std::string state(store::Database& database) {
    return query(database,
                 "SELECT (SELECT count(*) FROM sqlite_schema), count(*), sum(k * length(v)), "
                 "group_concat(substr(hex(v), 1, 6)) FROM t ORDER BY k");
  }

  std::string random_statement() {
    const std::string k = std::to_string(random(300));
    const std::string length = std::to_string(random(4) == 0 ? random(12000) : random(300));
    switch (random(8)) {
      case 0:
        return "DELETE FROM t WHERE k BETWEEN " + k + " AND " + k + " + 60";
      case 1:
        return "UPDATE t SET v = randomblob(length(v)) WHERE k % 7 = " + std::to_string(random(7));
      case 2:
        return random(2) == 0 ? "CREATE INDEX IF NOT EXISTS i ON t(v)" : "DROP INDEX IF EXISTS i";
      default:
        return "INSERT OR REPLACE INTO t VALUES (" + k + ", randomblob(" + length + "))";
    }
  }

  // One transaction, which may roll back.
  void change(int object, store::Database& database) {
    database.begin();
    if (histories_[object].empty()) {
      // So that files shrink when rows go.
      database.execute("PRAGMA auto_vacuum = FULL; CREATE TABLE t(k INTEGER PRIMARY KEY, v)");
    }
    for (auto i = random(4) + 1; i > 0; --i) database.execute(random_statement().c_str());
    if (random(8) == 0) return database.rollback();
    std::string after = state(database);
    const Lsn before = database.last_lsn();
    const Lsn lsn = database.commit();
    if (lsn != before) histories_[object].push_back({lsn, std::move(after)});
  }

  // Works until the power goes off.
  void work(int operations) {
    std::map<int, std::unique_ptr<store::Database>> open;
    try {
      for (int i = 0; i < operations && !disk_.is_power_off(); ++i) {
        const int object = static_cast<int>(random(kObjects));
        auto& db = open[object];
        if (db == nullptr) db = database(object);
        change(object, *db);
        if (random(10) == 0) db.reset();
        if (random(60) == 0) store_->checkpoint();
        if (random(10) == 0) store_->log().wait_durable(store_->log().appended_lsn());
      }
    } catch (const Error&) {
      ASSERT_TRUE(disk_.is_power_off());
    }
  }

  void crash() {
    if (!disk_.is_power_off()) disk_.power_off_at(1);
    durable_ = store_->log().durable_lsn();
    testing::internal::CaptureStderr();
    catalog_.reset();
    store_.reset();
    testing::internal::GetCapturedStderr();
    disk_.crash(random_());
  }

  // No page of a file is other than its checksum says; after a checkpoint all have one.
  void check_files(bool is_all_known) {
    store::FileCheck found;
    const auto check_file = [&](store::DatabaseFile& file) {
      found.reached_end = false;
      catalog_->check_pages(file, 1, 1 << 20, found);
      ASSERT_TRUE(found.reached_end);
      ASSERT_TRUE(found.damaged.empty())
          << "page " << found.damaged.front() << " of " << file.path();
    };
    for (int object = 0; object < kObjects; ++object) {
      const std::string name = std::to_string(object);
      check_file(*catalog_->object(ns_, factory_.from_name(name), name));
    }
    check_file(*store_->file(store::kCatalogNumber, ""));
    if (is_all_known) {
      ASSERT_EQ(found.unknown_count, 0U);
    }
  }

  void check() {
    check_files(false);
    if (HasFatalFailure()) return;
    std::vector<Lsn> last(kObjects);
    for (int object = 0; object < kObjects; ++object) {
      SCOPED_TRACE("object " + std::to_string(object));
      History& history = histories_[object];
      auto db = database(object);
      last[object] = db->last_lsn();
      // At the state of some commit of its own.
      const auto at = std::find_if(history.begin(), history.end(),
                                   [&](const Commit& c) { return c.lsn == last[object]; });
      if (last[object] == 0) {
        ASSERT_EQ(query(*db, "SELECT count(*) FROM sqlite_schema"), "0");
      } else {
        ASSERT_NE(at, history.end()) << "at LSN " << last[object] << ", known up to "
                                     << (history.empty() ? 0 : history.back().lsn);
        ASSERT_EQ(state(*db), at->state);
        ASSERT_EQ(query(*db, "PRAGMA integrity_check"), "ok");
      }
    }
    const Lsn newest = *std::max_element(last.begin(), last.end());
    for (int object = 0; object < kObjects; ++object) {
      History& history = histories_[object];
      const auto lost = std::find_if(history.begin(), history.end(),
                                     [&](const Commit& c) { return c.lsn > last[object]; });
      if (lost != history.end()) {
        ASSERT_GT(lost->lsn, durable_) << "object " << object << " lost a durable commit";
        ASSERT_GT(lost->lsn, newest) << "object " << object << " misses what another one has";
      }
      history.erase(lost, history.end());
    }
  }

  std::mt19937_64 random_{GetParam()};
  SimulatedFileSystem disk_;
  ObjectIdFactory factory_{"ns"};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  NamespaceNumber ns_ = 0;
  std::map<int, History> histories_;
  Lsn durable_ = 0;
};

TEST_P(RecoveryTest, EveryCrashLeavesAPrefixOfTheCommits) {
  open();
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    disk_.power_off_at(random(300) + 1);
    work(400);
    if (HasFatalFailure()) return;
    crash();
    // Recovery may be interrupted as well: it writes nothing that it needs.
    if (random(3) == 0) {
      disk_.power_off_at(random(4) + 1);
      try {
        open();
      } catch (const Error&) {
      }
      testing::internal::CaptureStderr();
      catalog_.reset();
      store_.reset();
      testing::internal::GetCapturedStderr();
      disk_.crash(random_());
    }
    open();
    check();
    if (HasFatalFailure()) return;
    if (random(2) == 0) {
      store_->checkpoint();
      check();
      if (!HasFatalFailure()) check_files(true);
    }
    if (random(4) == 0) {
      store_->close();
      catalog_.reset();
      store_.reset();
      open();
      check();
      if (!HasFatalFailure()) check_files(true);
    }
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RecoveryTest, testing::Range<std::uint64_t>(1, 41));

}  // namespace
}  // namespace perdure::runtime
