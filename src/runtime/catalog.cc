#include "runtime/catalog.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/catalog_impl.h"
#include "store/database_file.h"
#include "store/foreign_database.h"
#include "store/read_view.h"

namespace perdure::runtime {
namespace {

constexpr char kFileName[] = "catalog.sqlite";
constexpr char kKeyValueFileName[] = "data.sqlite";
constexpr char kObjectsFolder[] = "objects/";

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
CREATE TABLE IF NOT EXISTS restores (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  namespace INTEGER NOT NULL,
  id BLOB NOT NULL UNIQUE,
  target_lsn INTEGER
);
CREATE TABLE IF NOT EXISTS crons (
  expression TEXT PRIMARY KEY,
  last_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS page_checksums (
  database INTEGER NOT NULL,
  chunk INTEGER NOT NULL,
  checksums BLOB NOT NULL,
  PRIMARY KEY (database, chunk)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checksums_as_of (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  checkpoint INTEGER NOT NULL
);
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
    "SELECT commit_number, last_lsn, segment, segment_offset, time_ms, bytes FROM objects "
    "WHERE number = 2";

constexpr char kFindObject[] =
    "SELECT number, namespace, commit_number, last_lsn, segment, segment_offset, time_ms, bytes, "
    "name IS NOT NULL FROM objects WHERE id = ?";
constexpr char kInsertObject[] =
    "INSERT INTO objects (number, namespace, id, name) VALUES (?, ?, ?, ?)";
// It has been committed to, elsewhere: the file, not the log, says what is in it.
constexpr char kAdoptObject[] =
    "INSERT INTO objects (number, namespace, id, commit_number, bytes, name) "
    "VALUES (?, ?, ?, 1, ?, ?)";
constexpr char kNameObject[] = "UPDATE objects SET name = ?2 WHERE number = ?1";
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
constexpr char kMaxNumber[] = "SELECT max(number) FROM objects";

// The catalog of a million objects is larger than an object's page cache (in KiB).
constexpr char kCacheSize[] = "PRAGMA cache_size = -8192";

// An adoption with key-value storage.
struct KeyValueAdoption {
  store::KeyOwner owner;
  std::filesystem::path file;
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
  next_number = std::max({highest, store.number_max(), store::kReservedNumbers}) + 1;
}

void Catalog::Impl::open() {
  const auto file = store.file(store::kCatalogNumber, kFileName);
  file->set_exempt_from_limits();
  file->require_file();
  database = std::make_unique<store::Database>(store, file);
  database->execute(kCacheSize);
  transaction([&] {
    database->execute(kSchema);
    upgrade();
    drop_outdated_checksums();
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
  if (const store::Head head = head_of(row, 0); head.commit_number > 0) {
    require_in_log(head, kKeyValueFileName);
    file->set_catalog_head(head, static_cast<std::uint64_t>(row.integer(5)));
  }
  give_checksums(*file);
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
  object.bytes = static_cast<std::uint64_t>(row.integer(7));
  object.has_name = row.integer(8) != 0;
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
  require_in_log(known->head, file->path());
  file->set_catalog_head(known->head, known->bytes);
  if (!file->has_checksums()) give_checksums(*file);
  if (!known->has_name && !name.empty() && file->head().last_lsn == 0) name_later(*file, name);
  return file;
}

// Nobody knows the name of an object that was imported, until it is reached by it.
void Catalog::Impl::name_later(store::DatabaseFile& file, std::string_view name) {
  file.set_before_first_commit(
      [impl = weak_from_this(), number = file.number(), name = std::string(name)] {
        if (const auto self = impl.lock()) self->name_object(number, name);
      });
}

// Otherwise the object's next commits would seem older than those it has, and answers that depend
// on these would wait for ever.
void Catalog::Impl::require_in_log(const store::Head& head, const std::string& path) const {
  const Lsn end = store.log().appended_lsn();
  if (head.last_lsn <= end) return;
  throw Error(ErrorCode::kCorrupt,
              "The log ends at LSN " + std::to_string(end) + ", before the last commit of " + path +
                  " (LSN " + std::to_string(head.last_lsn) +
                  "): the folder log/ was removed, or is from another time. Put back the one that "
                  "belongs to these files.");
}

std::shared_ptr<store::DatabaseFile> Catalog::Impl::new_object(NamespaceNumber ns,
                                                               const ObjectId& id,
                                                               std::string_view name) {
  const ObjectNumber number = next_number++;
  auto file = store.file(number, path_of(key_of(ns), id));
  file->set_catalog_head({});
  file->set_checksums({});
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

void Catalog::Impl::name_object(ObjectNumber number, const std::string& name) {
  const std::scoped_lock lock(mutex);
  require_open();
  store::Statement update = database->prepare(kNameObject, store::Access::kEngine);
  bind_integer(update, 1, number);
  bind_name(update, 2, name);
  run(*database, update);
}

bool Catalog::Impl::contains(NamespaceNumber ns, const ObjectId& id) {
  const auto known = find(id);
  if (!known || known->ns != ns) return false;
  if (known->head.commit_number > 0) return true;
  // The row precedes the first commit, and does not know of it until a checkpoint.
  return store.file(known->number, path_of(key_of(ns), id))->head().commit_number > 0;
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
      const ObjectNumber number = next_number++;
      bind_integer(insert, 1, number);
      bind_integer(insert, 2, each.ns);
      bind_id(insert, 3, each.id);
      const auto placed = store.placed_file(path_of(key_of(each.ns), each.id), number);
      bind_integer(insert, 4, placed.shape.bytes());
      bind_name(insert, 5, each.name);
      run(*database, insert);
      save_checksums(number, placed.shape.pages, placed.checksums);
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
    checksums_are_up_to_date();
    for (const auto& [number, head, bytes, pages, written] : updates) {
      bind_integer(statement, 1, number);
      bind_integer(statement, 2, head.commit_number);
      bind_integer(statement, 3, head.last_lsn);
      bind_integer(statement, 4, head.location.segment);
      bind_integer(statement, 5, head.location.offset);
      bind_integer(statement, 6, static_cast<std::uint64_t>(head.time_ms));
      bind_integer(statement, 7, bytes);
      run(*database, statement);
      save_checksums(number, pages, written);
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

Lsn Catalog::last_lsn() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->database->last_lsn();
}

}  // namespace perdure::runtime
