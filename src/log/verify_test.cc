#include "log/verify.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "log/format.h"
#include "log/history_format.h"
#include "log/log_testing.h"

namespace perdure::log {
namespace {

constexpr const char* kHistory = "/data/history";

// A log with some sealed segments and some that are not, of three objects.
class VerifyTest : public testing::Test {
 protected:
  VerifyTest() {
    test_.segment_bytes = 32 << 10;
    test_.history.enabled = true;
    test_.open();
    for (ObjectNumber i = 1; i <= 3; ++i) objects_.emplace_back(i, 512);
    commit(500);
    test_.log->complete_checkpoint(test_.log->begin_checkpoint());
    test_.log->history().catch_up();
    commit(300);
    test_.log->wait_durable(test_.log->appended_lsn());
  }

  void commit(int count) {
    for (int i = 0; i < count; ++i) objects_[random_() % 3].commit(*test_.log, random_);
  }

  VerifyReport verify() { return verify_log(test_.files, kTestDirectory, {}); }

  [[nodiscard]] std::vector<std::string> files() {
    std::vector<std::string> paths;
    for (const std::string& name : test_.files.list(kTestDirectory)) {
      if (name != kCheckpointTempName) paths.push_back(std::string(kTestDirectory) + "/" + name);
    }
    for (const std::string& name : test_.files.list(kHistory)) {
      paths.push_back(std::string(kHistory) + "/" + name);
    }
    return paths;
  }

  Random random_{7};
  TestLog test_;
  std::vector<RandomObject> objects_;
};

TEST_F(VerifyTest, AWholeLogHasNoDamage) {
  for (int i = 0; i < 2; ++i) {
    const VerifyReport report = verify();
    EXPECT_THAT(report.damages, testing::IsEmpty());
    EXPECT_GT(report.segments, 2u);
    EXPECT_GT(report.history_files, 2u);
    EXPECT_GE(report.commits + report.records, 800u);
    test_.log.reset();  // stopped, too
  }
}

TEST_F(VerifyTest, ProgressEndsAtTheTotal) {
  std::uint64_t last = 0;
  std::uint64_t last_total = 0;
  verify_log(test_.files, kTestDirectory, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    last = done;
    last_total = total;
  });
  EXPECT_EQ(last, last_total);
  EXPECT_GT(last, 0u);
}

TEST_F(VerifyTest, AFlippedBitOfAHistoryFileIsFoundWhereverItIs) {
  test_.log.reset();
  const std::string path = std::string(kHistory) + "/" + test_.files.list(kHistory)[1];
  const std::uint64_t size = test_.files.open(path, FileSystem::Mode::kRead)->size();
  int with_object = 0;
  for (std::uint64_t at = 0; at < size; at += 1 + size / 300) {
    test_.flip(path, at);
    const VerifyReport report = verify();
    ASSERT_EQ(report.damages.size(), 1u) << at;
    EXPECT_EQ(report.damages[0].file, path);
    EXPECT_LE(report.damages[0].offset, at);
    with_object += report.damages[0].objects.empty() ? 0 : 1;
    test_.flip(path, at);
  }
  EXPECT_GT(with_object, 100);
  EXPECT_THAT(verify().damages, testing::IsEmpty());
}

TEST_F(VerifyTest, AFlippedBitOfARecordIsFoundWithItsObject) {
  commit(1);
  const RandomObject& object = objects_[1];
  test_.log->wait_durable(test_.log->appended_lsn());
  const RecordLocation place = object.last().location;
  // Later frames say that it had been stored.
  commit(5);
  test_.log.reset();
  const std::string path = TestLog::segment(static_cast<int>(place.segment));
  test_.flip(path, place.offset + kEntryHeaderBytes + 40);
  const VerifyReport report = verify();
  ASSERT_EQ(report.damages.size(), 1u);
  EXPECT_EQ(report.damages[0].file, path);
  EXPECT_LT(report.damages[0].offset, place.offset);
  EXPECT_THAT(report.damages[0].objects, testing::ElementsAre(object.number()));
}

TEST_F(VerifyTest, AFlippedBitOfEachFrameIsFound) {
  test_.log.reset();
  constexpr std::size_t kLengthAt = 8;  // of a frame
  struct Place {
    std::string path;
    std::size_t at;
  };
  std::vector<Place> frames;  // how many there are depends on how commits met in batches
  for (const std::string& name : test_.files.list(kTestDirectory)) {
    if (!parse_segment_name(name)) continue;
    const std::string path = std::string(kTestDirectory) + "/" + name;
    const auto file = test_.files.open(path, FileSystem::Mode::kRead);
    Bytes bytes(file->size());
    file->read(0, bytes);
    // What is behind their end, an earlier use of the segment has left.
    for (std::size_t at = kSegmentHeaderBytes;
         at + kFrameHeaderBytes < bytes.size() && looks_like_frame(bytes.data() + at);) {
      frames.push_back({path, at});
      at = round_up(at + load<std::uint32_t>(bytes.data() + at + kLengthAt), kFrameAlignment);
    }
  }
  constexpr std::size_t kTried = 50;
  std::size_t tried = 0;
  std::size_t found = 0;
  for (std::size_t i = 0; i < frames.size(); i += frames.size() / kTried + 1) {
    const auto& [path, at] = frames[i];
    const std::size_t bit_of = at + 8 + random_() % 40;
    test_.flip(path, bit_of);
    const VerifyReport report = verify();
    test_.flip(path, bit_of);
    ++tried;
    if (report.damages.empty()) continue;
    ++found;
    EXPECT_EQ(report.damages[0].file, path);
    EXPECT_EQ(report.damages[0].offset, at);
  }
  EXPECT_GT(tried, 5u);
  // The frame that was written when the log was closed may be damaged without a trace.
  EXPECT_GE(found, tried - 1) << "of " << frames.size() << " frames";
}

TEST_F(VerifyTest, ADamagedHeaderOfASegmentAndACheckpointAreFound) {
  test_.log.reset();
  for (const std::string& path : files()) {
    if (path.find(".history") != std::string::npos) continue;
    test_.flip(path, 20);
    const VerifyReport report = verify();
    ASSERT_FALSE(report.damages.empty()) << path;
    EXPECT_EQ(report.damages[0].file, path);
    EXPECT_EQ(report.damages[0].offset, 0u);
    test_.flip(path, 20);
  }
  EXPECT_THAT(verify().damages, testing::IsEmpty());
}

TEST_F(VerifyTest, AMissingSegmentIsFound) {
  test_.log.reset();
  std::vector<std::string> segments;
  for (const std::string& name : test_.files.list(kTestDirectory)) {
    if (parse_segment_name(name)) segments.push_back(name);
  }
  const std::string path = std::string(kTestDirectory) + "/" + segments[segments.size() - 3];
  test_.files.remove(path);
  const VerifyReport report = verify();
  ASSERT_FALSE(report.damages.empty());
  EXPECT_EQ(report.damages[0].file, path);
}

TEST_F(VerifyTest, NoLogIsSaidSo) {
  try {
    verify_log(test_.files, "/nothing/log", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

// Beside a log that is written, sealed and checkpointed.
TEST_F(VerifyTest, ARunningLogIsNotSaidToBeDamaged) {
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop) {
      commit(50);
      test_.log->complete_checkpoint(test_.log->begin_checkpoint());
    }
  });
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    const VerifyReport report = verify();
    for (const Damage& damage : report.damages) {
      ADD_FAILURE() << damage.file << " " << damage.offset << " " << damage.problem;
    }
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace perdure::log
