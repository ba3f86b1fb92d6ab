#include "runtime/catalog.h"

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error_testing.h"
#include "base/simulated_file_system.h"
#include "sqlite3.h"
#include "store/database.h"
#include "store/database_file.h"
#include "store/foreign_database.h"
#include "store/read_view.h"
#include "store/shared_key_value.h"
#include "store/store.h"
#include "store/store_testing.h"
#include "store/view_database.h"

namespace perdure::runtime {
namespace {

using store::testing::message_of;

class CatalogTest : public testing::Test {
 protected:
  void open() {
    store::StoreOptions options;
    options.directory = "/data";
    options.file_system = &disk_;
    options.segment_bytes = 1 << 20;
    options.on_poisoned = [](const std::string&) {};
    store_ = store::Store::open(options);
    catalog_ = std::make_unique<Catalog>(*store_);
    ns_ = catalog_->open_namespace("test-Counter");
  }

  void close() {
    store_->close();
    catalog_.reset();
    store_.reset();
  }

  void crash() {
    store_->log().wait_durable(store_->log().appended_lsn());
    disk_.power_off_at(1);
    lose_power(1);
  }

  // What still runs sees a disk that is gone.
  void lose_power(std::uint64_t seed) {
    disk_.crash(seed);
    catalog_.reset();
    testing::internal::CaptureStderr();
    store_.reset();
    testing::internal::GetCapturedStderr();
  }

  std::shared_ptr<store::DatabaseFile> object(const std::string& name) {
    return catalog_->object(ns_, factory_.from_name(name), name);
  }

  void write(const std::string& name, int value) {
    store::Database database(*store_, object(name));
    database.begin();
    database.execute("CREATE TABLE IF NOT EXISTS t(a)");
    database.execute(("INSERT INTO t VALUES (" + std::to_string(value) + ")").c_str());
    database.commit();
  }

  int sum(const std::string& name) {
    store::Database database(*store_, object(name));
    auto statement = database.prepare("SELECT sum(a) FROM t", store::Access::kUser);
    EXPECT_EQ(sqlite3_step(statement.handle()), SQLITE_ROW);
    return sqlite3_column_int(statement.handle(), 0);
  }

  bool contains(const std::string& name) {
    return catalog_->contains(ns_, factory_.from_name(name));
  }

  SimulatedFileSystem disk_;
  ObjectIdFactory factory_{"test-Counter"};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  NamespaceNumber ns_ = 0;
};

TEST_F(CatalogTest, AnObjectThatNeverWritesLeavesNoTrace) {
  open();
  const Lsn before = store_->log().appended_lsn();
  {
    store::Database database(*store_, object("a"));
    auto statement = database.prepare("SELECT 1", store::Access::kUser);
    EXPECT_EQ(sqlite3_step(statement.handle()), SQLITE_ROW);
  }
  EXPECT_FALSE(contains("a"));
  EXPECT_EQ(store_->log().appended_lsn(), before);
}

TEST_F(CatalogTest, TheSameObjectIsOneFileBeforeItsFirstCommit) {
  open();
  const auto first = object("a");
  EXPECT_EQ(object("a"), first);
  EXPECT_NE(object("b"), first);
}

TEST_F(CatalogTest, ARowPrecedesTheFirstCommit) {
  open();
  const Lsn before = store_->log().appended_lsn();
  write("a", 1);
  EXPECT_EQ(store_->log().appended_lsn(), before + 2);
  EXPECT_TRUE(contains("a"));
  write("a", 2);
  EXPECT_EQ(store_->log().appended_lsn(), before + 3);
  EXPECT_EQ(sum("a"), 3);
}

class AdoptionTest : public CatalogTest {
 protected:
  // A whole database that is no object of the directory yet.
  void leave_database(const std::string& path, int value) {
    open();
    write("origin", value);
    close();
    std::vector<std::byte> bytes(64 << 10);
    const auto folder = std::filesystem::path("/data/objects/test-Counter");
    const auto from = disk_.open(folder / (factory_.from_name("origin").hex() + ".sqlite"),
                                 FileSystem::Mode::kRead);
    bytes.resize(from->read(0, bytes));
    disk_.create_directories(std::filesystem::path(path).parent_path());
    const auto to = disk_.open(path, FileSystem::Mode::kCreate);
    to->write(0, bytes);
    to->sync();
    disk_.sync_directory(std::filesystem::path(path).parent_path());
  }

