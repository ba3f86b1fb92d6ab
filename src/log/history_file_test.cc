#include "log/history_file.h"

#include <map>

#include <gtest/gtest.h>

#include "base/checksum.h"
#include "base/error.h"
#include "log/history_writer.h"
#include "log/log_testing.h"
#include "log/page_delta.h"

namespace perdure::log {
namespace {

constexpr const char* kPath = "/0000000000000007.history";
const LogId kId{0x1234, 0x5678};

// One commit, as it was written and as it is to be read.
struct Written {
  CommitInfo info;
  std::map<std::uint32_t, Bytes> deltas;
};

class HistoryFileTest : public testing::Test {
 protected:
  HistoryFileTest() {
    header_ = {.id = kId,
               .number = 7,
               .first_lsn = 1000,
               .last_lsn = 9999,
               .min_time_ms = 50'000,
               .max_time_ms = 90'000};
  }

  // A commit with random changes of so many pages, each of up to `bytes_max` bytes.
  void add(HistoryWriter& writer, ObjectNumber object, Lsn lsn, std::size_t page_count,
           std::size_t bytes_max) {
    std::vector<Bytes> before;
    std::vector<Bytes> after;
    for (std::size_t i = 0; i < page_count; ++i) {
      before.emplace_back(kPageSize);
      const Bytes change = random_bytes(random_(), 1 + random_() % bytes_max);
      after.push_back(before.back());
      std::copy(change.begin(), change.end(), after.back().begin());
    }
    std::vector<PageChange> changes;
    for (std::size_t i = 0; i < page_count; ++i) {
      const auto page = static_cast<std::uint32_t>(i * 3 + 1);
      changes.push_back({.page = page, .before = before[i], .after = after[i]});
    }
    auto& commits = written_[object];
    const Lsn previous = commits.empty() ? object % 3 * 100 : commits.back().info.lsn;
    CommitInfo info{.lsn = lsn,
                    .number = commits.empty() ? object * 10 : commits.back().info.number + 1,
                    .previous_lsn = previous,
                    .time_ms = 50'000 + static_cast<std::int64_t>(random_() % 40'000),
                    .page_size = kPageSize,
                    .pages_before = static_cast<std::uint32_t>(random_() % 100),
                    .pages_after = static_cast<std::uint32_t>(random_() % 100),
                    .changed_pages = static_cast<std::uint32_t>(page_count),
                    .flags = static_cast<std::uint32_t>(random_() % 1000)};
    Bytes bytes;
    encode_record({.object = object,
                   .number = info.number,
                   .previous_lsn = previous,
                   .previous = {commits.empty() && previous != 0 ? 6u : 0u, 4242},
                   .time_ms = info.time_ms,
                   .page_size = kPageSize,
                   .pages_before = info.pages_before,
                   .pages_after = info.pages_after,
                   .flags = info.flags,
                   .changes = changes},
                  bytes);
    RecordView record = RecordView::parse(bytes);
    record.lsn = lsn;
    Written entry{.info = info, .deltas = {}};
    record.for_each_delta([&](std::uint32_t page, std::span<const std::byte> delta) {
      entry.deltas[page].assign(delta.begin(), delta.end());
      entry.info.bytes += delta.size();
    });
    writer.add(record);
    commits.push_back(std::move(entry));
  }

  void write(int objects, std::size_t commits_max, std::size_t bytes_max) {
    HistoryWriter writer(files_, kPath, header_);
    Lsn lsn = header_.first_lsn;
    for (int object = 1; object <= objects; ++object) {
      for (std::size_t i = 1 + random_() % commits_max; i > 0; --i) {
        add(writer, static_cast<ObjectNumber>(object) * 5, lsn++, random_() % 4, bytes_max);
      }
    }
    result_ = writer.finish();
  }

  [[nodiscard]] std::shared_ptr<const HistoryFile> open() {
    return std::make_shared<HistoryFile>(files_, kPath, kId, 7);
  }

  // All commits of an object, as they are read.
  static std::vector<Written> read(HistoryFile::Reader& reader, const SealedObject& object) {
    std::vector<Written> commits;
    for (const SealedObject::Chunk& chunk : object.chunks) {
      for (const SealedCommit& commit : reader.commits(chunk)) {
        Written entry{.info = commit.info, .deltas = {}};
        commit.for_each_delta([&](std::uint32_t page, std::span<const std::byte> delta) {
          entry.deltas[page].assign(delta.begin(), delta.end());
        });
        commits.push_back(std::move(entry));
      }
    }
    return commits;
  }

