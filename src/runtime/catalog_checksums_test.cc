#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/simulated_file_system.h"
#include "runtime/catalog.h"
#include "store/database_file.h"
#include "store/page_checksum.h"
#include "store/shared_key_value.h"
#include "store/store_testing.h"

namespace perdure::runtime {
namespace {

using store::testing::commit;
using store::testing::message_of;
using store::testing::query;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint32_t kAllPages = 1 << 20;

class CatalogChecksumsTest : public testing::Test {
 protected:
  CatalogChecksumsTest() { open(); }

  void open() {
    store_ = store::Store::open(store::testing::simulated_options(disk_));
    catalog_ = std::make_unique<Catalog>(*store_);
    ns_ = catalog_->open_namespace("ns");
  }

  void close() {
    store_->close();
    catalog_.reset();
    store_.reset();
  }

  std::shared_ptr<store::DatabaseFile> object(const std::string& name) {
    return catalog_->object(ns_, factory_.from_name(name), name);
  }
  [[nodiscard]] std::filesystem::path path(const std::string& name) const {
    return "/data/" + catalog_->path(ns_, factory_.from_name(name));
  }

  void run(const std::string& name, const std::string& sql) {
    store::Database database(*store_, object(name));
    commit(database, sql);
  }

  store::FileCheck check(store::DatabaseFile& file) {
    store::FileCheck found;
    catalog_->check_pages(file, 1, kAllPages, found);
    EXPECT_TRUE(found.reached_end);
    EXPECT_EQ(found.damaged.size(), found.damaged_count);
    return found;
  }
  store::FileCheck check(const std::string& name) { return check(*object(name)); }
  void expect_whole(store::DatabaseFile& file) {
    const store::FileCheck found = check(file);
    EXPECT_THAT(found.damaged, IsEmpty()) << file.path();
    EXPECT_EQ(found.unknown_count, 0U) << file.path();
  }

  // Turns a bit of a file.
  void damage(const std::filesystem::path& file, std::uint64_t offset) {
    const auto opened = disk_.open(file, FileSystem::Mode::kReadWrite);
    std::vector<std::byte> byte(1);
    ASSERT_EQ(opened->read(offset, byte), 1U);
    byte[0] ^= std::byte{4};
    opened->write(offset, byte);
    opened->sync();
  }

