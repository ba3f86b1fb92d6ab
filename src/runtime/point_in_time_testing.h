#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/checksum.h"
#include "base/simulated_file_system.h"
#include "runtime/shard.h"
#include "store/database_file.h"
#include "store/store_testing.h"

namespace perdure::runtime::testing {

// All that can be told of an object: each byte of its database, and its alarm.
struct Snapshot {
  std::uint32_t pages = 0;
  std::uint64_t checksum = 0;
  std::optional<std::uint64_t> alarm_ms;

  friend bool operator==(const Snapshot&, const Snapshot&) = default;
  friend void PrintTo(const Snapshot& state, std::ostream* out) {
    *out << state.pages << " pages, checksum " << state.checksum << ", alarm ";
    if (state.alarm_ms) {
      *out << *state.alarm_ms;
    } else {
      *out << "none";
    }
  }
};

// Objects with SQLite storage on one shard, on a disk that can break and with a clock that the test
// moves.
class PointInTimeFixture : public ::testing::Test {
 protected:
  static constexpr std::int64_t kStartMs = 1'800'000'000'000;
  static constexpr std::int64_t kDayMs = 24 * 60 * 60 * 1000;

  ~PointInTimeFixture() override { close(); }

  virtual store::StoreOptions options() {
    auto options = store::testing::simulated_options(disk_);
    options.segment_bytes = 64 << 10;
    options.flush_on_append = false;
    options.transaction_bytes_max = transaction_bytes_max_;
    options.history.now_ms = [this] { return clock_ms_.load(); };
    return options;
  }

  void open() {
    store_ = store::Store::open(options());
    catalog_ = std::make_unique<Catalog>(*store_);
    ns_ = catalog_->open_namespace("ns");
    shard_ = std::make_unique<Shard>(*store_, *catalog_);
    shard_->load_alarms(ns_, [](const ObjectId&) { return true; });
  }

  // Without a word about a disk that is off.
  void close() {
    ::testing::internal::CaptureStderr();
    slots_.clear();
    shard_.reset();
    catalog_.reset();
    store_.reset();
    ::testing::internal::GetCapturedStderr();
  }

  void reopen() {
    close();
    open();
  }

  void crash(std::uint64_t seed) {
    if (!disk_.is_power_off()) disk_.power_off_at(1);
    close();
    disk_.crash(seed);
  }

  [[nodiscard]] ObjectId id(const std::string& name) const { return ids_.from_name(name); }

  // The object, in memory and constructed.
  Slot slot(const std::string& name) {
    if (const auto it = slots_.find(name); it != slots_.end()) return it->second;
    const Slot slot = shard_->add(ns_, id(name), name);
    auto& core = shard_->at(slot).core;
    core.arrive(1);
    try {
      shard_->begin_session(slot);
    } catch (...) {
      core.reset(0);
      shard_->remove(slot);
      throw;
    }
    core.constructed();
    core.next();
    return slots_[name] = slot;
  }

  // The session ends.
  void leave(const std::string& name) {
    const auto it = slots_.find(name);
    if (it == slots_.end()) return;
    shard_->at(it->second).core.finish(0);
    shard_->remove(it->second);
    slots_.erase(it);
  }

  template <typename Body>
  Lsn commit(const std::string& name, Body&& body) {
    const Slot at = slot(name);
    shard_->begin_write(at);
    body(at);
    return shard_->commit(at);
  }

  Lsn commit_sql(const std::string& name, const std::string& sql) {
    return commit(name, [&](Slot at) { shard_->database(at).execute(sql.c_str()); });
  }

  std::string query(const std::string& name, std::string_view sql) {
    return store::testing::query(shard_->database(slot(name)), sql);
  }

  std::string bookmark(const std::string& name) {
    return shard_->current_bookmark(slot(name)).text();
  }

  // Schedules a restore; the bookmark that takes it back.
  std::string schedule(const std::string& name, const std::string& target) {
    return shard_->restore_at_next_session(slot(name), target).text();
  }

  // The same, and begins that session.
  std::string restore(const std::string& name, const std::string& target) {
    std::string undo = schedule(name, target);
    leave(name);
    slot(name);
    return undo;
  }

  // All pages, also of an object that is not in memory.
  void read_pages(const std::string& name, Snapshot& out) {
    const auto file = catalog_->object(ns_, id(name), name);
    out.pages = file->page_count();
    std::vector<std::byte> page(file->page_size());
    for (std::uint32_t number = 1; number <= out.pages; ++number) {
      file->read(number, page);
      out.checksum = checksum(page, out.checksum);
    }
  }

  // Reads all pages. Fails the test when the object's alarm is not the same wherever it is kept.
  Snapshot snapshot(const std::string& name) {
    const Slot at = slot(name);
    Snapshot found;
    read_pages(name, found);
    found.alarm_ms = shard_->at(at).core.get_alarm();
    const auto in_catalog = catalog_->find_alarm(ns_, id(name));
    EXPECT_EQ(in_catalog ? std::optional(in_catalog->alarm.time_ms) : std::nullopt, found.alarm_ms);
    EXPECT_EQ(shard_->clock().contains(id(name)), found.alarm_ms.has_value());
    const bool has_metadata =
        query(name, "SELECT count(*) FROM sqlite_schema WHERE name = '_cf_METADATA'") == "1";
    const std::string in_file =
        has_metadata ? query(name, "SELECT value FROM _cf_METADATA WHERE key = 1") : "NULL";
    EXPECT_EQ(in_file, found.alarm_ms ? std::to_string(*found.alarm_ms) + "000000" : "NULL");
    return found;
  }

  void make_durable() { store_->log().wait_durable(store_->log().appended_lsn()); }

  SimulatedFileSystem disk_;
  std::uint64_t transaction_bytes_max_ = 64 << 20;
  ObjectIdFactory ids_{"ns"};
  std::atomic<std::int64_t> clock_ms_{kStartMs};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Shard> shard_;
  NamespaceNumber ns_ = 0;
  std::map<std::string, Slot> slots_;
};

}  // namespace perdure::runtime::testing
