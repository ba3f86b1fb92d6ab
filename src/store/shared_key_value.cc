#include "store/shared_key_value.h"

#include <utility>

#include "base/error.h"
#include "sqlite3.h"
#include "store/database_file.h"
#include "store/sqlite_values.h"

namespace perdure::store {
namespace {

// The rows of an object stand together; a table with rowids would be two trees to write.
constexpr char kSchema[] = R"(
CREATE TABLE IF NOT EXISTS do_storage (
  namespace TEXT NOT NULL,
  id TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (namespace, id, key)
) WITHOUT ROWID
)";
// It serves all objects: a larger page cache than one of them has (in KiB), and as many pages as
// SQLite allows.
constexpr char kSettings[] = "PRAGMA cache_size = -8192; PRAGMA max_page_count = 4294967294";

constexpr char kGet[] = "SELECT value FROM do_storage WHERE namespace = ? AND id = ? AND key = ?";
constexpr char kPut[] = "INSERT OR REPLACE INTO do_storage VALUES (?1, ?2, ?3, ?4)";
constexpr char kRemove[] = "DELETE FROM do_storage WHERE namespace = ? AND id = ? AND key = ?";
constexpr char kClear[] = "DELETE FROM do_storage WHERE namespace = ? AND id = ?";
// So few that the pages they change are far from what a transaction may have.
constexpr char kClearSome[] =
    "DELETE FROM do_storage WHERE namespace = ?1 AND id = ?2 AND key IN "
    "(SELECT key FROM do_storage WHERE namespace = ?1 AND id = ?2 LIMIT 256)";

// By variant: bit 0 set when there is an end, bit 1 when backwards.
constexpr const char* kLists[] = {
    "SELECT key, value FROM do_storage WHERE namespace = ?1 AND id = ?2 AND key >= ?3 "
    "ORDER BY key",
    "SELECT key, value FROM do_storage WHERE namespace = ?1 AND id = ?2 AND key >= ?3 "
    "AND key < ?4 ORDER BY key",
    "SELECT key, value FROM do_storage WHERE namespace = ?1 AND id = ?2 AND key >= ?3 "
    "ORDER BY key DESC",
    "SELECT key, value FROM do_storage WHERE namespace = ?1 AND id = ?2 AND key >= ?3 "
    "AND key < ?4 ORDER BY key DESC",
};

void bind_owner(const Statement& statement, const KeyOwner& owner,
                sqlite3_destructor_type lifetime = SQLITE_STATIC) {
  bind_text(statement, 1, owner.ns, lifetime);
  bind_text(statement, 2, owner.id, lifetime);
}

}  // namespace

SharedKeyValue::SharedKeyValue(Store& store, std::shared_ptr<DatabaseFile> file)
    : store_(store), file_(std::move(file)) {}

SharedKeyValue::~SharedKeyValue() = default;

void SharedKeyValue::close() noexcept {
  const std::scoped_lock lock(mutex_);
  statements_ = {};
  database_.reset();
  file_.reset();
}

Lsn SharedKeyValue::last_lsn() {
  const std::scoped_lock lock(mutex_);
  require_open();
  return file_->head().last_lsn;
}

void SharedKeyValue::require_open() const {
  if (file_ == nullptr) {
    throw Error(ErrorCode::kInvalid, "The key-value storage is closed: its store has been closed.");
  }
}

// Opens the database when it is not, or when a failed commit left SQLite in doubt: it then has the
// state of its last commit.
void SharedKeyValue::open() {
  require_open();
  if (database_ != nullptr && !database_->broken()) return;
  statements_ = {};
  table_ = false;
  database_.reset();
  auto database = std::make_unique<Database>(store_, file_);
  database->execute(kSettings);
  sqlite3_limit(database->handle(), SQLITE_LIMIT_LENGTH, SharedKeyValue::kRowBytesMax);
  database_ = std::move(database);
}

// Until the first commit there is none.
bool SharedKeyValue::has_table() {
  if (table_) return true;
  table_ = sqlite3_table_column_metadata(database_->handle(), "main", "do_storage", nullptr,
                                         nullptr, nullptr, nullptr, nullptr, nullptr) == SQLITE_OK;
  return table_;
}

Statement& SharedKeyValue::prepared(Statement& statement, const char* sql) {
  if (!statement) statement = database_->prepare(sql, Access::kEngine);
  return statement;
}

