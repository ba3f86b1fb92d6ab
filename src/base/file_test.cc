#include "base/file.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/simulated_file_system.h"

// What every file system promises, on the operating system's and on the simulated one.

namespace perdure {
namespace {

using Mode = FileSystem::Mode;

Bytes text(const std::string& value) {
  const auto bytes = std::as_bytes(std::span(value));
  return {bytes.begin(), bytes.end()};
}

class FileSystemTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      simulated_ = std::make_unique<SimulatedFileSystem>();
      directory_ = "/data";
      files().create_directories(directory_);
    } else {
      std::string name = (std::filesystem::temp_directory_path() / "perdure.XXXXXX").string();
      ASSERT_NE(mkdtemp(name.data()), nullptr);
      directory_ = name;
    }
  }
  void TearDown() override {
    if (!GetParam()) std::filesystem::remove_all(directory_);
  }

  FileSystem& files() { return simulated_ ? *simulated_ : real_file_system(); }
  [[nodiscard]] std::filesystem::path path(const std::string& name) const {
    return directory_ / name;
  }
  void expect_error(ErrorCode code, const std::string& message, const auto& action) {
    try {
      action();
      FAIL() << "expected: " << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_EQ(error.what(), message);
    }
  }

  std::unique_ptr<SimulatedFileSystem> simulated_;
  std::filesystem::path directory_;
};

TEST_P(FileSystemTest, ReadsWhatWasWritten) {
  const auto file = files().open(path("a"), Mode::kCreate);
  file->write(3, text("hello"));
  file->sync();
  EXPECT_EQ(file->size(), 8u);
  Bytes bytes(10);
  EXPECT_EQ(file->read(0, bytes), 8u);
  bytes.resize(8);
  EXPECT_EQ(bytes, text(std::string("\0\0\0hello", 8)));
  EXPECT_EQ(file->read(8, bytes), 0u);
  EXPECT_EQ(file->read(100, bytes), 0u);
}

TEST_P(FileSystemTest, SyncsManyFilesAtOnce) {
  for (const int count : {3, 40}) {
    std::vector<std::unique_ptr<File>> open;
    std::vector<File*> written;
    for (int i = 0; i < count; ++i) {
      open.push_back(files().open(path(std::to_string(i)), Mode::kCreate));
      open.back()->write(0, text("synced"));
      written.push_back(open.back().get());
    }
    files().sync_files(written);
    files().sync_directory(directory_);
    open.clear();
    if (simulated_) simulated_->crash(0, 0);  // nothing that was not synced is left
    for (int i = 0; i < count; ++i) {
      Bytes bytes(6);
      EXPECT_EQ(files().open(path(std::to_string(i)), Mode::kRead)->read(0, bytes), 6u);
      EXPECT_EQ(bytes, text("synced"));
    }
  }
  files().sync_files({});
}

TEST_P(FileSystemTest, TruncatesAndExtendsWithZeros) {
  const auto file = files().open(path("a"), Mode::kCreate);
  file->write(0, Bytes(200000, std::byte{7}));
  file->truncate(100);
  file->truncate(200000);
  Bytes bytes(200000);
  EXPECT_EQ(file->read(0, bytes), 200000u);
  EXPECT_EQ(bytes[99], std::byte{7});
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{0}), 200000 - 100);
}

TEST_P(FileSystemTest, PreallocatesWithoutTouchingWhatIsThere) {
  const auto file = files().open(path("a"), Mode::kCreate);
  file->write(0, text("x"));
  file->preallocate(3 << 20);
  EXPECT_EQ(file->size(), 3u << 20);
  file->preallocate(10);
  EXPECT_EQ(file->size(), 3u << 20);
  Bytes bytes(3 << 20);
  EXPECT_EQ(file->read(0, bytes), bytes.size());
  EXPECT_EQ(bytes[0], text("x")[0]);
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{0}), (3 << 20) - 1);
}

TEST_P(FileSystemTest, ModesSayWhetherTheFileMustExist) {
  EXPECT_FALSE(files().exists(path("a")));
  expect_error(ErrorCode::kIo, "Cannot open " + path("a").string() + ": No such file or directory.",
               [&] { files().open(path("a"), Mode::kRead); });
  expect_error(ErrorCode::kIo, "Cannot open " + path("a").string() + ": No such file or directory.",
               [&] { files().open(path("a"), Mode::kReadWrite); });
  files().open(path("a"), Mode::kCreateNew);
  EXPECT_TRUE(files().exists(path("a")));
  expect_error(ErrorCode::kIo, "Cannot open " + path("a").string() + ": File exists.",
               [&] { files().open(path("a"), Mode::kCreateNew); });
  files().open(path("a"), Mode::kCreate);
  expect_error(ErrorCode::kIo, "Cannot write " + path("a").string() + ": Bad file descriptor.",
               [&] { files().open(path("a"), Mode::kRead)->write(0, text("x")); });
}

TEST_P(FileSystemTest, RenamesReplaceAndOpenFilesStayValid) {
  const auto a = files().open(path("a"), Mode::kCreate);
  a->write(0, text("a"));
  files().open(path("b"), Mode::kCreate)->write(0, text("bb"));
  files().rename(path("a"), path("b"));
  files().sync_directory(directory_);
  EXPECT_EQ(files().list(directory_), std::vector<std::string>{"b"});
  EXPECT_EQ(files().open(path("b"), Mode::kRead)->size(), 1u);
  a->write(1, text("c"));
  EXPECT_EQ(files().open(path("b"), Mode::kRead)->size(), 2u);
}

TEST_P(FileSystemTest, ListsNamesInOrderAndRemoves) {
  files().create_directories(path("d/e"));
  files().open(path("c"), Mode::kCreate);
  files().open(path("a"), Mode::kCreate);
  files().open(path("d/x"), Mode::kCreate);
  EXPECT_EQ(files().list(directory_), (std::vector<std::string>{"a", "c", "d"}));
  EXPECT_EQ(files().list(path("d")), (std::vector<std::string>{"e", "x"}));
  files().remove(path("a"));
  EXPECT_EQ(files().list(directory_), (std::vector<std::string>{"c", "d"}));
  expect_error(ErrorCode::kIo,
               "Cannot remove " + path("a").string() + ": No such file or directory.",
               [&] { files().remove(path("a")); });
}

TEST_P(FileSystemTest, ALockHasOneHolder) {
  auto lock = files().try_lock(path("lock"));
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(files().try_lock(path("lock")), nullptr);
  lock.reset();
  EXPECT_NE(files().try_lock(path("lock")), nullptr);
}

TEST_P(FileSystemTest, ALockExcludesOtherProcesses) {
  if (GetParam())
    GTEST_SKIP()
        << "the simulated lock is not tested against another process: it is in the memory of one";
  const auto lock = files().try_lock(path("lock"));
  const pid_t child = fork();
  if (child == 0) _exit(files().try_lock(path("lock")) == nullptr ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(All, FileSystemTest, testing::Values(false, true),
                         [](const auto& instance) {
                           return instance.param ? "Simulated" : "Real";
                         });

TEST(RealFileSystem, AFullDiskIsAnErrorOfItsOwn) {
  if (!std::filesystem::exists("/dev/full"))
    GTEST_SKIP() << "writing to a full disk is not tested: there is no /dev/full";
  const auto file = real_file_system().open("/dev/full", Mode::kReadWrite);
  try {
    file->write(0, text("x"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFull);
    EXPECT_STREQ(error.what(), "Cannot write /dev/full: No space left on device.");
  }
}

}  // namespace
}  // namespace perdure
