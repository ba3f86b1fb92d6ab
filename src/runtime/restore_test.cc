// Random lives of objects: each state that one ever had comes back, byte by byte, whatever has
// happened since; and a restore is whole or not there, whenever the power goes off.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "log/history.h"
#include "log/log.h"
#include "runtime/point_in_time_testing.h"

namespace perdure::runtime {
namespace {

class RandomRestores : public testing::PointInTimeFixture {
 protected:
  struct State {
    std::string bookmark;
    testing::Snapshot snapshot;
  };

  explicit RandomRestores(std::uint64_t seed) : random_(seed) {}

  std::uint64_t random(std::uint64_t below) { return random_() % below; }
  std::string number(std::uint64_t below) { return std::to_string(random(below)); }

  std::string random_statement() {
    switch (random(12)) {
      case 0:
        return "DELETE FROM t WHERE k % " + std::to_string(random(4) + 2) + " = 0";
      case 1:
        return "UPDATE t SET v = randomblob(length(v)) WHERE k % 7 = " + number(7);
      case 2:
        return random(2) == 0 ? "CREATE INDEX IF NOT EXISTS i ON t(v)" : "DROP INDEX IF EXISTS i";
      case 3:
        return "DROP TABLE IF EXISTS big";
      case 4:
        return "CREATE TABLE IF NOT EXISTS big(v); INSERT INTO big VALUES (randomblob(" +
               number(60'000) + ")), (zeroblob(" + number(30'000) + "))";
      case 5:
        return "PRAGMA incremental_vacuum(" + number(20) + ")";
      default:
        return "INSERT OR REPLACE INTO t VALUES (" + number(200) + ", randomblob(" + number(900) +
               "))";
    }
  }

  void make_tables(Slot at) {
    shard_->database(at).execute(
        "PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE IF NOT EXISTS t(k INTEGER PRIMARY KEY, v)");
  }

  void random_key_value(Slot at) {
    const std::string key = "key" + number(20);
    shard_->with_key_value(at, [&](auto& kv) {
      const std::string value(random(400), 'v');
      if (random(3) == 0) {
        kv.remove(key);
      } else {
        kv.put(key, std::as_bytes(std::span(value)), true);
      }
    });
  }

  // One commit of one object, and what is known of it then.
  void change(const std::string& name) {
    commit(name, [&](Slot at) {
      if (random(25) == 0) return shard_->remove_all(at, random(2) == 0);
      make_tables(at);
      for (auto i = random(3) + 1; i > 0; --i) {
        switch (random(8)) {
          case 0:
          case 1:
            random_key_value(at);
            break;
          case 2:
            shard_->set_alarm(at, kStartMs + random(1'000'000), 0);
            break;
          case 3:
            shard_->delete_alarm(at);
            break;
          default:
            shard_->database(at).execute(random_statement().c_str());
        }
      }
    });
    note(name);
  }

  void note(const std::string& name) { states_[name].push_back({bookmark(name), snapshot(name)}); }

  void check_current(const std::string& name, const testing::Snapshot& expected) {
    EXPECT_EQ(snapshot(name), expected) << "of " << name;
    EXPECT_EQ(query(name, "PRAGMA integrity_check"), "ok");
  }

  // To a state at random; then perhaps back, and perhaps there again.
  void go_back(const std::string& name) {
    const auto& states = states_[name];
    if (states.empty()) return;
    const testing::Snapshot before = snapshot(name);
    const State target = states[random(states.size())];
    SCOPED_TRACE("back to " + target.bookmark);
    const std::string undo = restore(name, target.bookmark);
    check_current(name, target.snapshot);
    note(name);
    if (random(2) == 0) return;
    if (random(3) == 0) restart();
    const std::string redo = restore(name, undo);
    check_current(name, before);
    note(name);
    if (random(2) == 0) return;
    restore(name, redo);
    check_current(name, target.snapshot);
    note(name);
  }

  void restart() {
    if (random(2) == 0) {
      make_durable();
      crash(random_());
      open();
    } else {
      reopen();
    }
  }

