#include "store/key_value.h"

#include <cstring>
#include <utility>

#include "sqlite3.h"
#include "store/key_range.h"
#include "store/sqlite_values.h"

namespace perdure::store {
namespace {

// The buffer of the last value is kept for the next one up to this size.
constexpr std::size_t kValueBytesKept = 16 << 10;

constexpr char kCreate[] =
    "CREATE TABLE IF NOT EXISTS _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID";
constexpr char kGet[] = "SELECT value FROM _cf_KV WHERE key = ?";
// An upsert would take half as many instructions again (callgrind), and nothing hangs on this table
// that could tell the two apart.
constexpr char kPut[] = "INSERT OR REPLACE INTO _cf_KV VALUES (?, ?)";
constexpr char kRemove[] = "DELETE FROM _cf_KV WHERE key = ?";

// By variant: bit 0 set when there is an end, bit 1 when backwards.
constexpr const char* kLists[] = {
    "SELECT key, value FROM _cf_KV WHERE key >= ?1 ORDER BY key",
    "SELECT key, value FROM _cf_KV WHERE key >= ?1 AND key < ?2 ORDER BY key",
    "SELECT key, value FROM _cf_KV WHERE key >= ?1 ORDER BY key DESC",
    "SELECT key, value FROM _cf_KV WHERE key >= ?1 AND key < ?2 ORDER BY key DESC",
};

// What a user can have made, and what SQLite made for it (sqlite_stat1); what hangs on it first. An
// index goes with its table, a shadow table with its virtual table. Not LIKE, which a user's
// `PRAGMA case_sensitive_like` changes.
constexpr char kEverything[] =
    "SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'view') "
    "OR (type = 'table' AND name <> '_cf_METADATA' "
    "AND (name NOT GLOB 'sqlite_*' OR name GLOB 'sqlite_stat*')) "
    "ORDER BY type = 'table', sql NOT GLOB 'CREATE VIRTUAL*'";

// SQLite drops its table of AUTOINCREMENT under another name only.
constexpr char kHasSequence[] = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
constexpr char kRenameSequence[] =
    "UPDATE sqlite_schema SET name = '_cf_sequence', tbl_name = '_cf_sequence', "
    "sql = 'CREATE TABLE _cf_sequence(name, seq)' WHERE name = 'sqlite_sequence'";
constexpr char kDropSequence[] = "DROP TABLE _cf_sequence";

std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) {
    text += c;
    if (c == '"') text += c;
  }
  return text + '"';
}

}  // namespace

Statement& KeyValue::prepared(Statement& statement, const char* sql) {
  if (!statement) statement = database_.prepare(sql, Access::kEngine);
  return statement;
}

int KeyValue::step(Statement& statement) { return database_.step(statement); }

// The table may be there already, and go again with the transaction that made it.
bool KeyValue::has_table() {
  if (table_) return true;
  table_ = sqlite3_table_column_metadata(database_.handle(), "main", "_cf_KV", nullptr, nullptr,
                                         nullptr, nullptr, nullptr, nullptr) == SQLITE_OK;
  return table_;
}

void KeyValue::create_table() {
  if (has_table()) return;
  database_.execute(kCreate);
  table_ = true;
}

void KeyValue::forget_table() {
  table_ = false;
  get_ = {};
  put_ = {};
  remove_ = {};
  for (Statement& list : lists_) list = {};
}

// Runs `run`, and once more when it failed because a rollback took the table away.
template <typename Run>
auto KeyValue::with_table(Run&& run) {
  try {
    return run();
  } catch (const SqlError& error) {
    if (!table_ || (error.sqlite_code() & 0xff) != SQLITE_ERROR) throw;
    forget_table();
    if (has_table()) throw;
  }
  return run();
}

std::optional<KeyValue::Value> KeyValue::get(std::string_view key) {
  return with_table([&]() -> std::optional<Value> {
    if (!has_table()) return std::nullopt;
    Statement& statement = prepared(get_, kGet);
    bind_text(statement, 1, key);
    const int code = step(statement);
    std::optional<Value> found;
    if (code == SQLITE_ROW) {
      const Value value = column_value(statement.handle(), 0);
      if (value_.capacity() > kValueBytesKept) value_ = {};
      value_.assign(value.bytes.begin(), value.bytes.end());
      found = Value{value_, value.is_text};
    }
    const int reset = sqlite3_reset(statement.handle());
    if (code != SQLITE_ROW && code != SQLITE_DONE) throw database_.error(reset);
    return found;
  });
}

void KeyValue::put(std::string_view key, std::span<const std::byte> value, bool is_text) {
  with_table([&] {
    create_table();
    Statement& statement = prepared(put_, kPut);
    bind_text(statement, 1, key);
    bind_value(statement, 2, value, is_text);
    run(database_, statement);
  });
}

bool KeyValue::remove(std::string_view key) {
  return with_table([&] {
    if (!has_table()) return false;
    Statement& statement = prepared(remove_, kRemove);
    bind_text(statement, 1, key);
    run(database_, statement);
    return sqlite3_changes64(database_.handle()) > 0;
  });
}

