#include "runtime/catalog.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/error.h"
#include "sqlite3.h"
#include "store/database.h"
#include "store/database_file.h"
#include "store/foreign_database.h"
#include "store/read_view.h"
#include "store/shared_key_value.h"
#include "store/store.h"

namespace perdure::runtime {
namespace {

constexpr char kFileName[] = "catalog.sqlite";
constexpr char kKeyValueFileName[] = "data.sqlite";
constexpr char kObjectsFolder[] = "objects/";

// Numbers up to this one are the engine's own databases.
constexpr ObjectNumber kReservedNumbers = 16;
constexpr ObjectNumber kKeyValueNumber = 2;

constexpr char kSchema[] = R"(
CREATE TABLE IF NOT EXISTS namespaces (
  number INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  storage TEXT NOT NULL DEFAULT 'sqlite'
);
CREATE TABLE IF NOT EXISTS objects (
  number INTEGER PRIMARY KEY,
  namespace INTEGER NOT NULL,
  id BLOB NOT NULL UNIQUE,
  name TEXT,
  commit_number INTEGER NOT NULL DEFAULT 0,
  last_lsn INTEGER NOT NULL DEFAULT 0,
  segment INTEGER NOT NULL DEFAULT 0,
  segment_offset INTEGER NOT NULL DEFAULT 0,
  time_ms INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS checkpoints (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  count INTEGER NOT NULL
);
INSERT OR IGNORE INTO checkpoints VALUES (0, 0);
CREATE TABLE IF NOT EXISTS unfinished_adoptions (
  namespace INTEGER NOT NULL,
  id BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS alarms (
  namespace INTEGER NOT NULL,
  id BLOB NOT NULL,
  name TEXT,
  time_ms INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  delays INTEGER NOT NULL,
  PRIMARY KEY (namespace, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS crons (
  expression TEXT PRIMARY KEY,
  last_ms INTEGER NOT NULL
) WITHOUT ROWID;
)";

// Catalogs were made without these at first.
struct AddedColumn {
  const char* table;
  const char* column;
  const char* add;
};
constexpr AddedColumn kAddedColumns[] = {
    {"namespaces", "storage",
     "ALTER TABLE namespaces ADD COLUMN storage TEXT NOT NULL DEFAULT 'sqlite'"},
    {"objects", "time_ms", "ALTER TABLE objects ADD COLUMN time_ms INTEGER NOT NULL DEFAULT 0"},
    {"objects", "bytes", "ALTER TABLE objects ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0"},
};

// The row of the shared key-value file: it belongs to no namespace.
constexpr char kInsertKeyValues[] =
    "INSERT OR IGNORE INTO objects (number, namespace, id) VALUES (2, 0, CAST('data.sqlite' AS "
    "BLOB))";
constexpr char kFindKeyValues[] =
    "SELECT commit_number, last_lsn, segment, segment_offset, time_ms FROM objects "
    "WHERE number = 2";

constexpr char kFindObject[] =
    "SELECT number, namespace, commit_number, last_lsn, segment, segment_offset, time_ms "
    "FROM objects WHERE id = ?";
constexpr char kInsertObject[] =
    "INSERT INTO objects (number, namespace, id, name) VALUES (?, ?, ?, ?)";
// It has been committed to, elsewhere: the file, not the log, says what is in it.
constexpr char kAdoptObject[] =
    "INSERT INTO objects (number, namespace, id, commit_number) VALUES (?, ?, ?, 1)";
// Those with key-value storage, while their pairs are being written.
constexpr char kNoteAdoption[] = "INSERT INTO unfinished_adoptions VALUES (?, ?)";
constexpr char kFindUnfinished[] =
    "SELECT key, id FROM unfinished_adoptions JOIN namespaces ON namespaces.number = namespace";
constexpr char kForgetUnfinished[] = "DELETE FROM unfinished_adoptions";
constexpr char kSaveHead[] =
    "UPDATE objects SET commit_number = ?2, last_lsn = ?3, segment = ?4, segment_offset = ?5, "
    "time_ms = ?6, bytes = ?7 WHERE number = ?1";
constexpr char kCountCheckpoint[] = "UPDATE checkpoints SET count = count + 1";
constexpr char kFindPath[] =
    "SELECT key, id FROM objects JOIN namespaces ON namespaces.number = namespace "
    "WHERE objects.number = ?";
constexpr char kInsertNamespace[] = "INSERT INTO namespaces (key, storage) VALUES (?, ?)";
constexpr char kListNamespaces[] = "SELECT number, key, storage FROM namespaces";
constexpr char kPutAlarm[] = "INSERT OR REPLACE INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?)";
constexpr char kRemoveAlarm[] = "DELETE FROM alarms WHERE namespace = ? AND id = ?";
constexpr char kFindAlarm[] =
    "SELECT name, time_ms, due_ms, retries, delays FROM alarms WHERE namespace = ? AND id = ?";
constexpr char kListAlarms[] = "SELECT id, due_ms FROM alarms WHERE namespace = ?";
constexpr char kKeysWithAlarms[] =
    "SELECT key FROM namespaces WHERE EXISTS (SELECT 1 FROM alarms WHERE namespace = number)";
constexpr char kListCrons[] = "SELECT expression, last_ms FROM crons";
constexpr char kForgetCrons[] = "DELETE FROM crons";
constexpr char kInsertCron[] = "INSERT INTO crons VALUES (?, ?)";
constexpr char kMaxNumber[] = "SELECT max(number) FROM objects";

// The catalog of a million objects is larger than an object's page cache (in KiB).
constexpr char kCacheSize[] = "PRAGMA cache_size = -8192";

// The map of objects without a row is not swept below this size.
constexpr std::size_t kSweepMin = 1024;

// A row of `objects`.
struct KnownObject {
  ObjectNumber number = 0;
  NamespaceNumber ns = 0;
  store::Head head;
};

// An adoption with key-value storage.
struct KeyValueAdoption {
  store::KeyOwner owner;
  std::filesystem::path file;
};

struct IdHash {
  // An id is the output of an HMAC: any eight bytes of it are a good hash.
  std::size_t operator()(const ObjectId& id) const noexcept {
    std::size_t hash;
    std::memcpy(&hash, id.bytes().data(), sizeof hash);
    return hash;
  }
};

// As the column `storage` has them.
constexpr std::string_view kSqliteStorage = "sqlite";
constexpr std::string_view kKeyValueStorage = "kv";

std::string_view column_value(StorageKind kind) {
  return kind == StorageKind::kKeyValue ? kKeyValueStorage : kSqliteStorage;
}

const char* described(StorageKind kind) {
  return kind == StorageKind::kKeyValue ? "key-value storage (new_classes)"
                                        : "SQLite storage (new_sqlite_classes)";
}

bool is_plain(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '-';
}

// A namespace's key as the name of a folder: other characters as %XX, and so a dot at the start, so
// that no key is "..".
std::string folder_of(std::string_view key) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string name;
  for (const char c : key) {
    if (is_plain(c) || (c == '.' && !name.empty())) {
      name += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      name += '%';
      name += kHex[byte >> 4];
      name += kHex[byte & 15];
    }
  }
  return name.empty() ? "%" : name;
}

std::string path_of(std::string_view key, const ObjectId& id) {
  return kObjectsFolder + folder_of(key) + "/" + id.hex() + ".sqlite";
}

}  // namespace

// Also what the store's checkpoint calls, so it lives until the store has closed.
struct Catalog::Impl : store::CheckpointHooks, std::enable_shared_from_this<Catalog::Impl> {
  explicit Impl(store::Store& store_of_catalog);

  std::string path(ObjectNumber number) override;
  void save_heads(std::span<const store::HeadUpdate> updates) override;
  void closing() noexcept override;

  // With the mutex held, except for insert_object() and the three above, which take it.
  void open();
  void upgrade();
  void require_open();
  NamespaceNumber open_namespace(std::string_view key, StorageKind kind);
  std::shared_ptr<store::SharedKeyValue> open_key_values();
  std::shared_ptr<store::DatabaseFile> object(NamespaceNumber ns, const ObjectId& id,
                                              std::string_view name);
  bool contains(NamespaceNumber ns, const ObjectId& id);
  std::optional<StoredAlarm> find_alarm(NamespaceNumber ns, const ObjectId& id);
  void put_alarm(NamespaceNumber ns, const ObjectId& id, std::string_view name,
                 const object::Alarm& alarm);
  void remove_alarm(NamespaceNumber ns, const ObjectId& id);
  void note_adoptions(std::span<const Adoption> adoptions);
  void finish_adoptions(std::span<const Adoption> adoptions);
  std::vector<store::KeyOwner> unfinished_adoptions();
  [[nodiscard]] bool is_key_value(NamespaceNumber ns) const {
    return find_namespace(ns).kind == StorageKind::kKeyValue;
  }
  void insert_object(ObjectNumber number, NamespaceNumber ns, const ObjectId& id,
                     const std::string& name);

  store::Statement& prepared(store::Statement& statement, const char* sql);
  template <typename Body>
  void transaction(Body&& body);
  std::optional<KnownObject> find(const ObjectId& id);
  std::shared_ptr<store::DatabaseFile> new_object(NamespaceNumber ns, const ObjectId& id,
                                                  std::string_view name);
  void sweep_rowless();
  [[nodiscard]] const Namespace& find_namespace(NamespaceNumber ns) const;
  [[nodiscard]] const std::string& key_of(NamespaceNumber ns) const {
    return find_namespace(ns).key;
  }

  struct Statements {
    store::Statement find;
    store::Statement insert;
    store::Statement save_head;
    store::Statement count_checkpoint;
    store::Statement find_path;
    store::Statement put_alarm;
    store::Statement remove_alarm;
    store::Statement find_alarm;
  };

  store::Store& store;
  std::mutex mutex;
  std::unique_ptr<store::Database> database;
  Statements statements;
  boost::unordered_flat_map<NamespaceNumber, Namespace> namespaces;
  std::shared_ptr<store::SharedKeyValue> key_values;  // once asked for
  ObjectNumber next_number = 0;
  // Objects that have a number and no row yet. An entry goes with the row; those that were let go
  // without a commit are swept when the map has doubled.
  boost::unordered_flat_map<ObjectId, std::weak_ptr<store::DatabaseFile>, IdHash> rowless;
  std::size_t sweep_at = kSweepMin;
};

namespace {

// Runs a statement that returns nothing.
void run(store::Database& database, store::Statement& statement) {
  database.step(statement);
  const int code = sqlite3_reset(statement.handle());
  if (code != SQLITE_OK) throw database.error(code);
}

// Steps to the first row; the statement is reset when the guard goes.
class Row {
 public:
  Row(store::Database& database, store::Statement& statement) : handle_(statement.handle()) {
    const int code = database.step(statement);
    found_ = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
      const store::SqlError error = database.error(code);
      sqlite3_reset(handle_);
      throw error;
    }
  }
  ~Row() { sqlite3_reset(handle_); }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  explicit operator bool() const noexcept { return found_; }
  [[nodiscard]] std::int64_t integer(int column) const {
    return sqlite3_column_int64(handle_, column);
  }
  [[nodiscard]] std::string_view bytes(int column) const {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(handle_, column));
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
  }

 private:
  sqlite3_stmt* handle_;
  bool found_ = false;
};

void bind_id(store::Statement& statement, int index, const ObjectId& id) {
  sqlite3_bind_blob(statement.handle(), index, id.bytes().data(),
                    static_cast<int>(id.bytes().size()), SQLITE_STATIC);
}

void bind_text(store::Statement& statement, int index, std::string_view text) {
  sqlite3_bind_text(statement.handle(), index, text.data(), static_cast<int>(text.size()),
                    SQLITE_STATIC);
}

// An id without a name has NULL.
void bind_name(store::Statement& statement, int index, std::string_view name) {
  if (name.empty()) {
    sqlite3_bind_null(statement.handle(), index);
  } else {
    bind_text(statement, index, name);
  }
}

void bind_integer(store::Statement& statement, int index, std::uint64_t value) {
  sqlite3_bind_int64(statement.handle(), index, static_cast<std::int64_t>(value));
}

// Until the statement's next step.
std::string_view column_bytes(const store::Statement& statement, int column) {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement.handle(), column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement.handle(), column))};
}