  // Something happens.
  void step() {
    clock_ms_ += static_cast<std::int64_t>(random(1'000));
    const std::string name = std::to_string(random(kObjects));
    switch (random(20)) {
      case 0:
        return go_back(name);
      case 1:
        store_->checkpoint();
        return store_->log().history().catch_up();
      case 2:
        return random(3) == 0 ? restart() : leave(name);
      default:
        return change(name);
    }
  }

  void check_all_states() {
    for (auto& [name, noted] : states_) {
      auto order = noted;
      std::shuffle(order.begin(), order.end(), random_);
      for (const State& state : order) {
        SCOPED_TRACE("back to " + state.bookmark);
        restore(name, state.bookmark);
        check_current(name, state.snapshot);
        if (HasFailure()) return;
      }
    }
  }

  static constexpr std::uint64_t kObjects = 4;
  std::mt19937_64 random_;
  std::map<std::string, std::vector<State>> states_;
};

class RestoreTest : public RandomRestores, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  RestoreTest() : RandomRestores(GetParam()) {}
};

TEST_P(RestoreTest, EveryStateComesBack) {
  open();
  for (int i = 0; i < 200 && !HasFailure(); ++i) step();
  check_all_states();
  restart();
  for (int i = 0; i < 50 && !HasFailure(); ++i) step();
  store_->checkpoint();
  store_->log().history().catch_up();
  EXPECT_GT(store_->log().history().usage().files, 0u) << "none of them came from the history";
  check_all_states();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RestoreTest, ::testing::Range<std::uint64_t>(1, 13));

class RestoreCrashTest : public RandomRestores {
 protected:
  RestoreCrashTest() : RandomRestores(7) {}

  // Two states of an object that differ in each part.
  void make_states() {
    commit("a", [&](Slot at) {
      make_tables(at);
      shard_->database(at).execute("INSERT INTO t VALUES (1, zeroblob(20000))");
      shard_->set_alarm(at, 5'000, 0);
    });
    note("a");
    store_->checkpoint();
    commit("a", [&](Slot at) {
      shard_->database(at).execute("DELETE FROM t; PRAGMA incremental_vacuum; CREATE TABLE u(i)");
      random_key_value(at);
      shard_->set_alarm(at, 9'000, 0);
    });
    note("a");
    make_durable();
  }

  // What was acknowledged.
  struct Progress {
    bool scheduled = false;
    bool restored = false;
  };
  // How often which was found after a crash.
  struct Outcomes {
    int nothing = 0;
    int waiting = 0;
    int restored = 0;
  };

  Progress restore_until_the_power_goes() {
    Progress progress;
    try {
      schedule("a", older().bookmark);
      make_durable();
      progress.scheduled = true;
      leave("a");
      slot("a");
      make_durable();
      progress.restored = true;
      store_->checkpoint();
      leave("a");
    } catch (const Error& error) {
      EXPECT_TRUE(disk_.is_power_off()) << error.what();
    }
    return progress;
  }

  void check_outcome(const Progress& progress, Outcomes& seen) {
    const bool waits = catalog_->find_restore(ns_, id("a")).has_value();
    testing::Snapshot found;
    read_pages("a", found);
    if (const auto alarm = catalog_->find_alarm(ns_, id("a")))
      found.alarm_ms = alarm->alarm.time_ms;
    const bool restored = found == older().snapshot;
    if (!restored) {
      EXPECT_EQ(found, newer().snapshot);
    }
    EXPECT_FALSE(waits && restored) << "the restore is done, and would be done again";
    if (progress.scheduled) {
      EXPECT_TRUE(waits || restored);
    }
    if (progress.restored) {
      EXPECT_TRUE(restored);
    }
    (waits ? seen.waiting : restored ? seen.restored : seen.nothing) += 1;
    check_current("a", waits || restored ? older().snapshot : newer().snapshot);
  }

  [[nodiscard]] const State& older() const { return states_.at("a")[0]; }
  [[nodiscard]] const State& newer() const { return states_.at("a")[1]; }
};

TEST_F(RestoreCrashTest, ACrashAtAnyOperationLeavesOneStateOrTheOther) {
  constexpr std::uint64_t kOperationsMax = 1'000;
  constexpr std::uint64_t kSeeds = 4;  // of what the disk keeps
  Outcomes seen;
  std::uint64_t run = 0;
  for (bool crashed = true; crashed && run < kOperationsMax * kSeeds; ++run) {
    const std::uint64_t operation = run / kSeeds + 1;
    SCOPED_TRACE("operation " + std::to_string(operation) + ", run " + std::to_string(run));
    disk_ = SimulatedFileSystem();
    states_.clear();
    open();
    make_states();
    disk_.power_off_at(operation);
    const Progress progress = restore_until_the_power_goes();
    if (HasFatalFailure()) return;
    crashed = disk_.is_power_off();
    crash(run);
    open();
    check_outcome(progress, seen);
    // Whatever was left, it can be taken to each of the two states.
    for (const State& state : {newer(), older()}) {
      restore("a", state.bookmark);
      check_current("a", state.snapshot);
    }
    close();
    if (HasFailure()) return;
  }
  EXPECT_GT(seen.nothing, 0);
  EXPECT_GT(seen.waiting, 0);
  EXPECT_GT(seen.restored, 0);
  EXPECT_GT(run, 8 * kSeeds);
  EXPECT_LT(run, kOperationsMax * kSeeds);
}

}  // namespace
}  // namespace perdure::runtime