  void adopt(const std::string& name, const std::string& file) {
    const Adoption adoption{ns_, factory_.from_name(name), file};
    catalog_->adopt({&adoption, 1});
  }

  // As it stands in the catalog; "" when it does not.
  std::string name_of(const std::string& name) {
    store::ViewDatabase view(catalog_->view_catalog());
    auto statement = view.prepare("SELECT name FROM objects WHERE lower(hex(id)) = ?");
    const std::string id = factory_.from_name(name).hex();
    sqlite3_bind_text(statement.handle(), 1, id.data(), static_cast<int>(id.size()), SQLITE_STATIC);
    EXPECT_TRUE(view.step(statement));
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.handle(), 0));
    return text == nullptr ? "" : text;
  }
};

TEST_F(AdoptionTest, ADatabaseFromElsewhereBecomesAnObject) {
  leave_database("/data/import/x", 7);
  open();
  adopt("adopted", "/data/import/x");
  EXPECT_TRUE(contains("adopted"));
  EXPECT_EQ(sum("adopted"), 7);
  write("adopted", 3);
  crash();
  open();
  EXPECT_EQ(sum("adopted"), 10);
  write("adopted", 1);
  close();
  open();
  EXPECT_EQ(sum("adopted"), 11);
}

TEST_F(AdoptionTest, ItsNameIsKeptWithTheFirstCommitByThatName) {
  leave_database("/data/import/x", 7);
  open();
  adopt("adopted", "/data/import/x");
  EXPECT_EQ(name_of("adopted"), "");
  EXPECT_EQ(sum("adopted"), 7);
  EXPECT_EQ(name_of("adopted"), "") << "it has only read";
  const Lsn before = store_->log().appended_lsn();
  write("adopted", 1);
  EXPECT_EQ(name_of("adopted"), "adopted");
  EXPECT_EQ(store_->log().appended_lsn(), before + 2);
  write("adopted", 1);
  EXPECT_EQ(store_->log().appended_lsn(), before + 3);
  close();
  open();
  EXPECT_EQ(name_of("adopted"), "adopted");
}

TEST_F(AdoptionTest, ANameThatIsKnownIsKeptAtOnce) {
  leave_database("/data/import/x", 7);
  open();
  const Adoption adoption{
      .ns = ns_, .id = factory_.from_name("adopted"), .file = "/data/import/x", .name = "adopted"};
  catalog_->adopt({&adoption, 1});
  EXPECT_EQ(name_of("adopted"), "adopted");
  const Lsn before = store_->log().appended_lsn();
  write("adopted", 1);
  EXPECT_EQ(store_->log().appended_lsn(), before + 1);
}

TEST_F(AdoptionTest, AnObjectThatExistsIsNotReplaced) {
  leave_database("/data/import/x", 7);
  open();
  write("here", 1);
  EXPECT_THROW(adopt("here", "/data/import/x"), Error);
  EXPECT_TRUE(disk_.exists("/data/import/x"));
  EXPECT_EQ(sum("here"), 1);
}

TEST_F(AdoptionTest, APowerCutLeavesTheObjectWholeOrNotThere) {
  int adopted = 0;
  int absent = 0;
  for (std::uint64_t cut = 1; cut <= 12; ++cut) {
    disk_ = SimulatedFileSystem();
    leave_database("/data/import/x", 7);
    open();
    disk_.power_off_at(cut);
    try {
      adopt("adopted", "/data/import/x");
      store_->log().wait_durable(store_->log().appended_lsn());
    } catch (const Error&) {
      // The power is off.
    }
    lose_power(cut);
    open();
    if (contains("adopted")) {
      ++adopted;
      EXPECT_EQ(sum("adopted"), 7);
    } else {
      ++absent;
      write("adopted", 1);
      EXPECT_EQ(sum("adopted"), 1);
      close();
      open();
      EXPECT_EQ(sum("adopted"), 1);
    }
    close();
  }
  EXPECT_GT(adopted, 0);
  EXPECT_GT(absent, 0);
}

// An import of two objects with key-value storage and one with a database of its own.
class ImportTest : public AdoptionTest {
 protected:
  // Each is more than half of what an import commits at a time: a commit of its own.
  static constexpr int kLargePairs = 4;
  static constexpr std::size_t kLargeValueBytes = store::kImportCommitBytes / 2 + 2;

  ~ImportTest() override { std::filesystem::remove_all(folder_); }