  static std::map<std::uint32_t, Bytes> compose(const std::vector<Written>& commits) {
    std::map<std::uint32_t, Bytes> pages;
    for (const Written& commit : commits) {
      for (const auto& [page, delta] : commit.deltas) {
        pages[page].resize(kPageSize);
        apply_delta(delta, pages[page]);
      }
    }
    return pages;
  }

  void expect_object(HistoryFile::Reader& reader, ObjectNumber number) {
    const auto object = reader.find(number);
    ASSERT_TRUE(object.has_value());
    const std::vector<Written>& expected = written_[number];
    const std::vector<Written> found = read(reader, *object);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) expect_commit(found[i], expected[i]);
    EXPECT_EQ(object->commits, expected.size());
    EXPECT_EQ(object->first_lsn, expected.front().info.lsn);
    EXPECT_EQ(object->last_lsn, expected.back().info.lsn);
    EXPECT_EQ(object->previous_lsn, expected.front().info.previous_lsn);
    if (object->previous_lsn != 0) {
      EXPECT_EQ(object->previous, (RecordLocation{6, 4242}));
    }
    EXPECT_EQ(object->pages_before, expected.front().info.pages_before);
    EXPECT_EQ(object->pages_after, expected.back().info.pages_after);
    std::int64_t min_time_ms = expected.front().info.time_ms;
    for (const Written& commit : expected) {
      min_time_ms = std::min(min_time_ms, commit.info.time_ms);
    }
    EXPECT_EQ(object->min_time_ms, min_time_ms);
    if (object->summary_bytes == 0) return;
    ++summaries_;
    std::map<std::uint32_t, Bytes> pages;
    reader.for_each_summary_page(*object,
                                 [&](std::uint32_t page, std::span<const std::byte> delta) {
                                   pages[page].resize(kPageSize);
                                   unpack_page(delta, pages[page]);
                                 });
    EXPECT_EQ(pages, compose(expected));
  }

  static void expect_commit(const Written& found, const Written& expected) {
    EXPECT_EQ(found.info.lsn, expected.info.lsn);
    EXPECT_EQ(found.info.number, expected.info.number);
    EXPECT_EQ(found.info.previous_lsn, expected.info.previous_lsn);
    EXPECT_EQ(found.info.time_ms, expected.info.time_ms);
    EXPECT_EQ(found.info.page_size, expected.info.page_size);
    EXPECT_EQ(found.info.pages_before, expected.info.pages_before);
    EXPECT_EQ(found.info.pages_after, expected.info.pages_after);
    EXPECT_EQ(found.info.changed_pages, expected.info.changed_pages);
    EXPECT_EQ(found.info.bytes, expected.info.bytes);
    EXPECT_EQ(found.info.flags, expected.info.flags);
    EXPECT_EQ(found.deltas, expected.deltas);
  }

  void expect_all() {
    HistoryFile::Reader reader(open());
    for (const auto& [object, commits] : written_) {
      SCOPED_TRACE("object " + std::to_string(object));
      expect_object(reader, object);
      EXPECT_FALSE(reader.find(object + 1).has_value());
    }
    EXPECT_FALSE(reader.find(0).has_value());
    std::vector<ObjectNumber> listed;
    reader.for_each_entry(
        [&](const HistoryFile::TableEntry& entry) { listed.push_back(entry.object); });
    std::vector<ObjectNumber> expected;
    for (const auto& [object, commits] : written_) expected.push_back(object);
    EXPECT_EQ(listed, expected);
  }

  // Reads every byte of the file that has a meaning.
  void read_all() {
    const auto file = open();
    Bytes content;
    for (std::uint32_t i = 0; i < file->header().blocks; ++i) file->read_block(i, content);
    HistoryFile::Reader reader(file);
    for (const auto& [object, commits] : written_) {
      const auto found = reader.find(object);
      if (!found) continue;
      (void)read(reader, *found);
      reader.for_each_summary_page(*found, [](std::uint32_t, std::span<const std::byte>) {});
    }
  }

  static constexpr std::uint32_t kPageSize = 4096;

