#include "perdure/engine.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <unistd.h>

#include "native/native_testing.h"
#include "sqlite3.h"

namespace perdure::native::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

using EngineTest = NativeTest;

std::vector<std::string> names_of(const Namespace& of) {
  std::vector<std::string> names;
  of.for_each_object([&](const ObjectInfo& info) {
    names.push_back(info.id.name());
    return true;
  });
  return names;
}

TEST_F(EngineTest, ListsNamespaces) {
  std::vector<std::string> keys;
  for (const Namespace& each : engine_->namespaces()) keys.push_back(each.key());
  EXPECT_THAT(keys, ElementsAre("app-Counter", "app-Keyed"));
  EXPECT_EQ(engine_->get_namespace("app-Keyed").kind(), StorageKind::kKeyValue);
  EXPECT_EQ(engine_->get_namespace("app-Counter").kind(), StorageKind::kSqlite);
  EXPECT_EQ(message_of([&] { static_cast<void>(engine_->get_namespace("other")); }),
            "The data directory has no namespace \"other\". It has: \"app-Counter\", "
            "\"app-Keyed\".");
  EXPECT_EQ(code_of([&] { static_cast<void>(engine_->get_namespace("other")); }),
            ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] {
              static_cast<void>(engine_->open_namespace("app-Counter", StorageKind::kKeyValue));
            }),
            ErrorCode::kInvalid);
}

TEST_F(EngineTest, MakesAndChecksIds) {
  const ObjectId a = sqlite_->id_from_name("a");
  EXPECT_EQ(a.name(), "a");
  EXPECT_EQ(a.to_string(), runtime::ObjectIdFactory("app-Counter").from_name("a").hex());
  EXPECT_EQ(sqlite_->id_from_string(a.to_string()), a);
  EXPECT_NE(sqlite_->new_unique_id(), sqlite_->new_unique_id());
  EXPECT_EQ(message_of([&] { static_cast<void>(sqlite_->id_from_string("x")); }),
            "\"x\" is not the id of an object of app-Counter: it needs 64 hexadecimal digits that "
            "were made for this namespace.");
  const ObjectId foreign = keyed_->id_from_name("a");
  EXPECT_EQ(message_of([&] { static_cast<void>(sqlite_->open(foreign)); }),
            "The id " + foreign.to_string() + " was not made for app-Counter.");
}

TEST_F(EngineTest, OpeningDoesNotMakeAnObject) {
  for (const Namespace* each : {&*sqlite_, &*keyed_}) {
    const ObjectId id = each->id_from_name("a");
    EXPECT_EQ(message_of([&] { static_cast<void>(each->open("a")); }),
              "There is no object " + id.to_string() + " (\"a\") in " + each->key() + ".");
    EXPECT_EQ(code_of([&] { static_cast<void>(each->open("a")); }), ErrorCode::kNotFound);
    {
      Storage storage = each->open("a", Namespace::OpenMode::kCreateIfMissing);
      EXPECT_FALSE(storage.kv().get("k"));
    }
    EXPECT_FALSE(each->contains(id)) << "it has committed nothing";
    EXPECT_THAT(names_of(*each), ElementsAre());
    each->open("a", Namespace::OpenMode::kCreateIfMissing).kv().put("k", 1);
    EXPECT_TRUE(each->contains(id));
    EXPECT_EQ(each->open("a").kv().get("k")->as_integer(), 1);
  }
}

TEST_F(EngineTest, AnObjectHasOneStorageAtATime) {
  Storage first = create("a");
  EXPECT_EQ(message_of([&] { create("a"); }),
            "The object " + first.id().to_string() +
                " is open already in this process. Close its Storage first, or use that one.");
  EXPECT_EQ(code_of([&] { create("a"); }), ErrorCode::kLocked);
  create("b").close();
  first.close();
  create("a").close();
}

