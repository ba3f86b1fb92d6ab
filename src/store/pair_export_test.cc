#include "store/pair_export.h"

#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "sqlite3.h"
#include "store/store_testing.h"

namespace perdure::store {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

class PairExportTest : public ::testing::Test {
 protected:
  PairExportTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("perdure-pairs-" + std::to_string(getpid()))),
        store_(Store::open(testing::simulated_options(disk_))),
        file_(store_->file(2, "data.sqlite")),
        shared_(std::make_unique<SharedKeyValue>(*store_, file_)) {
    std::filesystem::create_directory(directory_);
  }
  ~PairExportTest() override {
    shared_.reset();
    std::filesystem::remove_all(directory_);
  }

  void put(const KeyOwner& owner, const std::string& key, const StoredValue& value) {
    shared_->commit(owner, false, {{key, value}});
  }

  // All pairs, with the types of the values.
  std::string exported(const KeyOwner& owner) {
    ViewDatabase view(std::make_shared<ReadView>(file_));
    const auto path = directory_ / "out.sqlite";
    export_pairs(view, owner, path);
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READONLY, "unix"), SQLITE_OK);
    std::string text;
    const auto add = [](void* out, int, char** values, char**) {
      static_cast<std::string*>(out)->append(values[0]).append(";");
      return 0;
    };
    sqlite3_exec(handle, "SELECT key || '=' || quote(value) FROM _cf_KV ORDER BY key", add, &text,
                 nullptr);
    sqlite3_exec(handle, "PRAGMA integrity_check", add, &text, nullptr);
    sqlite3_close(handle);
    return text;
  }

  SimulatedFileSystem disk_;
  const std::filesystem::path directory_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<DatabaseFile> file_;
  std::unique_ptr<SharedKeyValue> shared_;
};

TEST_F(PairExportTest, WritesTheOwnersPairsAndNobodyElses) {
  const KeyOwner own{"ns", "1"};
  put(own, "b", {.bytes = "{\"x\":1}", .is_text = true});
  put(own, "a", {.bytes = std::string("\0\xff", 2), .is_text = false});
  put({"ns", "2"}, "c", {.bytes = "2", .is_text = true});
  put({"other", "1"}, "c", {.bytes = "3", .is_text = true});
  EXPECT_EQ(exported(own), "a=X'00FF';b='{\"x\":1}';ok;");
}

TEST_F(PairExportTest, NamesTheFileThatCannotBeWritten) {
  put({"ns", "1"}, "a", {.bytes = "1", .is_text = true});
  ViewDatabase view(std::make_shared<ReadView>(file_));
  EXPECT_THAT(message_of([&] {
                export_pairs(view, {"ns", "1"}, directory_ / "no/where.sqlite");
              }),
              HasSubstr("no/where.sqlite"));
}

}  // namespace
}  // namespace perdure::store