  // A copy of what workerd has written; import_key_values() reads it on the machine's own disk.
  [[nodiscard]] std::filesystem::path copy_with(const std::string& name, int pairs,
                                                std::size_t value_bytes) const {
    std::filesystem::create_directories(folder_);
    const auto path = folder_ / name;
    std::filesystem::remove(path);
    sqlite3_initialize();
    sqlite3* handle = nullptr;
    EXPECT_EQ(
        sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix"),
        SQLITE_OK);
    const std::string sql =
        "CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;"
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < " +
        std::to_string(pairs) + ") INSERT INTO _cf_KV SELECT 'k' || i, CAST(hex(zeroblob(" +
        std::to_string(value_bytes / 2) + ")) AS BLOB) FROM n";
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_close(handle), SQLITE_OK);
    return path;
  }

  void open() {
    CatalogTest::open();
    kv_ = catalog_->open_namespace("kv", StorageKind::kKeyValue);
  }

  // An empty disk but for the database to import and an object that no import may touch.
  void start() {
    disk_ = SimulatedFileSystem();
    leave_database("/data/import/x", 7);
    open();
    put("bystander", "1");
    store_->log().wait_durable(store_->log().appended_lsn());
  }

  void import_all() {
    catalog_->adopt(std::vector<Adoption>{{kv_, kv_factory_.from_name("large"), large_},
                                          {ns_, factory_.from_name("adopted"), "/data/import/x"},
                                          {kv_, kv_factory_.from_name("small"), small_}});
    store_->log().wait_durable(store_->log().appended_lsn());
  }

  [[nodiscard]] store::KeyOwner owner(const std::string& name) const {
    return {"kv", kv_factory_.from_name(name).hex()};
  }

  void put(const std::string& name, const std::string& value) {
    store::KeyWrites writes;
    writes["own"] = store::StoredValue{value, true};
    catalog_->key_values()->commit(owner(name), false, writes);
  }

  // The bystander's is the first; to discard nothing is no commit.
  std::uint64_t key_value_commits() { return store_->file(2, "data.sqlite")->head().commit_number; }

  // Bytes of value by key.
  std::map<std::string, std::size_t> pairs(const std::string& name) {
    std::map<std::string, std::size_t> found;
    const auto shared = catalog_->key_values();
    auto cursor = shared->list(owner(name), {}, false);
    while (cursor.next()) found[std::string(cursor.key())] = cursor.value().bytes.size();
    return found;
  }

  void expect_whole() {
    std::map<std::string, std::size_t> large;
    for (int i = 0; i < kLargePairs; ++i) large["k" + std::to_string(i)] = kLargeValueBytes;
    const std::map<std::string, std::size_t> small = {{"k0", 10}, {"k1", 10}};
    EXPECT_EQ(pairs("large"), large);
    EXPECT_EQ(pairs("small"), small);
    ASSERT_TRUE(contains("adopted"));
    EXPECT_EQ(sum("adopted"), 7);
  }

  void expect_nothing() {
    EXPECT_TRUE(pairs("large").empty());
    EXPECT_TRUE(pairs("small").empty());
    EXPECT_FALSE(contains("adopted"));
    EXPECT_EQ(pairs("bystander").size(), 1U);
  }

  // What objects write that failed to be imported is theirs: the import is forgotten.
  void expect_usable() {
    put("large", "1");
    write("adopted", 1);
    close();
    open();
    EXPECT_EQ(pairs("large").size(), 1U);
    EXPECT_EQ(sum("adopted"), 1);
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("perdure_import_" + std::to_string(::getpid()));
  ObjectIdFactory kv_factory_{"kv"};
  NamespaceNumber kv_ = 0;
  std::filesystem::path large_ = copy_with("large", kLargePairs, kLargeValueBytes);
  std::filesystem::path small_ = copy_with("small", 2, 10);
};

TEST_F(ImportTest, APowerCutLeavesAllObjectsWholeOrNone) {
  int imported = 0;
  int discarded = 0;  // none, and pairs of them had been there
  bool power_stayed = false;
  for (std::uint64_t cut = 1; !power_stayed; ++cut) {
    SCOPED_TRACE("power off at operation " + std::to_string(cut));
    ASSERT_LT(cut, 1000U);
    start();
    disk_.power_off_at(cut);
    bool done = false;
    try {
      import_all();
      done = true;
    } catch (const Error&) {
      // The power is off.
    }
    power_stayed = !disk_.is_power_off();
    lose_power(cut);
    // The power also goes off while the rest of the import is being discarded.
    disk_.power_off_at(1 + cut % 16);
    try {
      open();
      store_->log().wait_durable(store_->log().appended_lsn());
    } catch (const Error&) {
      // As above.
    }
    lose_power(cut + 1);
    open();
    if (contains("adopted")) {
      ++imported;
      expect_whole();
    } else {
      EXPECT_FALSE(done);
      if (key_value_commits() > 1) ++discarded;
      expect_nothing();
      expect_usable();
    }
    close();
  }
  EXPECT_GT(imported, 0);
  EXPECT_GT(discarded, 0);
}

