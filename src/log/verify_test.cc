#include "log/verify.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "log/format.h"
#include "log/history_file.h"
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

  VerifyReport verify() { return verify_log(test_.files, kTestDirectory); }

  void expect_whole() {
    for (const Damage& damage : verify().damages) {
      ADD_FAILURE() << damage.file << " " << damage.offset << " " << damage.problem;
    }
  }

  // Of the damages, in their order.
  [[nodiscard]] std::vector<std::string> damaged_files() {
    std::vector<std::string> found;
    for (const Damage& damage : verify().damages) found.push_back(damage.file);
    return found;
  }

  // History files whose segments are not there any more, ascending.
  [[nodiscard]] std::vector<std::uint64_t> sealed() {
    std::vector<std::uint64_t> numbers;
    for (const std::string& name : test_.files.list(kHistory)) {
      const auto number = parse_history_name(name);
      if (number && !test_.files.exists(TestLog::segment(static_cast<int>(*number)))) {
        numbers.push_back(*number);
      }
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  [[nodiscard]] static std::string history_file(std::uint64_t number) {
    return history_path(kHistory, number).string();
  }

  [[nodiscard]] int last_segment() {
    std::uint64_t last = 0;
    for (const std::string& name : test_.files.list(kTestDirectory)) {
      last = std::max(last, parse_segment_name(name).value_or(0));
    }
    return static_cast<int>(last);
  }

  // Removes a file for as long as `look` runs.
  void without(const std::string& path, const std::function<void()>& look) {
    SCOPED_TRACE("without " + path);
    const std::string away = path + ".away";
    test_.files.rename(path, away);
    look();
    test_.files.rename(away, path);
  }

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

TEST_F(VerifyTest, ALogThatIsMissingIsFound) {
  const VerifyReport report = verify_log(test_.files, "/nothing/log");
  ASSERT_EQ(report.damages.size(), 1u);
  EXPECT_EQ(report.damages[0].file, "/nothing/log");
  // What is left of the history is still looked at.
  test_.log.reset();
  test_.files.remove(std::string(kTestDirectory) + "/" + kCheckpointName);
  for (const std::string& name : test_.files.list(kTestDirectory)) {
    test_.files.remove(std::string(kTestDirectory) + "/" + name);
  }
  EXPECT_THAT(damaged_files(), testing::ElementsAre(kTestDirectory));
  test_.flip(history_file(sealed()[1]), 200);
  EXPECT_THAT(damaged_files(), testing::ElementsAre(kTestDirectory, history_file(sealed()[1])));
}

TEST_F(VerifyTest, EachSegmentFromTheCheckpointOnIsMissedWhenOthersFollowOrItIsTheOnlyOne) {
  test_.log.reset();
  const Bytes bytes = [&] {
    const auto file = test_.files.open(std::string(kTestDirectory) + "/" + kCheckpointName,
                                       FileSystem::Mode::kRead);
    Bytes content(kCheckpointBytes);
    file->read(0, content);
    return content;
  }();
  const std::uint64_t first = decode_checkpoint(bytes, "checkpoint").next.segment;
  std::vector<std::string> live;
  for (int number = static_cast<int>(first); test_.files.exists(TestLog::segment(number));
       ++number) {
    live.push_back(TestLog::segment(number));
  }
  ASSERT_GT(live.size(), 3u);
  for (std::size_t i = 0; i + 1 < live.size(); ++i) {
    without(live[i],
            [&] { EXPECT_THAT(damaged_files(), testing::ElementsAre(testing::Eq(live[i]))); });
  }
  // Older ones may be there: they are to be used again.
  for (const std::string& path : live) test_.files.remove(path);
  EXPECT_THAT(damaged_files(), testing::ElementsAre(live[0]));
}

TEST_F(VerifyTest, AMissingHistoryFileIsFoundUnlessItWasTheOldest) {
  for (const bool is_running : {true, false}) {
    if (!is_running) test_.log.reset();
    const auto numbers = sealed();
    ASSERT_GT(numbers.size(), 4u);
    ASSERT_EQ(numbers.front(), 1u);
    without(history_file(1), [&] { expect_whole(); });
    for (std::size_t i = 1; i < numbers.size(); ++i) {
      without(history_file(numbers[i]), [&] {
        EXPECT_THAT(damaged_files(), testing::ElementsAre(history_file(numbers[i])));
      });
    }
  }
}

TEST_F(VerifyTest, SeveralMissingFilesAreOneDamage) {
  test_.log.reset();
  const auto numbers = sealed();
  ASSERT_EQ(numbers[2], numbers[1] + 1);
  without(history_file(numbers[1]), [&] {
    without(history_file(numbers[2]), [&] {
      const VerifyReport report = verify();
      ASSERT_EQ(report.damages.size(), 1u);
      EXPECT_EQ(report.damages[0].file, history_file(numbers[1]));
      EXPECT_THAT(report.damages[0].problem,
                  testing::EndsWith(" up to number " + std::to_string(numbers[2])));
    });
  });
}

TEST_F(VerifyTest, WhatIsMissingBetweenTheHistoryAndTheLogIsFound) {
  test_.log.reset();
  std::uint64_t last = 0;
  for (const std::string& name : test_.files.list(kHistory)) {
    last = std::max(last, parse_history_name(name).value_or(0));
  }
  test_.files.remove(history_file(last));
  const std::string segment = TestLog::segment(static_cast<int>(last));
  if (test_.files.exists(segment)) test_.files.remove(segment);
  EXPECT_THAT(damaged_files(), testing::ElementsAre(history_file(last)));
}

// What was given back is there until it is used again.
TEST_F(VerifyTest, SegmentsThatWaitToBeUsedAgainProveNothing) {
  test_.log.reset();
  for (const std::string& name : test_.files.list(kHistory)) {
    test_.files.remove(std::string(kHistory) + "/" + name);
  }
  expect_whole();
}

TEST_F(VerifyTest, WhatWasNotKeptIsNotMissing) {
  test_.log.reset();
  const auto before = sealed();
  test_.history.enabled = false;
  test_.open();
  for (int round = 0; round < 5; ++round) {
    commit(300);
    test_.log->complete_checkpoint(test_.log->begin_checkpoint());
    expect_whole();
  }
  test_.log.reset();
  test_.history.enabled = true;
  test_.open();
  commit(500);
  test_.log->complete_checkpoint(test_.log->begin_checkpoint());
  test_.log->history().catch_up();
  expect_whole();
  test_.log.reset();
  expect_whole();
  const std::uint64_t lost = sealed().back();
  ASSERT_GT(lost, before.back());
  without(history_file(lost),
          [&] { EXPECT_THAT(damaged_files(), testing::ElementsAre(history_file(lost))); });
  // It is said as long as there is something older.
  test_.open();
  const auto notes = [&] {
    const auto names = test_.files.list(kHistory);
    return std::count_if(names.begin(), names.end(), [](const std::string& name) {
      return parse_unsealed_name(name).has_value();
    });
  };
  EXPECT_EQ(notes(), 1);
  testing::internal::CaptureStderr();
  while (notes() > 0 && test_.log->history().give_up_oldest()) {
    test_.log->history().catch_up();
    expect_whole();
  }
  testing::internal::GetCapturedStderr();
  EXPECT_GT(sealed().size(), 1u);
}

TEST_F(VerifyTest, AMissingCheckpointIsFoundUnlessTheLogIsJustBeingCreated) {
  const std::string checkpoint = std::string(kTestDirectory) + "/" + kCheckpointName;
  without(checkpoint, [&] { EXPECT_THAT(damaged_files(), testing::ElementsAre(checkpoint)); });
  TestLog fresh;
  fresh.open();
  fresh.log.reset();
  fresh.files.remove(checkpoint);
  if (fresh.files.exists(TestLog::segment(2))) fresh.files.remove(TestLog::segment(2));
  EXPECT_THAT(verify_log(fresh.files, kTestDirectory).damages, testing::IsEmpty());
  // That is made up for.
  fresh.open();
  EXPECT_TRUE(fresh.files.exists(checkpoint));
}

// Its files go one by one, the oldest first.
TEST(VerifyCrashTest, NothingIsMissingWhenThePowerGoesOffWhileHistoryExpires) {
  bool was_hit = true;
  for (std::uint64_t step = 1; was_hit && !testing::Test::HasFailure(); ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    for (std::uint64_t fate = 0; fate < 4; ++fate) {
      TestLog test;
      Random random(step);
      RandomObject object(1, 512);
      test.segment_bytes = 8 << 10;
      test.history.enabled = true;
      test.open();
      const auto live = [&](int commits, std::int64_t time_ms) {
        for (int i = 0; i < commits; ++i) object.commit(*test.log, random, time_ms);
        test.log->complete_checkpoint(test.log->begin_checkpoint());
        test.log->history().catch_up();
        test.log->wait_durable(test.log->appended_lsn());
      };
      live(200, 0);
      // The segments of the first ones are used again.
      live(200, 2 * test.history.retention_ms);
      ASSERT_GT(test.log->history().usage().files, 6u);
      testing::internal::CaptureStderr();
      test.files.power_off_at(step);
      test.now_ms = 2 * test.history.retention_ms;
      test.log->history().catch_up();
      was_hit = test.files.is_power_off();
      test.log.reset();
      testing::internal::GetCapturedStderr();
      test.files.crash(step * 10 + fate);
      for (const Damage& damage : verify_log(test.files, kTestDirectory).damages) {
        ADD_FAILURE() << damage.file << " " << damage.problem;
      }
    }
  }
}

TEST_F(VerifyTest, ItEndsWhenItIsTold) {
  TestLog test;
  test.segment_bytes = 1 << 20;
  test.history.enabled = true;
  test.open();
  while (test.log->history().usage().files == 0) {
    for (int i = 0; i < 100; ++i) {
      objects_[0].commit(*test.log, random_);
      test.log->wait_durable(test.log->appended_lsn());  // so that each is a frame
    }
    test.log->complete_checkpoint(test.log->begin_checkpoint());
    test.log->history().catch_up();
  }
  const LogId id = test.log->id();
  test.log.reset();
  std::uint64_t asked = 0;
  const VerifyReport whole = verify_log(test.files, kTestDirectory, {}, [&] {
    ++asked;
    return false;
  });
  const std::uint64_t blocks = HistoryFile(test.files, history_file(1), id, 1).header().blocks;
  ASSERT_GT(blocks, 5u);
  EXPECT_GT(asked, whole.records + blocks);
  for (std::uint64_t end = 1; end <= asked; end += 1 + asked / 40) {
    std::uint64_t count = 0;
    EXPECT_THROW(verify_log(test.files, kTestDirectory, {}, [&] { return ++count >= end; }),
                 Stopped);
    EXPECT_EQ(count, end);
  }
}

// Another process at work between two steps of the check; and what a directory says that changes
// while it is read: it may leave out what comes or goes meanwhile.
class ChangingFileSystem : public FileSystem {
 public:
  using List = std::function<void(std::vector<std::string>& names)>;
  using Exists = std::function<void(const std::filesystem::path& path)>;

  ChangingFileSystem(FileSystem& files, std::string directory, List on_list, Exists on_exists = {})
      : files_(files),
        directory_(std::move(directory)),
        on_list_(std::move(on_list)),
        on_exists_(std::move(on_exists)) {}

  std::unique_ptr<File> open(const std::filesystem::path& path, Mode mode) override {
    return files_.open(path, mode);
  }
  [[nodiscard]] bool exists(const std::filesystem::path& path) override {
    if (on_exists_) on_exists_(path);
    return files_.exists(path);
  }
  std::vector<std::string> list(const std::filesystem::path& path) override {
    auto names = files_.list(path);
    if (path == directory_) on_list_(names);
    return names;
  }
  void remove(const std::filesystem::path&) override { ADD_FAILURE(); }
  void rename(const std::filesystem::path&, const std::filesystem::path&) override {
    ADD_FAILURE();
  }
  void create_directories(const std::filesystem::path&) override { ADD_FAILURE(); }
  void sync_directory(const std::filesystem::path&) override { ADD_FAILURE(); }
  std::unique_ptr<FileLock> try_lock(const std::filesystem::path&) override { return nullptr; }

 private:
  FileSystem& files_;
  const std::string directory_;
  const List on_list_;
  const Exists on_exists_;
};

TEST_F(VerifyTest, AFileThatExpiresWhileItIsLookedForIsNotMissing) {
  ASSERT_EQ(sealed().front(), 1u);
  ASSERT_EQ(sealed()[1], 2u);
  bool has_expired = false;
  ChangingFileSystem changing(
      test_.files, kHistory,
      [](std::vector<std::string>& names) { std::erase(names, history_path("", 2).string()); },
      [&](const std::filesystem::path& path) {
        if (path != history_file(2) || std::exchange(has_expired, true)) return;
        testing::internal::CaptureStderr();
        for (int i = 0; i < 2; ++i) test_.log->history().give_up_oldest();
        testing::internal::GetCapturedStderr();
      });
  EXPECT_THAT(verify_log(changing, kTestDirectory).damages, testing::IsEmpty());
  EXPECT_TRUE(has_expired);
}

TEST_F(VerifyTest, ASegmentThatComesWhileTheOthersAreListedIsNotMissing) {
  int left_out = 0;
  ChangingFileSystem changing(test_.files, kTestDirectory, [&](std::vector<std::string>& names) {
    const auto segments = std::count_if(names.begin(), names.end(), [](const std::string& name) {
      return parse_segment_name(name).has_value();
    });
    ASSERT_GT(segments, 3);
    left_out += static_cast<int>(std::erase(
        names, std::filesystem::path(TestLog::segment(last_segment() - 1)).filename().string()));
  });
  EXPECT_THAT(verify_log(changing, kTestDirectory).damages, testing::IsEmpty());
  EXPECT_EQ(left_out, 1);
}

TEST_F(VerifyTest, SegmentsThatACheckpointGivesBackMeanwhileAreNotMissing) {
  const int last = last_segment();
  bool is_first = true;
  ChangingFileSystem changing(test_.files, kTestDirectory, [&](std::vector<std::string>& names) {
    if (!std::exchange(is_first, false)) return;
    commit(300);
    test_.log->complete_checkpoint(test_.log->begin_checkpoint());
    test_.log->history().catch_up();
    commit(200);
    names = test_.files.list(kTestDirectory);
  });
  EXPECT_THAT(verify_log(changing, kTestDirectory).damages, testing::IsEmpty());
  EXPECT_FALSE(test_.files.exists(TestLog::segment(last - 1)));
}

// Beside a log that is written, sealed and checkpointed, and whose history ends.
class VerifyRunningTest : public VerifyTest {
 protected:
  void expect_whole_while(const std::function<void()>& round) {
    testing::internal::CaptureStderr();
    std::atomic<bool> stop = false;
    std::atomic<int> rounds = 0;
    std::thread writer([&] {
      while (!stop) {
        commit(50);
        test_.log->complete_checkpoint(test_.log->begin_checkpoint());
        round();
        ++rounds;
      }
    });
    for (int i = 0; (i < 60 || rounds < 5) && !HasFailure(); ++i) expect_whole();
    stop = true;
    writer.join();
    testing::internal::GetCapturedStderr();
  }
};

TEST_F(VerifyRunningTest, ItIsNotSaidToBeDamaged) {
  expect_whole_while([] {});
}

TEST_F(VerifyRunningTest, NorIsOneWhoseHistoryIsGivenUp) {
  expect_whole_while([&] {
    test_.log->history().catch_up();
    test_.log->history().give_up_oldest();
  });
  EXPECT_FALSE(test_.files.exists(history_file(1)));
}

TEST_F(VerifyRunningTest, NorIsOneWhoseHistoryExpires) {
  test_.log.reset();
  test_.history.retention_ms = 10;
  test_.open();
  expect_whole_while([&] {
    test_.now_ms += 11;  // commits have the time 0
    test_.log->history().catch_up();
  });
}

TEST_F(VerifyRunningTest, NorIsOneThatKeepsNoHistory) {
  test_.log.reset();
  test_.history.enabled = false;
  test_.open();
  expect_whole_while([] {});
  EXPECT_GT(sealed().size(), 2u);
}

}  // namespace
}  // namespace perdure::log