std::string column_text(const store::Statement& statement, int column) {
  return std::string(column_bytes(statement, column));
}

// From the column `id`.
ObjectId object_id(std::string_view column) {
  ObjectId::Bytes bytes{};
  std::memcpy(bytes.data(), column.data(), std::min(column.size(), bytes.size()));
  return ObjectId(bytes);
}

[[noreturn]] void refuse_existing(const std::string& key, const ObjectId& id) {
  throw Error(ErrorCode::kInvalid, "The object " + id.hex() + " of " + key + " exists already.");
}

// From five columns of a row of `objects`.
store::Head head_of(const Row& row, int column) {
  store::Head head;
  head.commit_number = static_cast<std::uint64_t>(row.integer(column));
  head.last_lsn = static_cast<Lsn>(row.integer(column + 1));
  head.location.segment = static_cast<std::uint64_t>(row.integer(column + 2));
  head.location.offset = static_cast<std::uint32_t>(row.integer(column + 3));
  head.time_ms = row.integer(column + 4);
  return head;
}

}  // namespace

Catalog::Impl::Impl(store::Store& store_of_catalog) : store(store_of_catalog) {
  open();
  store::Statement list = database->prepare(kListNamespaces, store::Access::kEngine);
  while (database->step(list) == SQLITE_ROW) {
    const auto number = static_cast<NamespaceNumber>(sqlite3_column_int64(list.handle(), 0));
    const bool is_key_value = column_text(list, 2) == kKeyValueStorage;
    namespaces[number] = {column_text(list, 1),
                          is_key_value ? StorageKind::kKeyValue : StorageKind::kSqlite};
  }
  store::Statement max = database->prepare(kMaxNumber, store::Access::kEngine);
  const Row row(*database, max);
  const auto highest = static_cast<ObjectNumber>(row ? row.integer(0) : 0);
  next_number = std::max({highest, store.number_max(), kReservedNumbers}) + 1;
}