TEST_F(EngineTest, ListsObjectsWithWhatIsKnownOfThem) {
  const Time alarm(std::chrono::milliseconds(now_ms_ + 60'000));
  create("a").kv().put("k", std::string(10'000, 'x'));
  {
    Storage b = create("b");
    b.kv().put("k", 1);
    b.set_alarm(alarm);
  }
  create("empty").close();
  const auto check = [&] {
    std::vector<std::string> names;
    sqlite_->for_each_object([&](const ObjectInfo& info) {
      names.push_back(info.id.name());
      EXPECT_EQ(info.bytes % 4096, 0u);
      EXPECT_GE(info.bytes, info.id.name() == "a" ? 16384u : 8192u);
      EXPECT_EQ(info.changed, Time(std::chrono::milliseconds(now_ms_)));
      EXPECT_EQ(info.alarm, info.id.name() == "b" ? std::optional(alarm) : std::nullopt);
      return true;
    });
    EXPECT_THAT(names, UnorderedElementsAre("a", "b"));
  };
  check();
  engine_->checkpoint();
  check();
  int visited = 0;
  sqlite_->for_each_object([&](const ObjectInfo&) { return ++visited < 1; });
  EXPECT_EQ(visited, 1);
}

TEST_F(EngineTest, ListsObjectsOfKeyValueStorage) {
  EXPECT_THAT(names_of(*keyed_), ElementsAre());
  create_keyed("a").kv().put("key", "value");
  keyed_->for_each_object([&](const ObjectInfo& info) {
    EXPECT_EQ(info.id, keyed_->id_from_name("a"));
    EXPECT_EQ(info.bytes, 3u + 7u);
    EXPECT_EQ(keyed_->open(info.id).kv().get("key")->as_string(), "value");
    return true;
  });
  EXPECT_EQ(names_of(*keyed_).size(), 1u);
}

TEST_F(EngineTest, IsClosedWhenNothingOfItIsUsed) {
  Storage storage = create("a");
  storage.kv().put("k", 1);
  EXPECT_EQ(
      message_of([&] { engine_->close(); }),
      "The engine cannot be closed while 1 of its objects are open. Close each Storage first.");
  sqlite_->for_each_object([&](const ObjectInfo&) {
    EXPECT_EQ(code_of([&] { engine_->close(); }), ErrorCode::kInvalid);
    return true;
  });
  storage.close();
  engine_->close();
  engine_->close();
  EXPECT_EQ(message_of([&] { static_cast<void>(engine_->namespaces()); }),
            "The engine has been closed.");
  EXPECT_EQ(code_of([&] { static_cast<void>(sqlite_->open("a")); }), ErrorCode::kInvalid);
  EXPECT_EQ(code_of([&] { engine_->sync(); }), ErrorCode::kInvalid);
}

TEST_F(EngineTest, AStorageKeepsItsEngine) {
  Storage storage = create("a");
  let_go();
  storage.kv().put("k", 1);
  storage.sync();
  { const Storage gone = std::move(storage); }
  open();
  EXPECT_EQ(sqlite_->open("a").kv().get("k")->as_integer(), 1);
}

TEST_F(EngineTest, WaitsForCommits) {
  Storage storage = create("a");
  storage.kv().put("k", 1);
  engine_->sync();
  EXPECT_EQ(engine_->durable_lsn(), storage.last_commit());
  EXPECT_EQ(message_of([&] { engine_->wait_durable(1'000'000); }),
            "Nothing with that log sequence number was appended yet.");
}

TEST(OptionsTest, NothingOfThePastExpiresUnlessAskedFor) {
  constexpr std::int64_t kYearMs = std::int64_t{365} * 24 * 60 * 60 * 1000;
  const auto history = [](const Options& options) {
    return store_options("/data", options).history;
  };
  EXPECT_TRUE(history({}).enabled);
  EXPECT_GE(history({}).retention_ms, 99 * kYearMs);
  EXPECT_EQ(history({}).bytes_max, std::numeric_limits<std::uint64_t>::max());
  const auto chosen =
      history({.history_retention = std::chrono::hours(48), .history_bytes_max = 7});
  EXPECT_TRUE(chosen.enabled);
  EXPECT_EQ(chosen.retention_ms, 48 * 60 * 60 * 1000);
  EXPECT_EQ(chosen.bytes_max, 7u);
  const auto off = history({.history_retention = std::chrono::hours(0)});
  EXPECT_FALSE(off.enabled);
  EXPECT_GE(off.retention_ms, 99 * kYearMs);
}

// On a real disk.
class EngineDirectoryTest : public ::testing::Test {
 protected:
  EngineDirectoryTest() {
    std::string name = (std::filesystem::temp_directory_path() / "perdure-native-XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~EngineDirectoryTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::filesystem::path data() const { return directory_ / "data"; }
  [[nodiscard]] Engine create() const { return Engine::open(data(), {.create_if_missing = true}); }

  std::filesystem::path directory_;
};

TEST_F(EngineDirectoryTest, HasOneOwner) {
  EXPECT_EQ(message_of([&] { static_cast<void>(Engine::open(data())); }),
            "There is no data directory " + data().string() +
                ". Name the folder that holds the file \"format\", or set "
                "Options::create_if_missing.");
  EXPECT_FALSE(std::filesystem::exists(data()));
  Engine engine = create();
  EXPECT_EQ(code_of([&] { static_cast<void>(Engine::open(data())); }), ErrorCode::kLocked);
  EXPECT_EQ(message_of([&] { static_cast<void>(Engine::open(data())); }),
            "The data directory " + data().string() +
                " is in use by another process, or open in this one. Stop or close that, or choose "
                "another directory.");
  engine.close();
  static_cast<void>(Engine::open(data()));
}

TEST_F(EngineDirectoryTest, WhereNothingExpiresTheRangeBeginsIn1970) {
  Engine engine = create();
  Storage storage =
      engine.open_namespace("app-Counter").open("a", Namespace::OpenMode::kCreateIfMissing);
  storage.sql().exec("CREATE TABLE t (a)");
  static_cast<void>(storage.get_bookmark_for_time(Time()));
  EXPECT_THAT(message_of([&] {
                static_cast<void>(storage.get_bookmark_for_time(Time(std::chrono::days(-1))));
              }),
              ::testing::HasSubstr("1969-12-31T00:00:00.000Z: this object can be taken back to "
                                   "times from 1970-01-01T00:00:00.000Z to "));
}

TEST_F(EngineDirectoryTest, RefusesADirectoryOfSomethingElse) {
  std::filesystem::create_directories(data());
  std::ofstream(data() / "notes.txt") << "mine";
  EXPECT_EQ(code_of([&] { static_cast<void>(create()); }), ErrorCode::kCorrupt);
  EXPECT_EQ(message_of([&] { static_cast<void>(create()); }),
            "The directory " + data().string() +
                " is not a data directory of Perdure, and not empty (it has 'notes.txt' but no "
                "file 'format'). Choose another directory.");
  EXPECT_EQ(code_of([&] {
              static_cast<void>(Engine::open(
                  directory_ / "x",
                  {.create_if_missing = true, .history_retention = std::chrono::hours(-1)}));
            }),
            ErrorCode::kInvalid);
}

std::string read_with_sqlite(const std::filesystem::path& file, const char* sql) {
  sqlite3* handle = nullptr;
  EXPECT_EQ(sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READONLY, "unix"), SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(handle, sql, -1, &statement, nullptr), SQLITE_OK)
      << sqlite3_errmsg(handle);
  EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
  std::string text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  sqlite3_finalize(statement);
  sqlite3_close(handle);
  return text;
}

TEST_F(EngineDirectoryTest, ExportsWhatIsCommittedWhileTheObjectIsUsed) {
  const Engine engine = create();
  const Namespace counters = engine.open_namespace("app-Counter");
  Storage storage = counters.open("a", Namespace::OpenMode::kCreateIfMissing);
  storage.sql().exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  Transaction open = storage.begin();
  storage.sql().exec("INSERT INTO t VALUES (2)");
  const auto file = directory_ / "a.sqlite";
  counters.export_object(storage.id(), file);
  open.commit();
  EXPECT_EQ(read_with_sqlite(file, "SELECT count(*) FROM t"), "1");
  EXPECT_EQ(read_with_sqlite(file, "PRAGMA integrity_check"), "ok");
  EXPECT_EQ(message_of([&] { counters.export_object(storage.id(), file); }),
            "The file " + file.string() + " exists already.");
  EXPECT_EQ(
      code_of([&] { counters.export_object(counters.id_from_name("b"), directory_ / "b.sqlite"); }),
      ErrorCode::kNotFound);
  EXPECT_EQ(
      code_of([&] { counters.export_object(storage.id(), directory_ / "missing" / "a.sqlite"); }),
      ErrorCode::kIo);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "b.sqlite"));
}

TEST_F(EngineDirectoryTest, ExportsAnOlderState) {
  const Engine engine = create();
  const Namespace counters = engine.open_namespace("app-Counter");
  Storage storage = counters.open("a", Namespace::OpenMode::kCreateIfMissing);
  storage.sql().exec("CREATE TABLE t (a)");
  const std::string then = storage.get_current_bookmark();
  storage.sql().exec("INSERT INTO t VALUES (zeroblob(100000))");
  const auto file = directory_ / "a.sqlite";
  counters.export_object(storage.id(), file, then);
  EXPECT_EQ(read_with_sqlite(file, "SELECT count(*) FROM t"), "0");
  EXPECT_EQ(read_with_sqlite(file, "PRAGMA integrity_check"), "ok");
  EXPECT_EQ(std::filesystem::file_size(file), 8192u);
  EXPECT_EQ(code_of([&] { counters.export_object(storage.id(), directory_ / "b.sqlite", "x"); }),
            ErrorCode::kInvalid);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "b.sqlite"));
}

TEST_F(EngineDirectoryTest, ExportsPairs) {
  const Engine engine = create();
  const Namespace keyed = engine.open_namespace("app-Keyed", StorageKind::kKeyValue);
  Storage storage = keyed.open("a", Namespace::OpenMode::kCreateIfMissing);
  storage.kv().put("k", 7);
  keyed.open("b", Namespace::OpenMode::kCreateIfMissing).kv().put("k", 8);
  const auto file = directory_ / "a.sqlite";
  keyed.export_object(storage.id(), file);
  EXPECT_EQ(read_with_sqlite(file, "SELECT group_concat(key || '=' || value) FROM _cf_KV"), "k=7");
  EXPECT_EQ(message_of([&] { keyed.export_object(storage.id(), directory_ / "b.sqlite", "x"); }),
            "The object " + storage.id().to_string() +
                " has key-value storage (new_classes), which has no bookmarks.");
}

TEST_F(EngineDirectoryTest, LeavesPlainSqliteFilesWhenItIsClosed) {
  Engine engine = create();
  const Namespace counters = engine.open_namespace("app-Counter");
  const std::string id = counters.id_from_name("a").to_string();
  counters.open("a", Namespace::OpenMode::kCreateIfMissing).kv().put("k", 1);
  engine.close();
  EXPECT_EQ(read_with_sqlite(data() / "objects" / "app-Counter" / (id + ".sqlite"),
                             "SELECT value FROM _cf_KV"),
            "1");
}

}  // namespace
}  // namespace perdure::native::testing