  SimulatedFileSystem disk_;
  ObjectIdFactory factory_{"ns"};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  NamespaceNumber ns_ = 0;
};

TEST_F(CatalogChecksumsTest, AChangedLetterInATextIsFound) {
  run("a", "CREATE TABLE t(a); INSERT INTO t VALUES ('a letter'), (hex(zeroblob(20000)))");
  run("b", "CREATE TABLE t(a)");
  store_->checkpoint();
  expect_whole(*object("a"));
  damage(path("a"), kPageBytes * 2 - 5);  // what was inserted first is at the end of page 2
  EXPECT_THAT(check("a").damaged, ElementsAre(2));
  expect_whole(*object("b"));
}

TEST_F(CatalogChecksumsTest, EachPageCountsWhereItIs) {
  run("a", "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(2000000))");  // of several chunks
  store_->checkpoint();
  expect_whole(*object("a"));
  const std::uint32_t pages = object("a")->page_count();
  ASSERT_GT(pages, 300U);
  for (const std::uint32_t page : {1U, 128U, 129U, pages}) {
    damage(path("a"), std::uint64_t{page} * kPageBytes - 1);
  }
  EXPECT_THAT(check("a").damaged, ElementsAre(1, 128, 129, pages));
}

TEST_F(CatalogChecksumsTest, APageOfAnotherPlaceOrObjectIsFound) {
  for (const std::string name : {"a", "b"}) run(name, "CREATE TABLE t(a); CREATE TABLE u(a)");
  store_->checkpoint();
  const auto page_of = [&](const std::string& name, std::uint32_t page) {
    std::vector<std::byte> bytes(kPageBytes);
    disk_.open(path(name), FileSystem::Mode::kRead)->read((page - 1) * kPageBytes, bytes);
    return bytes;
  };
  const auto third = page_of("a", 3);
  ASSERT_EQ(page_of("a", 2), third);
  disk_.open(path("a"), FileSystem::Mode::kReadWrite)->write(kPageBytes, third);
  expect_whole(*object("a"));  // the same bytes
  run("a", "INSERT INTO u VALUES (1)");
  store_->checkpoint();
  disk_.open(path("a"), FileSystem::Mode::kReadWrite)->write(kPageBytes, page_of("a", 3));
  EXPECT_THAT(check("a").damaged, ElementsAre(2));
  disk_.open(path("b"), FileSystem::Mode::kReadWrite)->write(0, page_of("a", 1));
  EXPECT_THAT(check("b").damaged, ElementsAre(1));
}

// A database that is open has no better way to say so.
TEST_F(CatalogChecksumsTest, AFileThatEndsTooEarlyIsDamagedFromThere) {
  run("a", "CREATE TABLE t(a); CREATE TABLE u(a)");
  store_->checkpoint();
  const auto file = object("a");
  expect_whole(*file);
  disk_.open(path("a"), FileSystem::Mode::kReadWrite)->truncate(2 * kPageBytes);
  EXPECT_THAT(check(*file).damaged, ElementsAre(3));
}

TEST_F(CatalogChecksumsTest, AFileThatIsCutOrMissingIsRefused) {
  run("a", "CREATE TABLE t(a); CREATE TABLE u(a)");
  run("b", "CREATE TABLE t(a)");
  store_->checkpoint();
  const std::string file = path("a");
  const auto use = [&] { return message_of([&] { run("a", "SELECT 1"); }); };
  disk_.open(file, FileSystem::Mode::kReadWrite)->truncate(2 * kPageBytes);
  EXPECT_EQ(use(), "The file " + file +
                       " ends at byte 8192, but had 12288 bytes. Restore it from a backup.");
  disk_.remove(file);
  EXPECT_EQ(use(), "The file " + file + " is missing, with 12288 bytes. Restore it from a backup.");
  run("b", "INSERT INTO t VALUES (1)");  // others are as they were
  store_->checkpoint();
}

TEST_F(CatalogChecksumsTest, TheFilesOfTheEngineHaveThem) {
  const store::KeyOwner owner{"kv", "id"};
  catalog_->key_values()->commit(owner, false, {{"k", store::StoredValue{"a letter", true}}});
  // More than the few pages of the catalog that are never read from its file.
  for (int i = 0; i < 500; ++i) run(std::to_string(i), "CREATE TABLE t(a)");
  store_->checkpoint();
  const auto catalog = store_->file(store::kCatalogNumber, "");
  const auto key_values = store_->file(2, "");
  expect_whole(*catalog);
  expect_whole(*key_values);
  damage("/data/catalog.sqlite", kPageBytes * 3 + 100);
  damage("/data/data.sqlite", kPageBytes + 4090);
  EXPECT_THAT(check(*catalog).damaged, ElementsAre(4));
  EXPECT_THAT(check(*key_values).damaged, ElementsAre(2));
  for (const auto& file : {catalog, key_values}) {
    EXPECT_EQ(catalog_->accept_pages(*file), 1U);
    EXPECT_THAT(check(*file).damaged, IsEmpty());
  }
  EXPECT_TRUE(key_values->has_checksums());
  EXPECT_FALSE(catalog->has_checksums()) << "it is compared by a check alone";
}

TEST_F(CatalogChecksumsTest, WhatIsNotReadFromTheFileIsNotChecked) {
  run("a", "CREATE TABLE t(a); INSERT INTO t VALUES ('x')");
  store_->checkpoint();
  run("a", "UPDATE t SET a = 'y'");  // page 2 is in the log, and will be written again
  damage(path("a"), kPageBytes * 2 - 1);
  EXPECT_THAT(check("a").damaged, IsEmpty());
  store_->checkpoint();
  expect_whole(*object("a"));
}

// Otherwise what is built on it would make it the truth.
TEST_F(CatalogChecksumsTest, ADamagedPageIsRefusedWhereverItIsRead) {
  run("a", "CREATE TABLE t(a); INSERT INTO t VALUES ('x'); CREATE TABLE u(a)");
  store_->checkpoint();
  damage(path("a"), kPageBytes * 2 - 1);
  const std::string expected = "The file " + path("a").string() +
                               " is damaged: page 2, at byte 4096, does not match its checksum.";
  const auto expect_refused = [&] {
    EXPECT_THAT(message_of([&] { run("a", "SELECT * FROM t"); }), HasSubstr(expected));
    EXPECT_THAT(message_of([&] { run("a", "UPDATE t SET a = 'y'"); }), HasSubstr(expected));
    run("a", "INSERT INTO u VALUES (1)");  // other pages are as they were
  };
  expect_refused();
  // Whoever opens it first, and whatever wrote the rest of it.
  store_->checkpoint();
  expect_refused();
  close();
  open();
  expect_refused();
  store_->log().wait_durable(store_->log().appended_lsn());
  disk_.power_off_at(1);
  disk_.crash(1);
  testing::internal::CaptureStderr();
  catalog_.reset();
  store_.reset();
  testing::internal::GetCapturedStderr();
  open();
  expect_refused();

  const auto file = object("a");
  EXPECT_EQ(catalog_->accept_pages(*file), 1U);
  EXPECT_EQ(catalog_->accept_pages(*file), 0U);
  EXPECT_THAT(check(*file).damaged, IsEmpty());
  EXPECT_EQ(check(*file).unknown_count, 1U);
  run("a", "UPDATE t SET a = 'y'");
  store_->checkpoint();
  expect_whole(*file);
}

TEST_F(CatalogChecksumsTest, FilesThatShrinkAndGrowAgainAreWhole) {
  run("a",
      "PRAGMA auto_vacuum = FULL; CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(2000000)), "
      "(zeroblob(1000000))");
  store_->checkpoint();
  run("a", "DELETE FROM t");
  run("a", "INSERT INTO t VALUES (zeroblob(1000000))");
  store_->checkpoint();
  expect_whole(*object("a"));
  run("a", "DELETE FROM t");
  store_->checkpoint();
  expect_whole(*object("a"));
  // Of pages that are gone nothing is kept.
  store::Database catalog(*store_, store_->file(store::kCatalogNumber, ""));
  EXPECT_EQ(query(catalog, "SELECT count(*) FROM page_checksums WHERE database = " +
                               std::to_string(object("a")->number())),
            "1");
}

TEST_F(CatalogChecksumsTest, AnAdoptedFileHasThem) {
  run("origin",
      "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(2000000)), (zeroblob(2000000)), "
      "(zeroblob(2000000))");
  const auto origin = path("origin");
  close();
  disk_.rename(origin, "/data/import");
  open();
  const Adoption adoption{ns_, factory_.from_name("adopted"), "/data/import"};
  catalog_->adopt({&adoption, 1});
  expect_whole(*object("adopted"));
  damage(path("adopted"), kPageBytes * 1000);
  EXPECT_THAT(check("adopted").damaged, ElementsAre(1001));
}

TEST_F(CatalogChecksumsTest, PagesOfBeforeTheyWereKeptAreCounted) {
  run("a", "CREATE TABLE t(a)");
  store_->checkpoint();
  close();
  store_ = store::Store::open(store::testing::simulated_options(disk_));
  {
    store::Database catalog(*store_, store_->file(store::kCatalogNumber, "catalog.sqlite"));
    commit(catalog, "DELETE FROM page_checksums");
  }
  store_->close();
  open();
  EXPECT_EQ(check("a").unknown_count, 2U);
  run("a", "INSERT INTO t VALUES (1)");
  store_->checkpoint();
  EXPECT_LT(check("a").unknown_count, 2U);
}

// Or does again, after one that keeps them.
TEST_F(CatalogChecksumsTest, WhatAPerdureWithoutThemHasWrittenIsNotDamaged) {
  run("a", "CREATE TABLE t(a)");
  run("b", "CREATE TABLE t(a)");
  store_->checkpoint();
  const auto file = path("a");
  close();
  store_ = store::Store::open(store::testing::simulated_options(disk_));
  {
    store::Database catalog(*store_, store_->file(store::kCatalogNumber, "catalog.sqlite"));
    commit(catalog, "UPDATE checkpoints SET count = count + 1");
  }
  store_->close();
  damage(file, kPageBytes + 10);
  open();
  EXPECT_THAT(check("a").damaged, IsEmpty());
  EXPECT_EQ(check("a").unknown_count, 2U);
  run("b", "INSERT INTO t VALUES (1)");
  store_->checkpoint();
  close();
  open();
  EXPECT_LT(check("b").unknown_count, 2U);
}

// A checkpoint that found no room has written some of the files, and none is damaged for it.
TEST_F(CatalogChecksumsTest, ACheckpointThatFailsAnywhereLeavesNoFalseAlarm) {
  const auto files_are_whole = [&](bool all_known) {
    for (const std::string name : {"a", "b"}) {
      const store::FileCheck found = check(name);
      EXPECT_THAT(found.damaged, IsEmpty());
      if (all_known) {
        EXPECT_EQ(found.unknown_count, 0U);
      }
    }
    EXPECT_THAT(check(*store_->file(store::kCatalogNumber, "")).damaged, IsEmpty());
  };
  for (const std::string name : {"a", "b"}) run(name, "CREATE TABLE t(a)");
  store_->checkpoint();
  int failures = 0;
  bool failed = true;
  for (std::uint64_t room = 0; failed; ++room) {
    ASSERT_LT(room, 100U);
    SCOPED_TRACE("room for " + std::to_string(room) + " pages");
    for (const std::string name : {"a", "b"}) run(name, "INSERT INTO t VALUES (zeroblob(100000))");
    store_->log().wait_durable(store_->log().appended_lsn());
    disk_.set_capacity(disk_.used_bytes() + room * kPageBytes);
    try {
      store_->checkpoint();
      failed = false;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kFull);
      ++failures;
    }
    disk_.set_capacity(std::uint64_t{1} << 30);
    files_are_whole(false);
    store_->checkpoint();
    files_are_whole(true);
  }
  EXPECT_GT(failures, 20);
}

}  // namespace
}  // namespace perdure::runtime