void Catalog::Impl::open() {
  const auto file = store.file(store::kCatalogNumber, kFileName);
  file->set_exempt_from_limits();
  database = std::make_unique<store::Database>(store, file);
  database->execute(kCacheSize);
  transaction([&] {
    database->execute(kSchema);
    upgrade();
  });
}

void Catalog::Impl::upgrade() {
  for (const auto& [table, column, add] : kAddedColumns) {
    const int found = sqlite3_table_column_metadata(database->handle(), "main", table, column,
                                                    nullptr, nullptr, nullptr, nullptr, nullptr);
    if (found != SQLITE_OK) database->execute(add);
  }
}

// The store has been closed, or a failed commit left SQLite in doubt: then the database is opened
// anew at its last commit.
void Catalog::Impl::require_open() {
  if (database == nullptr) {
    throw Error(ErrorCode::kInvalid, "The catalog is closed: its store has been closed.");
  }
  if (!database->broken()) return;
  statements = Statements();
  database.reset();
  open();
}

store::Statement& Catalog::Impl::prepared(store::Statement& statement, const char* sql) {
  if (!statement) statement = database->prepare(sql, store::Access::kEngine);
  return statement;
}

template <typename Body>
void Catalog::Impl::transaction(Body&& body) {
  database->begin();
  try {
    body();
  } catch (...) {
    database->rollback();
    throw;
  }
  database->commit();
}