std::optional<StoredValue> SharedKeyValue::get(const KeyOwner& owner, std::string_view key) {
  const std::scoped_lock lock(mutex_);
  open();
  if (!has_table()) return std::nullopt;
  Statement& statement = prepared(statements_.get, kGet);
  bind_owner(statement, owner);
  bind_text(statement, 3, key);
  const int code = database_->step(statement);
  std::optional<StoredValue> found;
  if (code == SQLITE_ROW) {
    const KeyValue::Value value = column_value(statement.handle(), 0);
    found = StoredValue{
        std::string(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size()),
        value.is_text};
  }
  const int reset = sqlite3_reset(statement.handle());
  if (code != SQLITE_ROW && code != SQLITE_DONE) throw database_->error(reset);
  return found;
}

SharedKeyValue::Cursor SharedKeyValue::list(const KeyOwner& owner, const KeyRange& range,
                                            bool reverse) {
  std::unique_lock lock(mutex_);
  open();
  if (!has_table()) return {*this, std::move(lock), nullptr};
  const std::size_t variant = (range.end ? 1U : 0U) | (reverse ? 2U : 0U);
  Statement& statement = prepared(statements_.lists[variant], kLists[variant]);
  // The cursor may outlive what it is given here.
  bind_owner(statement, owner, SQLITE_TRANSIENT);
  bind_text(statement, 3, range.start, SQLITE_TRANSIENT);
  if (range.end) bind_text(statement, 4, *range.end, SQLITE_TRANSIENT);
  return {*this, std::move(lock), &statement};
}

void SharedKeyValue::write(const KeyOwner& owner, const std::string& key,
                           const std::optional<StoredValue>& value) {
  Statement& statement =
      value ? prepared(statements_.put, kPut) : prepared(statements_.remove, kRemove);
  bind_owner(statement, owner);
  bind_text(statement, 3, key);
  if (value) bind_value(statement, 4, std::as_bytes(std::span(value->bytes)), value->is_text);
  run(*database_, statement);
}

Lsn SharedKeyValue::commit(const KeyOwner& owner, bool clear, const KeyWrites& writes,
                           Companion* companion) {
  if (!clear && writes.empty())
    return companion == nullptr ? 0 : companion->stage().publish_staged();
  const std::scoped_lock lock(mutex_);
  open();
  const bool had_table = has_table();
  database_->begin();
  try {
    if (!had_table) database_->execute(kSchema);
    if (clear) {
      Statement& statement = prepared(statements_.clear, kClear);
      bind_owner(statement, owner);
      run(*database_, statement);
    }
    for (const auto& [key, value] : writes) write(owner, key, value);
  } catch (...) {
    database_->rollback();
    throw;
  }
  const Lsn lsn = companion == nullptr ? database_->commit() : database_->commit(*companion);
  table_ = true;
  return lsn;
}

bool SharedKeyValue::contains(const KeyOwner& owner) { return list(owner, {}, false).next(); }

void SharedKeyValue::discard(const KeyOwner& owner) {
  const std::scoped_lock lock(mutex_);
  open();
  if (!has_table()) return;
  for (bool more = true; more;) {
    database_->begin();
    try {
      Statement& statement = prepared(statements_.clear_some, kClearSome);
      bind_owner(statement, owner);
      run(*database_, statement);
      more = sqlite3_changes(database_->handle()) > 0;
    } catch (...) {
      database_->rollback();
      throw;
    }
    database_->commit();
  }
}

// ---- Cursor

SharedKeyValue::Cursor::Cursor(SharedKeyValue& shared, std::unique_lock<std::mutex> lock,
                               Statement* statement)
    : shared_(&shared), lock_(std::move(lock)), statement_(statement) {}

SharedKeyValue::Cursor::Cursor(Cursor&& other) noexcept
    : shared_(other.shared_),
      lock_(std::move(other.lock_)),
      statement_(std::exchange(other.statement_, nullptr)) {}

SharedKeyValue::Cursor::~Cursor() {
  if (statement_ != nullptr) sqlite3_reset(statement_->handle());
}

bool SharedKeyValue::Cursor::next() {
  if (statement_ == nullptr) return false;
  const int code = shared_->database_->step(*statement_);
  if (code == SQLITE_ROW) return true;
  const int reset = sqlite3_reset(std::exchange(statement_, nullptr)->handle());
  if (code != SQLITE_DONE) throw shared_->database_->error(reset);
  return false;
}

std::string_view SharedKeyValue::Cursor::key() const {
  return column_bytes(statement_->handle(), 0);
}

KeyValue::Value SharedKeyValue::Cursor::value() const {
  return column_value(statement_->handle(), 1);
}

}  // namespace perdure::store