TEST_F(ImportTest, AFailureDiscardsThePairsAtOnce) {
  start();
  const auto small = std::exchange(small_, folder_ / "missing");
  EXPECT_THROW(import_all(), Error);
  EXPECT_GT(key_value_commits(), 1U);
  expect_nothing();
  // All pairs are written before the databases get their places.
  small_ = small;
  disk_.remove("/data/import/x");
  const auto commits = key_value_commits();
  EXPECT_THROW(import_all(), Error);
  EXPECT_GT(key_value_commits(), commits);
  expect_nothing();
  expect_usable();
  close();
}

TEST_F(ImportTest, AFullDiskLeavesNothingOnceThereIsRoom) {
  start();
  // Room for some of the large pairs.
  disk_.set_capacity(disk_.used_bytes() + store::kImportCommitBytes);
  EXPECT_THROW(import_all(), Error);
  EXPECT_GT(key_value_commits(), 1U);
  disk_.set_capacity(std::uint64_t{1} << 30);
  close();
  open();
  expect_nothing();
  import_all();
  expect_whole();
  close();
}

TEST_F(CatalogTest, ObjectsAndChainsSurviveACleanStop) {
  open();
  write("a", 1);
  write("b", 2);
  write("a", 3);
  const store::Head head = object("a")->head();
  EXPECT_EQ(head.commit_number, 2U);
  close();
  const std::string path =
      "/data/objects/test-Counter/" + factory_.from_name("a").hex() + ".sqlite";
  EXPECT_TRUE(disk_.exists(path));
  open();
  EXPECT_TRUE(contains("a"));
  EXPECT_FALSE(contains("c"));
  EXPECT_EQ(object("a")->head().commit_number, head.commit_number);
  EXPECT_EQ(object("a")->head().last_lsn, head.last_lsn);
  EXPECT_EQ(object("a")->head().location, head.location);
  EXPECT_EQ(sum("a"), 4);
  write("a", 5);
  EXPECT_EQ(object("a")->head().commit_number, 3U);
  write("c", 1);
  EXPECT_NE(object("c")->number(), object("a")->number());
  EXPECT_NE(object("c")->number(), object("b")->number());
}

TEST_F(CatalogTest, ObjectsSurviveACrashAndACheckpointAfterIt) {
  open();
  write("a", 1);
  store_->checkpoint();
  write("a", 2);
  write("b", 7);
  crash();
  open();
  EXPECT_TRUE(contains("b"));
  store_->checkpoint();  // knows the files of databases that nobody has opened
  EXPECT_EQ(sum("b"), 7);
  EXPECT_EQ(sum("a"), 3);
  EXPECT_EQ(object("a")->head().commit_number, 2U);
  close();
  open();
  EXPECT_EQ(sum("a"), 3);
}

// A log of an earlier time, out of a backup.
TEST_F(CatalogTest, RefusesObjectsWhoseCommitsTheLogDoesNotReach) {
  open();
  close();
  std::map<std::string, std::vector<std::byte>> earlier;
  for (const std::string& name : disk_.list("/data/log")) {
    const auto file = disk_.open("/data/log/" + name, FileSystem::Mode::kRead);
    earlier[name].resize(file->size());
    file->read(0, earlier[name]);
  }
  open();
  write("a", 1);
  const store::KeyOwner owner{"kv", "id"};
  store::KeyWrites writes;
  writes["k"] = store::StoredValue{"1", true};
  catalog_->key_values()->commit(owner, false, writes);
  close();
  for (const std::string& name : disk_.list("/data/log")) disk_.remove("/data/log/" + name);
  for (const auto& [name, content] : earlier) {
    disk_.open("/data/log/" + name, FileSystem::Mode::kCreate)->write(0, content);
  }
  open();
  EXPECT_EQ(code_of([&] { object("a"); }), ErrorCode::kCorrupt);
  const std::string of_object = message_of([&] { object("a"); });
  EXPECT_THAT(of_object, testing::HasSubstr(factory_.from_name("a").hex() + ".sqlite (LSN "));
  EXPECT_THAT(of_object, testing::HasSubstr("from another time"));
  EXPECT_EQ(code_of([&] { catalog_->key_values(); }), ErrorCode::kCorrupt);
  EXPECT_THAT(message_of([&] { catalog_->key_values(); }), testing::HasSubstr("data.sqlite"));
  write("b", 1);
  EXPECT_EQ(sum("b"), 1) << "what is new is not concerned";
}