const Catalog::Namespace& Catalog::Impl::find_namespace(NamespaceNumber ns) const {
  const auto it = namespaces.find(ns);
  if (it == namespaces.end()) {
    throw Error(ErrorCode::kNotFound,
                "The catalog has no namespace with number " + std::to_string(ns) + ".");
  }
  return it->second;
}

NamespaceNumber Catalog::Impl::open_namespace(std::string_view key, StorageKind kind) {
  for (const auto& [number, known] : namespaces) {
    if (known.key != key) continue;
    if (known.kind == kind) return number;
    throw Error(ErrorCode::kInvalid,
                "The objects of \"" + known.key + "\" have " + described(known.kind) +
                    ", and that is for good: they cannot have " + described(kind) +
                    ". Declare their class as it was, or a new one.");
  }
  store::Statement insert = database->prepare(kInsertNamespace, store::Access::kEngine);
  bind_text(insert, 1, key);
  bind_text(insert, 2, column_value(kind));
  transaction([&] { run(*database, insert); });
  const auto number = static_cast<NamespaceNumber>(sqlite3_last_insert_rowid(database->handle()));
  namespaces[number] = {std::string(key), kind};
  return number;
}

// The row comes first, so that a checkpoint has where to write the end of the file's chain.
std::shared_ptr<store::SharedKeyValue> Catalog::Impl::open_key_values() {
  if (key_values != nullptr) return key_values;
  transaction([&] { database->execute(kInsertKeyValues); });
  auto file = store.file(kKeyValueNumber, kKeyValueFileName);
  store::Statement find = database->prepare(kFindKeyValues, store::Access::kEngine);
  const Row row(*database, find);
  // Without a commit the file is not known to be missing: somebody may have put it there.
  if (const store::Head head = head_of(row, 0); head.commit_number > 0)
    file->set_catalog_head(head);
  key_values = std::make_shared<store::SharedKeyValue>(store, std::move(file));
  return key_values;
}