  Random random_{1};
  SimulatedFileSystem files_;
  HistoryHeader header_;
  HistoryWriter::Result result_;
  std::map<ObjectNumber, std::vector<Written>> written_;
  int summaries_ = 0;
};

TEST_F(HistoryFileTest, EverythingIsReadBack) {
  write(50, 30, 200);
  expect_all();
  EXPECT_GT(summaries_, 20);
  EXPECT_EQ(result_.header.objects, 50u);
  EXPECT_EQ(result_.bytes, files_.open(kPath, FileSystem::Mode::kRead)->size());
}

TEST_F(HistoryFileTest, ManyObjectsNeedMoreThanOneBlockOfTheTable) {
  write(8000, 1, 10);
  EXPECT_GT(result_.header.table_blocks(), 2u);
  expect_all();
}

TEST_F(HistoryFileTest, ManyCommitsOfOneObjectNeedMoreThanOneChunk) {
  write(2, 3000, 100);
  expect_all();
}

TEST_F(HistoryFileTest, ACommitLargerThanABlock) {
  HistoryWriter writer(files_, kPath, header_);
  add(writer, 5, 1000, 2, 50);
  add(writer, 5, 1001, 100, kPageSize);
  add(writer, 5, 1002, 2, 50);
  add(writer, 10, 1003, 80, kPageSize);
  result_ = writer.finish();
  expect_all();
}

TEST_F(HistoryFileTest, AFileWithoutCommits) {
  result_ = HistoryWriter(files_, kPath, header_).finish();
  expect_all();
  EXPECT_EQ(result_.header.objects, 0u);
}

TEST_F(HistoryFileTest, EveryFlippedBitIsFound) {
  write(12, 6, 40);
  const auto file = files_.open(kPath, FileSystem::Mode::kReadWrite);
  EXPECT_NO_THROW(read_all());
  for (std::uint64_t at = 0; at < file->size(); ++at) {
    Bytes byte(1);
    file->read(at, byte);
    const auto flipped = byte[0] ^ (std::byte{1} << static_cast<int>(random_() % 8));
    file->write(at, Bytes{flipped});
    try {
      read_all();
      FAIL() << "a flipped bit at byte " << at << " was not found";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
      EXPECT_NE(std::string(error.what()).find(kPath), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("byte"), std::string::npos) << error.what();
    }
    file->write(at, byte);
  }
  EXPECT_NO_THROW(read_all());
}

TEST_F(HistoryFileTest, EveryOtherLengthIsRefused) {
  write(5, 3, 40);
  const auto file = files_.open(kPath, FileSystem::Mode::kReadWrite);
  const std::uint64_t size = file->size();
  file->truncate(size + 1);
  EXPECT_THROW(open(), Error);
  for (std::uint64_t length = size; length-- > 0;) {
    file->truncate(length);
    EXPECT_THROW(open(), Error) << length;
  }
}

TEST_F(HistoryFileTest, FilesOfAnotherLogOrSegmentAreRefused) {
  write(2, 2, 40);
  EXPECT_THROW(HistoryFile(files_, kPath, LogId{1, 2}, 7), Error);
  EXPECT_THROW(HistoryFile(files_, kPath, kId, 8), Error);
}

TEST_F(HistoryFileTest, ANewerVersionIsSaidToBeOne) {
  write(2, 2, 40);
  Bytes bytes = encode_history_header(result_.header);
  store(bytes.data() + 8, kHistoryVersion + 1);
  store(bytes.data() + 112, checksum(std::span(bytes).first(112)));
  try {
    (void)decode_history_header(bytes, kPath);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kVersion);
  }
}

// What a checksum would let through, were it made for the wrong bytes, is still only bad input.
TEST_F(HistoryFileTest, MutatedBytesNeverCrash) {
  Bytes chunk;
  Bytes index;
  {
    HistoryWriter writer(files_, kPath, header_);
    for (Lsn lsn = 1000; lsn < 1020; ++lsn) add(writer, 5, lsn, 3, 30);
    writer.finish();
    HistoryFile::Reader reader(open());
    SealedObject object = *reader.find(5);
    encode_object_index(object, header_, index);
    Bytes block;
    open()->read_block(0, block);
    chunk.assign(block.begin(),
                 block.begin() + static_cast<std::ptrdiff_t>(object.chunks[0].bytes));
  }
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes = i % 2 == 0 ? chunk : index;
    for (int changes = 1 + i % 3; changes > 0; --changes) {
      bytes[random_() % bytes.size()] = static_cast<std::byte>(random_());
    }
    try {
      if (i % 2 == 0) {
        for (const SealedCommit& commit : decode_chunk(bytes, 20, header_)) {
          commit.for_each_delta([](std::uint32_t, std::span<const std::byte>) {});
        }
      } else {
        (void)decode_object_index(bytes, 5, 100'000, header_);
      }
      ++accepted;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    }
  }
  EXPECT_GT(accepted, 0);
}

}  // namespace
}  // namespace perdure::log
