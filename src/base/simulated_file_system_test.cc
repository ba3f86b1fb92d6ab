#include "base/simulated_file_system.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/error_testing.h"

namespace perdure {
namespace {

using Mode = FileSystem::Mode;
using Operation = SimulatedFileSystem::Operation;

class SimulatedFileSystemTest : public testing::Test {
 protected:
  SimulatedFileSystemTest() { files_.create_directories("/d"); }

  Bytes content(const std::string& path) {
    const auto file = files_.open(path, Mode::kRead);
    Bytes bytes(file->size());
    file->read(0, bytes);
    return bytes;
  }
  SimulatedFileSystem files_;
};

TEST_F(SimulatedFileSystemTest, WhatWasSyncedSurvivesEveryCrash) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto file = files_.open("/d/a", Mode::kCreate);
    file->write(0, Bytes(3000, static_cast<std::byte>(seed)));
    file->sync();
    files_.sync_directory("/d");
    file->write(3000, Bytes(3000, std::byte{0xff}));
    files_.crash(seed);
    const Bytes bytes = content("/d/a");
    ASSERT_GE(bytes.size(), 3000u);
    EXPECT_TRUE(std::all_of(bytes.begin(), bytes.begin() + 3000,
                            [&](std::byte b) { return b == static_cast<std::byte>(seed); }));
  }
}

TEST_F(SimulatedFileSystemTest, UnsyncedWritesAreKeptLostOrTornBySectors) {
  bool lost = false;
  bool kept = false;
  bool torn = false;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    {
      const auto file = files_.open("/d/a", Mode::kCreate);
      file->truncate(0);
      file->write(0, Bytes(4096));
      file->sync();
      files_.sync_directory("/d");
      file->write(100, Bytes(3000, std::byte{1}));
    }
    files_.crash(seed);
    const Bytes bytes = content("/d/a");
    const auto ones = std::count(bytes.begin(), bytes.end(), std::byte{1});
    lost |= ones == 0;
    kept |= ones == 3000;
    torn |= ones != 0 && ones != 3000;
    for (std::size_t sector = 0; sector < 4096; sector += 512) {
      std::set<std::byte> values;
      for (std::size_t at = std::max<std::size_t>(sector, 100);
           at < std::min<std::size_t>(sector + 512, 3100); ++at) {
        values.insert(bytes[at]);
      }
      EXPECT_LE(values.size(), 1u) << "a sector is written as a whole";
    }
  }
  EXPECT_TRUE(lost);
  EXPECT_TRUE(kept);
  EXPECT_TRUE(torn);
}

TEST_F(SimulatedFileSystemTest, ACrashMayKeepOrLoseEverything) {
  for (const int kept_percent : {0, 100}) {
    SimulatedFileSystem files;
    files.create_directories("/d");
    const auto file = files.open("/d/a", Mode::kCreate);
    file->sync();
    files.sync_directory("/d");
    file->write(0, Bytes(100000, std::byte{1}));
    files.crash(7, kept_percent);
    EXPECT_EQ(files.open("/d/a", Mode::kRead)->size(), kept_percent == 0 ? 0u : 100000u);
  }
}

TEST_F(SimulatedFileSystemTest, UnsyncedNamesAreKeptOrLost) {
  std::set<bool> created;
  std::set<bool> renamed;
  std::set<bool> removed;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SimulatedFileSystem files;
    files.create_directories("/d");
    for (const char* name : {"/d/old", "/d/gone"}) {
      const auto file = files.open(name, Mode::kCreate);
      file->write(0, Bytes(5));
      file->sync();
    }
    files.sync_directory("/d");
    files.open("/d/fresh", Mode::kCreate);
    files.rename("/d/old", "/d/new");
    files.remove("/d/gone");
    files.crash(seed);
    created.insert(files.exists("/d/fresh"));
    removed.insert(!files.exists("/d/gone"));
    renamed.insert(files.exists("/d/new"));
    EXPECT_NE(files.exists("/d/new"), files.exists("/d/old")) << "a rename is atomic";
    EXPECT_EQ(files.open(files.exists("/d/new") ? "/d/new" : "/d/old", Mode::kRead)->size(), 5u);
  }
  EXPECT_EQ(created.size(), 2u);
  EXPECT_EQ(renamed.size(), 2u);
  EXPECT_EQ(removed.size(), 2u);
}