std::optional<KnownObject> Catalog::Impl::find(const ObjectId& id) {
  auto& statement = prepared(statements.find, kFindObject);
  bind_id(statement, 1, id);
  const Row row(*database, statement);
  if (!row) return std::nullopt;
  KnownObject object;
  object.number = static_cast<ObjectNumber>(row.integer(0));
  object.ns = static_cast<NamespaceNumber>(row.integer(1));
  object.head = head_of(row, 2);
  return object;
}

// The mutex is held from the row to the file: a checkpoint that drops a clean file from the store's
// table has changed the row before, so the head that is read here is never older than the file.
std::shared_ptr<store::DatabaseFile> Catalog::Impl::object(NamespaceNumber ns, const ObjectId& id,
                                                           std::string_view name) {
  if (const auto it = rowless.find(id); it != rowless.end()) {
    if (auto file = it->second.lock()) return file;
  }
  const auto known = find(id);
  if (!known) return new_object(ns, id, name);
  if (known->ns != ns) {
    throw Error(ErrorCode::kInvalid, "The object " + id.hex() + " belongs to the namespace " +
                                         key_of(known->ns) + ", not to " + key_of(ns) + ".");
  }
  auto file = store.file(known->number, path_of(key_of(ns), id));
  file->set_catalog_head(known->head);
  return file;
}

std::shared_ptr<store::DatabaseFile> Catalog::Impl::new_object(NamespaceNumber ns,
                                                               const ObjectId& id,
                                                               std::string_view name) {
  const ObjectNumber number = next_number++;
  auto file = store.file(number, path_of(key_of(ns), id));
  file->set_catalog_head({});
  file->set_before_first_commit(
      [impl = weak_from_this(), number, ns, id, name_of_id = std::string(name)] {
        if (const auto self = impl.lock()) self->insert_object(number, ns, id, name_of_id);
      });
  sweep_rowless();
  rowless[id] = file;
  return file;
}

void Catalog::Impl::sweep_rowless() {
  if (rowless.size() < sweep_at) return;
  boost::unordered::erase_if(rowless, [](const auto& entry) { return entry.second.expired(); });
  sweep_at = std::max(kSweepMin, 2 * rowless.size());
}

void Catalog::Impl::insert_object(ObjectNumber number, NamespaceNumber ns, const ObjectId& id,
                                  const std::string& name) {
  const std::scoped_lock lock(mutex);
  require_open();
  auto& statement = prepared(statements.insert, kInsertObject);
  bind_integer(statement, 1, number);
  bind_integer(statement, 2, ns);
  bind_id(statement, 3, id);
  bind_name(statement, 4, name);
  // One statement commits by itself.
  run(*database, statement);
  rowless.erase(id);
}

bool Catalog::Impl::contains(NamespaceNumber ns, const ObjectId& id) {
  const auto known = find(id);
  if (!known || known->ns != ns) return false;
  if (known->head.commit_number > 0) return true;
  // The row precedes the first commit, and does not know of it until a checkpoint.
  return store.file(known->number, path_of(key_of(ns), id))->head().commit_number > 0;
}

