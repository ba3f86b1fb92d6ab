#include "log/record.h"

#include <map>
#include <random>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

namespace perdure::log {
namespace {

constexpr std::uint32_t kPageSize = 1024;

Bytes page_of(int value) { return Bytes(kPageSize, static_cast<std::byte>(value)); }

class RecordTest : public testing::Test {
 protected:
  RecordTest() {
    changed_[10] = std::byte{9};
    changes_ = {
        {.page = 2, .before = old_, .after = changed_},
        {.page = 3, .before = old_, .after = changed_, .full_image = true},
        {.page = 5, .before = {}, .after = changed_},
        {.page = 8, .before = old_, .after = {}},
    };
    commit_ = {.object = 77,
               .number = 12,
               .previous_lsn = 1ull << 40,
               .previous = {3, 0xfffffff0},
               .time_ms = -5,
               .page_size = kPageSize,
               .pages_before = 8,
               .pages_after = 7,
               .flags = 0x80000001,
               .changes = changes_};
  }

  Bytes encode() {
    Bytes bytes;
    encode_record(commit_, bytes);
    return bytes;
  }

  Bytes old_ = page_of(1);
  Bytes changed_ = page_of(1);
  std::vector<PageChange> changes_;
  Commit commit_;
};

// Puts the right checksum on a changed record, so that what lies behind it is tested.
void seal(Bytes& record) {
  const std::span<const std::byte> bytes(record);
  store(record.data() + 8, checksum(bytes.subspan(16), load<std::uint64_t>(record.data())));
}

void read_all(const RecordView& view) {
  Bytes page(view.page_size);
  view.for_each_page([&](std::uint32_t number, bool) {
    view.redo(number, page);
    view.undo(number, page);
  });
}

TEST_F(RecordTest, ReadsBackEveryField) {
  const Bytes bytes = encode();
  const RecordView view = RecordView::parse(bytes);
  EXPECT_EQ(view.object, 77u);
  EXPECT_EQ(view.number, 12u);
  EXPECT_EQ(view.previous_lsn, 1ull << 40);
  EXPECT_EQ(view.previous, (RecordLocation{3, 0xfffffff0}));
  EXPECT_EQ(view.time_ms, -5);
  EXPECT_EQ(view.page_size, kPageSize);
  EXPECT_EQ(view.pages_before, 8u);
  EXPECT_EQ(view.pages_after, 7u);
  EXPECT_EQ(view.flags, 0x80000001u);
  EXPECT_EQ(view.lsn, 0u);
  EXPECT_EQ(view.location, RecordLocation{});
}

TEST_F(RecordTest, VisitsPagesInOrderAndSaysWhichStandAlone) {
  std::swap(changes_[0], changes_[3]);
  std::vector<std::pair<std::uint32_t, bool>> pages;
  const Bytes bytes = encode();
  RecordView::parse(bytes).for_each_page(
      [&](std::uint32_t page, bool full) { pages.emplace_back(page, full); });
  const std::vector<std::pair<std::uint32_t, bool>> expected = {
      {2, false}, {3, true}, {5, true}, {8, true}};
  EXPECT_EQ(pages, expected);
}

TEST_F(RecordTest, RedoesAndUndoesEachPage) {
  const Bytes bytes = encode();
  const RecordView view = RecordView::parse(bytes);
  const std::map<std::uint32_t, std::pair<Bytes, Bytes>> pages = {
      {2, {old_, changed_}},
      {3, {old_, changed_}},
      {5, {Bytes(kPageSize), changed_}},
      {8, {old_, Bytes(kPageSize)}},
  };
  for (const auto& [number, states] : pages) {
    Bytes page = states.first;
    view.redo(number, page);
    EXPECT_EQ(page, states.second) << number;
    view.undo(number, page);
    EXPECT_EQ(page, states.first) << number;
  }
}

TEST_F(RecordTest, AFullImageNeedsNoOldContent) {
  const Bytes bytes = encode();
  const RecordView view = RecordView::parse(bytes);
  Bytes page = page_of(0xee);
  view.redo(3, page);
  EXPECT_EQ(page, changed_);
  page = page_of(0xee);
  view.redo(5, page);
  EXPECT_EQ(page, changed_);
  page = page_of(0xee);
  view.redo(8, page);
  EXPECT_EQ(page, page_of(0));
}

TEST_F(RecordTest, OtherPagesStayAsTheyAre) {
  const Bytes bytes = encode();
  const RecordView view = RecordView::parse(bytes);
  for (const std::uint32_t number : {0u, 1u, 4u, 6u, 9u, 0xffffffffu}) {
    Bytes page = page_of(3);
    view.redo(number, page);
    view.undo(number, page);
    EXPECT_EQ(page, page_of(3));
  }
}

TEST_F(RecordTest, ACommitMayChangeNoPage) {
  commit_.changes = {};
  const Bytes bytes = encode();
  int pages = 0;
  RecordView::parse(bytes).for_each_page([&](std::uint32_t, bool) { ++pages; });
  EXPECT_EQ(pages, 0);
}

TEST_F(RecordTest, ASmallCommitIsASmallRecord) {
  commit_.changes = std::span(changes_).first(1);
  EXPECT_LE(encode().size(), 100u);
}

TEST_F(RecordTest, AppendsBehindWhatIsThere) {
  Bytes bytes(5, std::byte{1});
  encode_record(commit_, bytes);
  EXPECT_EQ(RecordView::parse(std::span(bytes).subspan(5)).object, 77u);
}

TEST_F(RecordTest, RefusesImpossibleCommits) {
  Bytes bytes(3);
  commit_.page_size = 1000;
  EXPECT_THROW(encode_record(commit_, bytes), Error);
  commit_.page_size = 2048;
  EXPECT_THROW(encode_record(commit_, bytes), Error);
  commit_.page_size = kPageSize;
  changes_[1].page = 2;
  EXPECT_THROW(encode_record(commit_, bytes), Error);
  changes_[1].page = 0;
  EXPECT_THROW(encode_record(commit_, bytes), Error);
  EXPECT_EQ(bytes.size(), 3u) << "nothing is left of them";
}

TEST_F(RecordTest, EveryCutIsRefused) {
  const Bytes bytes = encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(RecordView::parse(std::span(bytes).first(size)), Error);
  }
}

TEST_F(RecordTest, EveryFlippedBitIsRefused) {
  Bytes bytes = encode();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_THROW(RecordView::parse(bytes), Error) << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
}

TEST_F(RecordTest, ANewerVersionIsSaidToBeOne) {
  Bytes bytes = encode();
  bytes[4] = std::byte{2};
  seal(bytes);
  try {
    RecordView::parse(bytes);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kVersion);
    EXPECT_STREQ(error.what(),
                 "The log record has format version 2, and this build reads up to version 1.");
  }
}

TEST_F(RecordTest, MutatedBytesWithAGoodChecksumNeverCrash) {
  const Bytes original = encode();
  std::mt19937_64 random(1);
  for (int round = 0; round < 50000; ++round) {
    Bytes bytes = original;
    for (int edits = 1 + static_cast<int>(random() % 4); edits > 0; --edits) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    if (random() % 8 == 0) bytes.resize(16 + random() % (bytes.size() - 16));
    if (random() % 2 == 0) store(bytes.data(), static_cast<std::uint32_t>(bytes.size()));
    seal(bytes);
    try {
      read_all(RecordView::parse(bytes));
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kVersion);
    }
  }
}

}  // namespace
}  // namespace perdure::log
