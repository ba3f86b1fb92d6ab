#include "store/database_file.h"

#include <map>

#include "store/checkpoint.h"
#include "store/store_core.h"
#include "store/store_testing.h"

namespace perdure::store {
namespace {

constexpr std::size_t kPage = 4096;
constexpr char kPath[] = "/data/a.sqlite";

// Changes that SQLite seldom makes: pages that are never written, and cuts at the worst time.
class DatabaseFileTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }

  void open() {
    core_ = std::make_unique<StoreCore>(testing::simulated_options(disk_));
    core_->open_log();
    file_ = core_->file(20, "a.sqlite");
  }

  // Everything in memory goes; the log stays.
  void restart() {
    file_.reset();
    core_->close_log();
    core_.reset();
    open();
  }

  // Commits pages filled with one byte each.
  void commit(const std::map<std::uint32_t, int>& pages, std::uint32_t pages_after) {
    std::vector<std::vector<std::byte>> contents;
    std::vector<ChangedPage> changed;
    contents.reserve(pages.size());
    for (const auto& [page, fill] : pages) {
      contents.emplace_back(kPage, static_cast<std::byte>(fill));
      changed.push_back({page, contents.back()});
    }
    std::vector<std::byte> record;
    const Change change{changed, kPage, pages_after};
    file_->prepare(change, record);
    DatabaseFile::Prepared prepared{*file_, change, record};
    DatabaseFile::publish({&prepared, 1});
  }

  // The byte that fills the page.
  int page(std::uint32_t number) {
    std::vector<std::byte> content(kPage);
    file_->read(number, content);
    EXPECT_EQ(content, std::vector<std::byte>(kPage, content[0]));
    return std::to_integer<int>(content[0]);
  }

  std::vector<int> pages() {
    std::vector<int> all;
    for (std::uint32_t i = 1; i <= file_->page_count(); ++i) all.push_back(page(i));
    return all;
  }

  // What the checkpoint does with a step.
  void write(const CapturedPages& captured) {
    const auto out = disk_.open(kPath, FileSystem::Mode::kCreate);
    for (std::size_t i = captured.first; i < captured.pages.size(); ++i) {
      out->write((captured.pages[i].page - 1) * kPage,
                 std::span(captured.content).subspan((i - captured.first) * kPage, kPage));
    }
  }

  // After the next checkpoint and without memory, the state is the same.
  void expect_everywhere(const std::vector<int>& expected) {
    EXPECT_EQ(pages(), expected);
    Checkpoint(*core_).run();
    EXPECT_EQ(core_->dirty_bytes(), 0U);
    EXPECT_EQ(pages(), expected);
    std::vector<int> on_disk;
    const auto file = disk_.open(kPath, FileSystem::Mode::kRead);
    EXPECT_EQ(file->size(), expected.size() * kPage);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      std::byte first{};
      file->read(i * kPage, {&first, 1});
      on_disk.push_back(std::to_integer<int>(first));
    }
    EXPECT_EQ(on_disk, expected);
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<StoreCore> core_;
  std::shared_ptr<DatabaseFile> file_;
};

TEST_F(DatabaseFileTest, PagesThatWereNeverWrittenAreZeros) {
  commit({{1, 1}, {5, 5}}, 5);
  restart();
  expect_everywhere({1, 0, 0, 0, 5});
}

TEST_F(DatabaseFileTest, AFileThatShrankAndGrewShowsNothingOld) {
  commit({{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}}, 5);
  Checkpoint(*core_).run();
  commit({{1, 6}}, 2);
  commit({{1, 7}, {5, 8}}, 5);
  const std::vector<int> expected = {7, 2, 0, 0, 8};
  EXPECT_EQ(pages(), expected);
  restart();
  expect_everywhere(expected);
}

TEST_F(DatabaseFileTest, ACutDuringTheCheckpointCounts) {
  commit({{1, 1}, {2, 2}, {3, 3}, {4, 4}}, 4);
  CapturedPages captured;
  file_->capture(captured, std::size_t{1} << 20);
  ASSERT_TRUE(captured.complete);
  commit({{1, 5}}, 2);
  commit({{1, 6}, {4, 7}}, 4);
  write(captured);
  file_->drop_captured(captured, {});
  expect_everywhere({6, 2, 0, 7});
}

TEST_F(DatabaseFileTest, ACutBetweenTwoStepsCounts) {
  commit({{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}}, 6);
  CapturedPages captured;
  file_->capture(captured, 4 * kPage);
  ASSERT_FALSE(captured.complete);
  write(captured);
  commit({{1, 7}}, 2);
  commit({{1, 8}, {6, 9}}, 6);
  file_->capture(captured, 4 * kPage);
  ASSERT_TRUE(captured.complete);
  write(captured);
  file_->drop_captured(captured, {});
  expect_everywhere({8, 2, 0, 0, 0, 9});
}

TEST_F(DatabaseFileTest, APageThatChangesDuringTheCheckpointStays) {
  commit({{1, 1}, {2, 2}}, 2);
  CapturedPages captured;
  file_->capture(captured, std::size_t{1} << 20);
  commit({{2, 3}}, 2);
  write(captured);
  file_->drop_captured(captured, {});
  EXPECT_GT(core_->dirty_bytes(), 0U);
  expect_everywhere({1, 3});
}

TEST_F(DatabaseFileTest, ReplayTrustsNoPageThatChangedSinceTheCheckpoint) {
  commit({{1, 1}, {2, 2}}, 2);
  Checkpoint(*core_).run();
  commit({{2, 3}}, 2);
  disk_.open(kPath, FileSystem::Mode::kReadWrite)->write(kPage, std::vector<std::byte>(100));
  restart();
  expect_everywhere({1, 3});
}

TEST_F(DatabaseFileTest, TheChainOfRecordsLeadsBackToTheStart) {
  commit({{1, 1}}, 1);
  commit({{1, 2}, {2, 2}}, 2);
  commit({{1, 3}}, 1);
  const Head head = file_->head();
  EXPECT_EQ(head.commit_number, 3U);
  core_->log().wait_durable(head.last_lsn);
  std::vector<std::byte> buffer;
  std::vector<std::byte> content(kPage, std::byte{3});
  log::RecordLocation at = head.location;
  for (std::uint64_t number = 3; number > 0; --number) {
    const log::RecordView record = core_->log().read(at, buffer);
    EXPECT_EQ(record.number, number);
    EXPECT_EQ(content[0], static_cast<std::byte>(number));
    record.undo(1, content);
    at = record.previous;
  }
  EXPECT_EQ(content, std::vector<std::byte>(kPage));
  EXPECT_EQ(at, log::RecordLocation{});
}

}  // namespace
}  // namespace perdure::store