std::optional<Catalog::StoredAlarm> Catalog::Impl::find_alarm(NamespaceNumber ns,
                                                              const ObjectId& id) {
  auto& statement = prepared(statements.find_alarm, kFindAlarm);
  bind_integer(statement, 1, ns);
  bind_id(statement, 2, id);
  const Row row(*database, statement);
  if (!row) return std::nullopt;
  StoredAlarm found;
  found.name = row.bytes(0);
  found.alarm.time_ms = static_cast<std::uint64_t>(row.integer(1));
  found.alarm.due_ms = static_cast<std::uint64_t>(row.integer(2));
  found.alarm.retries = static_cast<std::uint32_t>(row.integer(3));
  found.alarm.delays = static_cast<std::uint32_t>(row.integer(4));
  return found;
}

void Catalog::Impl::put_alarm(NamespaceNumber ns, const ObjectId& id, std::string_view name,
                              const object::Alarm& alarm) {
  auto& statement = prepared(statements.put_alarm, kPutAlarm);
  bind_integer(statement, 1, ns);
  bind_id(statement, 2, id);
  bind_name(statement, 3, name);
  bind_integer(statement, 4, alarm.time_ms);
  bind_integer(statement, 5, alarm.due_ms);
  bind_integer(statement, 6, alarm.retries);
  bind_integer(statement, 7, alarm.delays);
  run(*database, statement);
}

void Catalog::Impl::remove_alarm(NamespaceNumber ns, const ObjectId& id) {
  auto& statement = prepared(statements.remove_alarm, kRemoveAlarm);
  bind_integer(statement, 1, ns);
  bind_id(statement, 2, id);
  run(*database, statement);
}

void Catalog::Impl::note_adoptions(std::span<const Adoption> adoptions) {
  for (const Adoption& each : adoptions) {
    if (!is_key_value(each.ns) && find(each.id)) refuse_existing(key_of(each.ns), each.id);
  }
  store::Statement insert = database->prepare(kNoteAdoption, store::Access::kEngine);
  transaction([&] {
    for (const Adoption& each : adoptions) {
      if (!is_key_value(each.ns)) continue;
      bind_integer(insert, 1, each.ns);
      bind_id(insert, 2, each.id);
      run(*database, insert);
    }
  });
}

void Catalog::Impl::finish_adoptions(std::span<const Adoption> adoptions) {
  // A file without a row is nothing: after a crash here the object is still to be made.
  std::vector<store::Store::Placement> placements;
  for (const Adoption& each : adoptions) {
    if (!is_key_value(each.ns))
      placements.push_back({each.file, path_of(key_of(each.ns), each.id)});
  }
  store.place_files(placements);
  store::Statement insert = database->prepare(kAdoptObject, store::Access::kEngine);
  transaction([&] {
    for (const Adoption& each : adoptions) {
      if (each.alarm_ms) {
        const std::uint64_t time_ms = *each.alarm_ms;
        put_alarm(each.ns, each.id, each.name, {.time_ms = time_ms, .due_ms = time_ms});
      }
      if (is_key_value(each.ns)) continue;
      bind_integer(insert, 1, next_number++);
      bind_integer(insert, 2, each.ns);
      bind_id(insert, 3, each.id);
      run(*database, insert);
    }
    database->execute(kForgetUnfinished);
  });
}

std::vector<store::KeyOwner> Catalog::Impl::unfinished_adoptions() {
  std::vector<store::KeyOwner> owners;
  store::Statement list = database->prepare(kFindUnfinished, store::Access::kEngine);
  while (database->step(list) == SQLITE_ROW) {
    owners.push_back({.ns = column_text(list, 0), .id = object_id(column_text(list, 1)).hex()});
  }
  return owners;
}

std::string Catalog::Impl::path(ObjectNumber number) {
  if (number == kKeyValueNumber) return kKeyValueFileName;
  const std::scoped_lock lock(mutex);
  require_open();
  auto& statement = prepared(statements.find_path, kFindPath);
  bind_integer(statement, 1, number);
  const Row row(*database, statement);
  if (!row) {
    throw Error(ErrorCode::kCorrupt, "Database " + std::to_string(number) +
                                         " is in the log, but not in " + kFileName + ".");
  }
  return path_of(row.bytes(0), object_id(row.bytes(1)));
}