TEST_F(CatalogTest, DoesNotMakeALogForObjectsThatAreThere) {
  open();
  write("a", 1);
  close();
  for (const std::string& name : disk_.list("/data/log")) disk_.remove("/data/log/" + name);
  try {
    open();
    FAIL() << "it opens";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.what(), testing::HasSubstr("no segments in /data/log"));
  }
  EXPECT_TRUE(disk_.list("/data/log").empty());
}

TEST_F(CatalogTest, DoesNotMakeACatalogForObjectsThatAreThere) {
  open();
  write("a", 1);
  close();
  disk_.remove("/data/catalog.sqlite");
  EXPECT_THAT(message_of([&] { open(); }),
              testing::HasSubstr("/data/catalog.sqlite is missing, with "));
  testing::internal::CaptureStderr();
  store_.reset();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("/data/catalog.sqlite is missing"));
  EXPECT_FALSE(disk_.exists("/data/catalog.sqlite"));
}

TEST_F(CatalogTest, DoesNotOverwriteWhatIsLeftOfAnObjectWhoseFileIsMissing) {
  open();
  write("a", 1);
  close();
  open();
  write("a", 2);
  const std::string path =
      "/data/objects/test-Counter/" + factory_.from_name("a").hex() + ".sqlite";
  disk_.remove(path);
  EXPECT_THAT(message_of([&] { store_->checkpoint(); }),
              testing::HasSubstr(path + " is missing, with "));
  EXPECT_FALSE(disk_.exists(path));
}

TEST_F(CatalogTest, NamespaceKeysBecomeSafeFolders) {
  open();
  const auto folder = [&](std::string_view key) {
    const std::string path =
        catalog_->object(catalog_->open_namespace(key), factory_.from_name(std::string(key)), "")
            ->path();
    return path.substr(0, path.rfind('/'));
  };
  EXPECT_EQ(folder("a.b-C_9"), "objects/a.b-C_9");
  EXPECT_EQ(folder(".."), "objects/%2E.");
  EXPECT_EQ(folder("a/b"), "objects/a%2Fb");
  EXPECT_EQ(folder("gr\xc3\xbc"), "objects/gr%C3%BC");
  EXPECT_EQ(folder(""), "objects/%");
  EXPECT_EQ(folder("%"), "objects/%25");
}

TEST_F(CatalogTest, NamespacesKeepTheirNumbers) {
  open();
  const auto other = catalog_->open_namespace("other");
  EXPECT_NE(other, ns_);
  close();
  open();
  EXPECT_EQ(catalog_->open_namespace("other"), other);
  EXPECT_EQ(catalog_->open_namespace("test-Counter"), ns_);
}

TEST_F(CatalogTest, NamespacesKeepTheirKindOfStorage) {
  open();
  const auto kv = catalog_->open_namespace("kv", StorageKind::kKeyValue);
  close();
  open();
  EXPECT_EQ(catalog_->open_namespace("kv", StorageKind::kKeyValue), kv);
  EXPECT_EQ(catalog_->find_namespace(kv).key, "kv");
  EXPECT_EQ(catalog_->find_namespace(kv).kind, StorageKind::kKeyValue);
  EXPECT_EQ(catalog_->find_namespace(ns_).kind, StorageKind::kSqlite);
  EXPECT_EQ(
      message_of([&] { catalog_->open_namespace("kv"); }),
      "The objects of \"kv\" have key-value storage (new_classes), and that is for good: they "
      "cannot have SQLite storage (new_sqlite_classes). Declare their class as it was, or a new "
      "one.");
  EXPECT_THROW(catalog_->open_namespace("test-Counter", StorageKind::kKeyValue), Error);
}

