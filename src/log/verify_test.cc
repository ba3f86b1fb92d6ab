#include "log/verify.h"

#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/format.h"
#include "log/log_testing.h"

namespace perdure::log {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A log with some history, of which single bits are turned.
class VerifyTest : public ::testing::Test {
 protected:
  explicit VerifyTest(std::uint64_t segment_bytes = 64 << 10) {
    test_.segment_bytes = segment_bytes;
    test_.history.enabled = true;
    test_.open();
    objects_.emplace_back(1, 512);
    objects_.emplace_back(2, 1024);
  }

  void commit(int count) {
    for (int i = 0; i < count; ++i) {
      objects_[random_() % 2].commit(*test_.log, random_, i);
      if (i % 7 == 0) test_.log->wait_durable(test_.log->appended_lsn());
    }
    test_.log->wait_durable(test_.log->appended_lsn());
  }

  std::vector<Damage> verify() {
    std::vector<Damage> found;
    test_.log->verify([&](const Damage& damage) { found.push_back(damage); });
    return found;
  }

  void turn_bit(const std::string& path, std::uint64_t offset) {
    const auto file = test_.files.open(path, FileSystem::Mode::kReadWrite);
    Bytes byte(1);
    ASSERT_EQ(file->read(offset, byte), 1u);
    byte[0] ^= std::byte{16};
    file->write(offset, byte);
  }

  Random random_{1};
  TestLog test_;
  std::vector<RandomObject> objects_;
};

TEST_F(VerifyTest, FindsNothingInWhatIsWhole) {
  commit(1500);
  EXPECT_THAT(verify(), IsEmpty());
  test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  test_.log->history().catch_up();
  ASSERT_GT(test_.log->history().usage().files, 1u);
  commit(100);
  EXPECT_THAT(verify(), IsEmpty());
}

TEST_F(VerifyTest, NamesTheObjectOfADamagedRecordAndGoesOn) {
  commit(300);
  const Appended first = objects_[1].last();
  objects_[0].commit(*test_.log, random_);
  test_.log->wait_durable(test_.log->appended_lsn());
  const Appended second = objects_[0].last();
  commit(300);
  const auto path = [](const Appended& of) {
    return segment_path(kTestDirectory, of.location.segment).string();
  };
  turn_bit(path(first), first.location.offset + 80);
  turn_bit(path(second), second.location.offset + 80);
  const auto found = verify();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].file, path(first));
  EXPECT_EQ(found[0].offset, first.location.offset);
  EXPECT_EQ(found[0].object, 2u);
  EXPECT_EQ(found[0].what, "a record does not match its checksum");
  EXPECT_EQ(found[1].offset, second.location.offset);
  EXPECT_EQ(found[1].object, 1u);
}

TEST_F(VerifyTest, FindsEveryBitOfAFrame) {
  commit(20);
  objects_[0].commit(*test_.log, random_);
  test_.log->wait_durable(test_.log->appended_lsn());
  const Appended last = objects_[0].last();
  const std::string path = segment_path(kTestDirectory, last.location.segment).string();
  commit(20);
  // The header of the frame, the entry, the record.
  const std::uint64_t start = last.location.offset - kFrameHeaderBytes;
  for (std::uint64_t offset = start; offset < last.location.offset + 120; ++offset) {
    turn_bit(path, offset);
    const auto found = verify();
    ASSERT_EQ(found.size(), 1u) << "byte " << offset - start << " of the frame";
    EXPECT_EQ(found[0].file, path);
    EXPECT_GE(*found[0].offset, start);
    EXPECT_LE(*found[0].offset, last.location.offset);
    turn_bit(path, offset);
  }
  EXPECT_THAT(verify(), IsEmpty());
}

TEST_F(VerifyTest, FindsADamagedSegmentHeader) {
  commit(10);
  turn_bit(segment_path(kTestDirectory, 1).string(), 20);
  const auto found = verify();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].offset, 0u);
}

TEST_F(VerifyTest, FindsEveryBitOfAHistoryFile) {
  commit(1500);
  test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  test_.log->history().catch_up();
  const std::string path = "/data/history/" + test_.files.list("/data/history").front();
  const std::uint64_t size = test_.files.open(path, FileSystem::Mode::kRead)->size();
  for (std::uint64_t offset = 0; offset < size; offset += 97) {
    turn_bit(path, offset);
    const auto found = verify();
    ASSERT_FALSE(found.empty()) << "byte " << offset << " of " << size;
    for (const Damage& damage : found) {
      EXPECT_EQ(damage.file, path);
      EXPECT_THAT(damage.what, HasSubstr(path));
    }
    turn_bit(path, offset);
  }
  EXPECT_THAT(verify(), IsEmpty());
}

// The files are larger than a block, so the table of the objects is elsewhere.
class VerifyLargeFilesTest : public VerifyTest {
 protected:
  VerifyLargeFilesTest() : VerifyTest(2 << 20) {}
};

TEST_F(VerifyLargeFilesTest, NamesTheObjectsOfADamagedBlockOfHistory) {
  for (int i = 0; test_.log->history().usage().files == 0; ++i) {
    ASSERT_LT(i, 50) << "nothing is sealed";
    commit(1000);
    test_.log->complete_checkpoint(test_.log->begin_checkpoint());
    test_.log->history().catch_up();
  }
  const std::string path = "/data/history/" + test_.files.list("/data/history").front();
  turn_bit(path, 5000);
  std::set<ObjectNumber> objects;
  for (const Damage& damage : verify()) objects.insert(damage.object);
  EXPECT_THAT(objects, ::testing::IsSupersetOf({0u, 1u}));
}

}  // namespace
}  // namespace perdure::log