void Catalog::Impl::save_heads(std::span<const store::HeadUpdate> updates) {
  const std::scoped_lock lock(mutex);
  require_open();
  auto& statement = prepared(statements.save_head, kSaveHead);
  transaction([&] {
    run(*database, prepared(statements.count_checkpoint, kCountCheckpoint));
    for (const auto& [number, head, bytes] : updates) {
      bind_integer(statement, 1, number);
      bind_integer(statement, 2, head.commit_number);
      bind_integer(statement, 3, head.last_lsn);
      bind_integer(statement, 4, head.location.segment);
      bind_integer(statement, 5, head.location.offset);
      bind_integer(statement, 6, static_cast<std::uint64_t>(head.time_ms));
      bind_integer(statement, 7, bytes);
      run(*database, statement);
    }
  });
}

void Catalog::Impl::closing() noexcept {
  // The shared file's mutex is taken before this one everywhere else.
  std::shared_ptr<store::SharedKeyValue> shared;
  {
    const std::scoped_lock lock(mutex);
    shared = key_values;
  }
  if (shared != nullptr) shared->close();
  const std::scoped_lock lock(mutex);
  statements = Statements();
  database.reset();
}

// ---- Catalog

Catalog::Catalog(store::Store& store) : impl_(std::make_shared<Impl>(store)) {
  store.set_checkpoint_hooks(impl_);
  discard_unfinished_adoptions();
}

Catalog::~Catalog() = default;

NamespaceNumber Catalog::open_namespace(std::string_view key, StorageKind kind) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->open_namespace(key, kind);
}

Catalog::Namespace Catalog::find_namespace(NamespaceNumber ns) {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->find_namespace(ns);
}

std::vector<std::pair<NamespaceNumber, Catalog::Namespace>> Catalog::namespaces() {
  const std::scoped_lock lock(impl_->mutex);
  return {impl_->namespaces.begin(), impl_->namespaces.end()};
}

std::unique_ptr<store::ReadView> Catalog::view(NamespaceNumber ns, const ObjectId& id) {
  if (!contains(ns, id)) {
    throw Error(ErrorCode::kNotFound,
                "There is no object " + id.hex() + " in " + find_namespace(ns).key + ".");
  }
  if (find_namespace(ns).kind == StorageKind::kKeyValue) return view_key_values();
  return std::make_unique<store::ReadView>(object(ns, id, {}));
}

std::string Catalog::path(NamespaceNumber ns, const ObjectId& id) {
  const Namespace found = find_namespace(ns);
  return found.kind == StorageKind::kKeyValue ? kKeyValueFileName : path_of(found.key, id);
}

std::unique_ptr<store::ReadView> Catalog::view_key_values() {
  const auto shared = key_values();
  return std::make_unique<store::ReadView>(impl_->store.file(kKeyValueNumber, kKeyValueFileName));
}

std::unique_ptr<store::ReadView> Catalog::view_catalog() {
  return std::make_unique<store::ReadView>(impl_->store.file(store::kCatalogNumber, kFileName));
}

std::shared_ptr<store::SharedKeyValue> Catalog::key_values() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->open_key_values();
}

std::shared_ptr<store::DatabaseFile> Catalog::object(NamespaceNumber ns, const ObjectId& id,
                                                     std::string_view name) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->object(ns, id, name);
}

// The shared file is used without the mutex: its commits may wait for a checkpoint, which takes it.
void Catalog::adopt(std::span<const Adoption> adoptions) {
  std::vector<KeyValueAdoption> key_values_to_copy;
  for (const Adoption& each : adoptions) {
    const Namespace found = find_namespace(each.ns);
    if (found.kind != StorageKind::kKeyValue) continue;
    if (contains(each.ns, each.id)) refuse_existing(found.key, each.id);
    key_values_to_copy.push_back({{.ns = found.key, .id = each.id.hex()}, each.file});
  }
  const auto locked = [this](auto&& body) {
    const std::scoped_lock lock(impl_->mutex);
    impl_->require_open();
    body();
  };
  locked([&] { impl_->note_adoptions(adoptions); });
  try {
    for (const auto& [owner, file] : key_values_to_copy)
      store::import_key_values(file, *key_values(), owner);
    locked([&] { impl_->finish_adoptions(adoptions); });
  } catch (...) {
    try {
      discard_unfinished_adoptions();
    } catch (const Error&) {
      // The first error says more, and the next open() discards them.
    }
    throw;
  }
}