// A catalog that was made before there were kinds of storage.
TEST_F(CatalogTest, AnOlderCatalogHasSqliteStorage) {
  open();
  {
    store_->close();
    catalog_.reset();
    store_.reset();
    store::StoreOptions options;
    options.directory = "/data";
    options.file_system = &disk_;
    options.segment_bytes = 1 << 20;
    store_ = store::Store::open(options);
    store::Database database(*store_, store_->file(store::kCatalogNumber, "catalog.sqlite"));
    database.execute("ALTER TABLE namespaces DROP COLUMN storage");
  }
  store_->close();
  store_.reset();
  open();
  EXPECT_EQ(catalog_->find_namespace(ns_).kind, StorageKind::kSqlite);
  EXPECT_THROW(catalog_->open_namespace("test-Counter", StorageKind::kKeyValue), Error);
}

// The file's chain of records goes on over checkpoints and crashes, which only the catalog knows
// of.
TEST_F(CatalogTest, TheSharedKeyValueFileGoesOnWhereItWas) {
  const store::KeyOwner owner{"kv", "id"};
  const auto put = [&](const std::string& value) {
    store::KeyWrites writes;
    writes["k"] = store::StoredValue{value, true};
    catalog_->key_values()->commit(owner, false, writes);
  };
  const auto commits = [&] { return store_->file(2, "data.sqlite")->head().commit_number; };
  open();
  EXPECT_FALSE(disk_.exists("/data/data.sqlite"));
  put("1");
  put("2");
  close();
  open();
  EXPECT_EQ(catalog_->key_values()->get(owner, "k")->bytes, "2");
  EXPECT_EQ(commits(), 2u);
  put("3");
  crash();
  open();
  EXPECT_EQ(catalog_->key_values()->get(owner, "k")->bytes, "3");
  EXPECT_EQ(commits(), 3u);
  // Nobody opens it before the checkpoint writes it.
  put("4");
  crash();
  open();
  store_->checkpoint();
  EXPECT_EQ(catalog_->key_values()->get(owner, "k")->bytes, "4");
  EXPECT_EQ(commits(), 4u);
}

TEST_F(CatalogTest, RefusesAnIdOfAnotherNamespace) {
  open();
  write("a", 1);
  const auto other = catalog_->open_namespace("other");
  EXPECT_THROW(catalog_->object(other, factory_.from_name("a"), ""), Error);
}

TEST_F(CatalogTest, IsOfNoUseOnceTheStoreIsClosed) {
  open();
  store_->close();
  EXPECT_THROW(object("a"), Error);
  EXPECT_THROW(catalog_->key_values(), Error);
}

// What a list of the objects shows without opening each: docs/architecture.md, "Looking in from
// outside".
TEST_F(CatalogTest, KnowsWhenObjectsChangedLastAndHowLargeTheyAreAfterACheckpoint) {
  open();
  const auto before_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count();
  write("a", 1);
  const store::Head head = object("a")->head();
  EXPECT_GE(head.time_ms, before_ms);
  EXPECT_LT(head.time_ms, before_ms + 60'000);
  store_->checkpoint();
  store::ViewDatabase view(catalog_->view_catalog());
  const auto text = [&view](const char* sql) {
    store::Statement statement = view.prepare(sql);
    EXPECT_TRUE(view.step(statement));
    return std::string(reinterpret_cast<const char*>(sqlite3_column_text(statement.handle(), 0)));
  };
  EXPECT_EQ(text("SELECT time_ms FROM objects WHERE name = 'a'"), std::to_string(head.time_ms));
  EXPECT_EQ(text("SELECT bytes FROM objects WHERE name = 'a'"), "8192");
}

TEST_F(CatalogTest, KnowsTheTimeOfTheLastCommitAfterACrash) {
  open();
  write("a", 1);
  const std::int64_t time_ms = object("a")->head().time_ms;
  crash();
  open();
  EXPECT_EQ(object("a")->head().time_ms, time_ms);
}

TEST_F(CatalogTest, ShowsWhatAnObjectHasCommitted) {
  open();
  const auto keyed = catalog_->open_namespace("test-Keyed", StorageKind::kKeyValue);
  const ObjectId a = factory_.from_name("a");
  EXPECT_EQ(message_of([&] { catalog_->view(ns_, a); }),
            "There is no object " + a.hex() + " in test-Counter.");
  EXPECT_EQ(message_of([&] { catalog_->view(keyed, a); }),
            "There is no object " + a.hex() + " in test-Keyed.");
  write("a", 7);
  const auto view = catalog_->view(ns_, a);
  EXPECT_EQ(view->page_count(), 2u);
  EXPECT_EQ(view->lsn(), object("a")->head().last_lsn);
  EXPECT_EQ(catalog_->namespaces().size(), 2u);
}

}  // namespace
}  // namespace perdure::runtime
