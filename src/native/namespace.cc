#include <string>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "native/engine_state.h"
#include "native/storage_state.h"
#include "perdure/engine.h"
#include "runtime/point_in_time.h"
#include "sqlite3.h"
#include "store/database_file.h"
#include "store/pair_export.h"
#include "store/read_view.h"
#include "store/sqlite_values.h"
#include "store/view_database.h"

namespace perdure {

using native::EngineState;
using native::StorageState;

std::string ObjectId::to_string() const { return runtime::ObjectId(bytes_).hex(); }

// ---- ids

Namespace::Namespace(std::shared_ptr<EngineState> engine, std::uint32_t number, std::string key,
                     StorageKind kind)
    : engine_(std::move(engine)), number_(number), key_(std::move(key)), kind_(kind) {}

ObjectId Namespace::id_from_name(std::string_view name) const {
  return {runtime::ObjectIdFactory(key_).from_name(name).bytes(), std::string(name)};
}

ObjectId Namespace::id_from_string(std::string_view hex) const {
  const auto id = runtime::ObjectIdFactory(key_).from_string(hex);
  if (!id) {
    throw Error(ErrorCode::kInvalid,
                "\"" + std::string(hex.substr(0, 100)) + "\" is not the id of an object of " +
                    key_ + ": it needs 64 hexadecimal digits that were made for this namespace.");
  }
  return {id->bytes(), {}};
}

ObjectId Namespace::new_unique_id() const {
  return {runtime::ObjectIdFactory(key_).unique().bytes(), {}};
}

void Namespace::check(const ObjectId& id) const {
  const std::string hex = id.to_string();
  if (!runtime::ObjectIdFactory(key_).from_string(hex))
    throw Error(ErrorCode::kInvalid, "The id " + hex + " was not made for " + key_ + ".");
}

// ---- objects

bool Namespace::contains(const ObjectId& id) const {
  check(id);
  const EngineState::Use use(*engine_);
  return use.catalog().contains(number_, runtime::ObjectId(id.bytes()));
}

Storage Namespace::open(const ObjectId& id, OpenMode mode) const {
  check(id);
  const EngineState::Use use(*engine_);
  const runtime::ObjectId object(id.bytes());
  if (mode == OpenMode::kExisting && !use.catalog().contains(number_, object)) {
    const std::string name = id.name().empty() ? "" : " (\"" + id.name() + "\")";
    throw Error(ErrorCode::kNotFound,
                "There is no object " + object.hex() + name + " in " + key_ + ".");
  }
  engine_->claim(object);
  try {
    return Storage(std::make_shared<StorageState>(engine_, use.store(), use.catalog(), number_,
                                                  object, id, kind_));
  } catch (...) {
    engine_->give_back(object);
    throw;
  }
}

namespace {

constexpr char kDatabases[] =
    "SELECT number, objects.id, objects.name, bytes, objects.time_ms, commit_number, due_ms "
    "FROM objects LEFT JOIN alarms USING (namespace, id) WHERE namespace = ?";
constexpr char kHasPairs[] = "SELECT 1 FROM sqlite_schema WHERE name = 'do_storage'";
constexpr char kOwners[] =
    "SELECT id, sum(length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))) FROM do_storage "
    "WHERE namespace = ? GROUP BY id";

Time time_of(std::int64_t time_ms) { return Time(std::chrono::milliseconds(time_ms)); }

ObjectId::Bytes id_bytes(std::string_view column) {
  ObjectId::Bytes bytes{};
  column.copy(reinterpret_cast<char*>(bytes.data()), bytes.size());
  return bytes;
}

}  // namespace

// The catalog's rows know each object as it was at the last checkpoint; what has been written since
// is in memory.
void Namespace::for_each_object(const std::function<bool(const ObjectInfo&)>& visit) const {
  if (kind_ == StorageKind::kKeyValue) return for_each_owner(visit);
  const EngineState::Use use(*engine_);
  store::ViewDatabase view(use.catalog().view_catalog());
  store::Statement rows = view.prepare(kDatabases);
  sqlite3_bind_int64(rows.handle(), 1, number_);
  while (view.step(rows)) {
    sqlite3_stmt* row = rows.handle();
    ObjectInfo info{
        ObjectId(id_bytes(store::column_bytes(row, 1)), std::string(store::column_bytes(row, 2))),
        static_cast<std::uint64_t>(sqlite3_column_int64(row, 3))};
    std::int64_t changed_ms = sqlite3_column_int64(row, 4);
    const auto number = static_cast<ObjectNumber>(sqlite3_column_int64(row, 0));
    if (const auto file = use.store().find(number)) {
      info.bytes = std::uint64_t{file->page_count()} * file->page_size();
      changed_ms = file->head().time_ms;
    }
    // The row comes before the first commit.
    const bool committed = sqlite3_column_int64(row, 5) > 0 ||
                           use.catalog().contains(number_, runtime::ObjectId(info.id.bytes()));
    if (!committed) continue;
    if (changed_ms != 0) info.changed = time_of(changed_ms);
    if (sqlite3_column_type(row, 6) != SQLITE_NULL)
      info.alarm = time_of(sqlite3_column_int64(row, 6));
    if (!visit(info)) return;
  }
}

void Namespace::for_each_owner(const std::function<bool(const ObjectInfo&)>& visit) const {
  const EngineState::Use use(*engine_);
  store::ViewDatabase view(use.catalog().view_key_values());
  store::Statement table = view.prepare(kHasPairs);
  if (!view.step(table)) return;
  store::Statement rows = view.prepare(kOwners);
  store::bind_text(rows, 1, key_);
  while (view.step(rows)) {
    const auto id =
        runtime::ObjectIdFactory(key_).from_string(store::column_bytes(rows.handle(), 0));
    if (!id) continue;
    const auto alarm = use.catalog().find_alarm(number_, *id);
    ObjectInfo info{ObjectId(id->bytes(), alarm ? alarm->name : std::string()),
                    static_cast<std::uint64_t>(sqlite3_column_int64(rows.handle(), 1))};
    if (alarm) info.alarm = time_of(static_cast<std::int64_t>(alarm->alarm.due_ms));
    if (!visit(info)) return;
  }
}

// ---- export

namespace {

void write_pages(store::ReadView& view, File& out) {
  std::vector<std::byte> page(view.page_size());
  for (std::uint32_t number = 1; number <= view.page_count(); ++number) {
    view.read(number, page);
    out.write(std::uint64_t{number - 1} * page.size(), page);
  }
}

}  // namespace

void Namespace::export_object(const ObjectId& id, const std::filesystem::path& file,
                              std::string_view bookmark) const {
  check(id);
  const EngineState::Use use(*engine_);
  const runtime::ObjectId object(id.bytes());
  std::shared_ptr<store::ReadView> view = use.catalog().view(number_, object);
  if (!bookmark.empty()) {
    if (kind_ == StorageKind::kKeyValue) native::refuse_bookmarks(id);
    runtime::PointInTime past(use.store(), use.catalog());
    view = past.view({number_, object, {}}, bookmark);
  }
  FileSystem& disk = real_file_system();
  if (disk.exists(file))
    throw Error(ErrorCode::kInvalid, "The file " + file.string() + " exists already.");
  use.store().log().wait_durable(view->lsn());
  try {
    if (kind_ == StorageKind::kKeyValue) {
      store::ViewDatabase database(view);
      store::export_pairs(database, {.ns = key_, .id = id.to_string()}, file);
      disk.open(file, FileSystem::Mode::kReadWrite)->sync();
    } else {
      const auto out = disk.open(file, FileSystem::Mode::kCreateNew);
      write_pages(*view, *out);
      out->sync();
    }
    disk.sync_directory(std::filesystem::absolute(file).parent_path());
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
    throw;
  }
}

}  // namespace perdure