void Catalog::discard_unfinished_adoptions() {
  std::vector<store::KeyOwner> owners;
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->require_open();
    owners = impl_->unfinished_adoptions();
  }
  if (owners.empty()) return;
  const auto shared = key_values();
  for (const store::KeyOwner& owner : owners) shared->discard(owner);
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  impl_->transaction([&] { impl_->database->execute(kForgetUnfinished); });
}

bool Catalog::contains(NamespaceNumber ns, const ObjectId& id) {
  if (const Namespace found = find_namespace(ns); found.kind == StorageKind::kKeyValue)
    return key_values()->contains({.ns = found.key, .id = id.hex()});
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->contains(ns, id);
}

std::optional<Catalog::StoredAlarm> Catalog::find_alarm(NamespaceNumber ns, const ObjectId& id) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->find_alarm(ns, id);
}

void Catalog::for_each_alarm(
    NamespaceNumber ns, const std::function<void(const ObjectId&, std::uint64_t due_ms)>& visit) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  store::Database& database = *impl_->database;
  store::Statement list = database.prepare(kListAlarms, store::Access::kEngine);
  bind_integer(list, 1, ns);
  int code = 0;
  while ((code = database.step(list)) == SQLITE_ROW) {
    visit(object_id(column_bytes(list, 0)),
          static_cast<std::uint64_t>(sqlite3_column_int64(list.handle(), 1)));
  }
  if (code != SQLITE_DONE) throw database.error(code);
}

std::vector<std::string> Catalog::keys_with_alarms() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  std::vector<std::string> keys;
  store::Statement list = impl_->database->prepare(kKeysWithAlarms, store::Access::kEngine);
  while (impl_->database->step(list) == SQLITE_ROW) keys.push_back(column_text(list, 0));
  return keys;
}

std::vector<Catalog::CronRun> Catalog::cron_runs() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  std::vector<CronRun> runs;
  store::Statement list = impl_->database->prepare(kListCrons, store::Access::kEngine);
  while (impl_->database->step(list) == SQLITE_ROW) {
    const auto last_ms = static_cast<std::uint64_t>(sqlite3_column_int64(list.handle(), 1));
    runs.push_back({column_text(list, 0), last_ms});
  }
  return runs;
}

void Catalog::keep_cron_runs(std::span<const CronRun> runs) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  store::Database& database = *impl_->database;
  store::Statement insert = database.prepare(kInsertCron, store::Access::kEngine);
  impl_->transaction([&] {
    database.execute(kForgetCrons);
    for (const auto& [expression, last_ms] : runs) {
      bind_text(insert, 1, expression);
      bind_integer(insert, 2, last_ms);
      run(database, insert);
    }
  });
}

Lsn Catalog::last_lsn() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->database->last_lsn();
}

// ---- AlarmChange

Catalog::AlarmChange::AlarmChange(Catalog& catalog, NamespaceNumber ns, const ObjectId& id,
                                  std::string_view name, const std::optional<object::Alarm>& alarm)
    : impl_(catalog.impl_), ns_(ns), id_(id), name_(name), alarm_(alarm) {}

Catalog::AlarmChange::~AlarmChange() {
  if (lock_.owns_lock() && impl_->database->staged()) impl_->database->abandon_staged();
}

store::Database& Catalog::AlarmChange::stage() {
  lock_ = std::unique_lock(impl_->mutex);
  impl_->require_open();
  store::Database& database = *impl_->database;
  database.begin();
  try {
    if (alarm_) {
      impl_->put_alarm(ns_, id_, name_, *alarm_);
    } else {
      impl_->remove_alarm(ns_, id_);
    }
  } catch (...) {
    database.rollback();
    throw;
  }
  database.stage_commit();
  return database;
}

Lsn Catalog::AlarmChange::commit_alone() { return stage().publish_staged(); }

}  // namespace perdure::runtime