KeyValue::Cursor KeyValue::list(const ListOptions& options) {
  const auto [start, end] = key_range(options);
  return with_table([&, &start = start, &end = end] {
    if (!has_table()) return Cursor(*this, 0, {}, 0);
    const std::size_t variant = (end ? 1U : 0U) | (options.reverse ? 2U : 0U);
    // A running list keeps its statement; a second one gets its own.
    Statement statement = std::move(prepared(lists_[variant], kLists[variant]));
    bind_text(statement, 1, start, SQLITE_TRANSIENT);
    if (end) bind_text(statement, 2, *end, SQLITE_TRANSIENT);
    Cursor cursor(*this, variant, std::move(statement), options.limit);
    cursor.at_first_ = cursor.step();  // here, where it is noticed that the table is gone
    return cursor;
  });
}

namespace {

// Sets one of SQLite's switches until the end of a scope, when it has its usual value again.
class Switched {
 public:
  Switched(sqlite3* handle, int option, bool on, bool usual)
      : handle_(handle), option_(option), usual_(usual) {
    sqlite3_db_config(handle_, option_, on ? 1 : 0, nullptr);
  }
  ~Switched() { sqlite3_db_config(handle_, option_, usual_ ? 1 : 0, nullptr); }
  Switched(const Switched&) = delete;
  Switched& operator=(const Switched&) = delete;

 private:
  sqlite3* handle_;
  int option_;
  bool usual_;
};

// Foreign keys that are violated, deferred to the end of the transaction.
bool has_open_violations(sqlite3* handle) {
  int current = 0;
  int highest = 0;
  sqlite3_db_status(handle, SQLITE_DBSTATUS_DEFERRED_FKS, &current, &highest, 0);
  return current != 0;
}

std::string text_of(const Statement& statement, int column) {
  return reinterpret_cast<const char*>(sqlite3_column_text(statement.handle(), column));
}

}  // namespace

void KeyValue::remove_all() {
  forget_table();
  sqlite3* handle = database_.handle();
  // Dropping a table checks foreign keys, in an order that nobody can get right, so they are off;
  // but SQLite counts violations that are open already and must see how they go.
  const bool counting = has_open_violations(handle);
  if (counting) database_.execute("PRAGMA defer_foreign_keys = ON");
  {
    const Switched foreign_keys(handle, SQLITE_DBCONFIG_ENABLE_FKEY, counting, true);
    while (drop_next()) {
    }
  }
  if (first_of(kHasSequence)) drop_sequence_table();
}

// The first row of a query; an empty statement when there is none.
Statement KeyValue::first_of(const char* sql) {
  Statement statement = database_.prepare(sql, Access::kEngine);
  const int code = step(statement);
  if (code == SQLITE_DONE) return {};
  if (code != SQLITE_ROW) throw database_.error(code);
  return statement;
}

bool KeyValue::drop_next() {
  std::string drop;
  {
    const Statement next = first_of(kEverything);
    if (!next) return false;
    drop = "DROP " + text_of(next, 0) + " " + quoted(text_of(next, 1));
  }
  database_.execute(drop.c_str());
  return true;
}

void KeyValue::drop_sequence_table() {
  const std::int64_t version = sqlite3_column_int64(first_of("PRAGMA schema_version").handle(), 0);
  {
    const Switched defensive(database_.handle(), SQLITE_DBCONFIG_DEFENSIVE, false, true);
    const Switched writable(database_.handle(), SQLITE_DBCONFIG_WRITABLE_SCHEMA, true, false);
    database_.execute(kRenameSequence);
    // Makes SQLite read the schema again.
    database_.execute(("PRAGMA schema_version = " + std::to_string(version + 1)).c_str());
  }
  database_.execute(kDropSequence);
}

// ---- Cursor

KeyValue::Cursor::Cursor(KeyValue& owner, std::size_t variant, Statement statement,
                         std::uint64_t limit)
    : owner_(&owner), variant_(variant), statement_(std::move(statement)), left_(limit) {}

KeyValue::Cursor::Cursor(Cursor&& other) noexcept
    : owner_(other.owner_),
      variant_(other.variant_),
      statement_(std::move(other.statement_)),
      left_(std::exchange(other.left_, 0)),
      at_first_(other.at_first_) {}

KeyValue::Cursor::~Cursor() {
  if (!statement_) return;
  sqlite3_reset(statement_.handle());
  if (!owner_->lists_[variant_] && owner_->table_) owner_->lists_[variant_] = std::move(statement_);
}

bool KeyValue::Cursor::next() { return std::exchange(at_first_, false) || step(); }

bool KeyValue::Cursor::step() {
  if (left_ == 0) return false;
  const int code = owner_->step(statement_);
  if (code == SQLITE_ROW) {
    --left_;
    return true;
  }
  left_ = 0;
  const int reset = sqlite3_reset(statement_.handle());
  if (code != SQLITE_DONE) throw owner_->database_.error(reset);
  return false;
}

std::string_view KeyValue::Cursor::key() const { return column_bytes(statement_.handle(), 0); }

KeyValue::Value KeyValue::Cursor::value() const { return column_value(statement_.handle(), 1); }

}  // namespace perdure::store