TEST_F(SimulatedFileSystemTest, ASeedAlwaysDoesTheSame) {
  const auto run = [](std::uint64_t seed) {
    SimulatedFileSystem files;
    files.create_directories("/d");
    for (int i = 0; i < 20; ++i) {
      files.open("/d/" + std::to_string(i), Mode::kCreate)->write(0, Bytes(5000, std::byte{1}));
    }
    files.crash(seed);
    std::string result;
    for (const std::string& name : files.list("/d")) {
      const auto file = files.open("/d/" + name, Mode::kRead);
      Bytes bytes(file->size());
      file->read(0, bytes);
      result += name + ":" + std::to_string(std::count(bytes.begin(), bytes.end(), std::byte{1}));
    }
    return result;
  };
  for (std::uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(run(seed), run(seed));
}

TEST_F(SimulatedFileSystemTest, FilesAndLocksOfBeforeTheCrashAreDead) {
  const auto file = files_.open("/d/a", Mode::kCreate);
  file->sync();
  const auto lock = files_.try_lock("/d/lock");
  files_.sync_directory("/d");
  files_.crash(1);
  EXPECT_EQ(code_of([&] { file->write(0, Bytes(1)); }), ErrorCode::kIo);
  EXPECT_NE(files_.try_lock("/d/lock"), nullptr);
}

TEST_F(SimulatedFileSystemTest, ThePowerGoesOffAtAChosenOperation) {
  const auto file = files_.open("/d/a", Mode::kCreate);
  files_.sync_directory("/d");
  const std::uint64_t before = files_.operations();
  files_.power_off_at(3);
  file->write(0, Bytes(512, std::byte{1}));
  file->sync();
  EXPECT_FALSE(files_.is_power_off());
  EXPECT_EQ(code_of([&] { file->write(0, Bytes(512, std::byte{2})); }), ErrorCode::kIo);
  EXPECT_TRUE(files_.is_power_off());
  EXPECT_EQ(code_of([&] { file->sync(); }), ErrorCode::kIo);
  EXPECT_EQ(files_.operations() - before, 3u);
  files_.crash(1);
  const Bytes bytes = content("/d/a");
  ASSERT_EQ(bytes.size(), 512u);
  EXPECT_TRUE(bytes[0] == std::byte{1} || bytes[0] == std::byte{2});
}

TEST_F(SimulatedFileSystemTest, FailsTheChosenOperationOnce) {
  const auto file = files_.open("/d/a", Mode::kCreate);
  files_.fail(Operation::kSync, 2);
  file->sync();
  file->write(0, Bytes(10));
  EXPECT_EQ(code_of([&] { file->sync(); }), ErrorCode::kIo);
  file->sync();
  files_.fail(Operation::kWrite, 1, ErrorCode::kFull);
  EXPECT_EQ(code_of([&] { file->write(0, Bytes(10)); }), ErrorCode::kFull);
  file->write(0, Bytes(10));
}

TEST_F(SimulatedFileSystemTest, AFailedSyncLosesItsWritesForGood) {
  const auto file = files_.open("/d/a", Mode::kCreate);
  file->write(0, Bytes(10, std::byte{1}));
  file->sync();
  files_.sync_directory("/d");
  file->write(0, Bytes(10, std::byte{2}));
  files_.fail(Operation::kSync);
  EXPECT_EQ(code_of([&] { file->sync(); }), ErrorCode::kIo);
  file->sync();
  files_.crash(0);
  EXPECT_EQ(content("/d/a"), Bytes(10, std::byte{1}));
}

TEST_F(SimulatedFileSystemTest, FillsUpAndHasRoomAgain) {
  files_.set_capacity(10000);
  const auto a = files_.open("/d/a", Mode::kCreate);
  a->preallocate(8000);
  EXPECT_EQ(files_.used_bytes(), 8000u);
  const auto b = files_.open("/d/b", Mode::kCreate);
  EXPECT_EQ(code_of([&] { b->preallocate(4000); }), ErrorCode::kFull);
  EXPECT_EQ(code_of([&] { b->write(0, Bytes(4000)); }), ErrorCode::kFull);
  a->write(0, Bytes(8000));
  EXPECT_EQ(files_.used_bytes(), 8000u);
  files_.remove("/d/a");
  EXPECT_EQ(files_.used_bytes(), 0u);
  b->write(0, Bytes(4000));
  files_.open("/d/c", Mode::kCreate)->preallocate(6000);
  files_.rename("/d/c", "/d/b");
  EXPECT_EQ(files_.used_bytes(), 6000u);
}

TEST_F(SimulatedFileSystemTest, ALargeEmptyFileCostsNothing) {
  const auto start = std::chrono::steady_clock::now();
  const auto file = files_.open("/d/a", Mode::kCreate);
  file->preallocate(1ull << 40);
  Bytes bytes(10, std::byte{1});
  EXPECT_EQ(file->read(1ull << 39, bytes), 10u);
  EXPECT_EQ(bytes, Bytes(10));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST_F(SimulatedFileSystemTest, WithoutAccountOfSyncsNothingIsLost) {
  SimulatedFileSystem files({.tracks_unsynced = false});
  files.create_directories("/d");
  files.open("/d/a", Mode::kCreate)->write(0, Bytes(10));
  files.crash(0);
  EXPECT_EQ(files.open("/d/a", Mode::kRead)->size(), 10u);
}

TEST_F(SimulatedFileSystemTest, ASyncTakesTheChosenTime) {
  const auto file = files_.open("/d/a", Mode::kCreate);
  files_.set_sync_delay(std::chrono::milliseconds(20));
  const auto start = std::chrono::steady_clock::now();
  file->sync();
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

}  // namespace
}  // namespace perdure
