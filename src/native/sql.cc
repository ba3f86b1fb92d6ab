#include "perdure/sql.h"

#include <string>
#include <utility>

#include "native/storage_state.h"
#include "sqlite3.h"
#include "store/authorizer.h"
#include "store/row_counts.h"
#include "store/sqlite_values.h"

namespace perdure {
namespace native {

void refuse_integer(std::int64_t value) {
  throw Error(ErrorCode::kInvalid, "The integer " + std::to_string(value) +
                                       " does not fit into the type that was asked for.");
}

void refuse_unsigned(std::uint64_t value) {
  throw Error(ErrorCode::kInvalid, "The integer " + std::to_string(value) +
                                       " does not fit into the 64 signed bits of SQLite's.");
}

void refuse_column_count(int wanted, int found) {
  throw Error(ErrorCode::kInvalid, "The row has " + std::to_string(found) + " columns, and " +
                                       std::to_string(wanted) + " were asked for.");
}

// ---- StatementState

StatementState::StatementState(StorageState& of, store::Statement prepared)
    : statement(std::move(prepared)),
      handle(statement.handle()),
      storage(&of),
      next(of.statements),
      writes(statement.writes()) {
  if (next != nullptr) next->previous = this;
  of.statements = this;
}

StatementState::~StatementState() { close(); }

void StatementState::close() noexcept {
  if (storage == nullptr) return;
  if (previous == nullptr) {
    storage->statements = next;
  } else {
    previous->next = next;
  }
  if (next != nullptr) next->previous = previous;
  storage = nullptr;
  cached = nullptr;
  handle = nullptr;
  columns = 0;
  statement = {};
}

void StatementState::fail(int code) {
  const SqlError error = storage->database->error(code);
  columns = 0;
  sqlite3_reset(handle);
  storage->leave_broken_database();
  throw error;
}

void StatementState::end() {
  columns = 0;
  if (const int code = sqlite3_reset(handle); code != SQLITE_OK) fail(code);
}

void StatementState::end_quietly() noexcept {
  if (columns == 0) return;
  StorageState* const of = storage;
  try {
    end();
  } catch (const SqlError& error) {
    if (writes) of->unseen_failure = error;
  }
}

void StatementState::alter() {
  storage->write([&] { storage->database->alter_as_user(statement); });
}

// ---- StatementCache

StatementState* StatementCache::take(std::string_view sql) {
  const auto found = by_sql_.find(sql);
  if (found == by_sql_.end()) return nullptr;
  CachedStatement& entry = *found->second;
  if (entry.place != entries_.begin()) entries_.splice(entries_.begin(), entries_, entry.place);
  return entry.idle.release();
}

void StatementCache::add(std::string_view sql, StatementState& state) {
  if (by_sql_.contains(sql)) return;  // in use: the new one is for this once
  entries_.emplace_front();
  CachedStatement& entry = entries_.front();
  entry.sql = sql;
  entry.place = entries_.begin();
  by_sql_[entry.sql] = &entry;
  state.cached = &entry;
  bytes_ += sql.size();
  make_room();
}

// Those in use stay.
void StatementCache::make_room() {
  for (auto it = entries_.end(); bytes_ > Sql::kCachedSqlBytesMax && it != entries_.begin();) {
    --it;
    if (it->idle == nullptr) continue;
    bytes_ -= it->sql.size();
    by_sql_.erase(it->sql);
    it = entries_.erase(it);
  }
}

void StatementCache::give_back(StatementState* state) noexcept {
  state->end_quietly();
  if (state->cached == nullptr) {
    delete state;
    return;
  }
  state->cached->idle.reset(state);
}

void StatementCache::clear() noexcept {
  by_sql_.clear();
  entries_.clear();
  bytes_ = 0;
}

namespace {

StatementState& open(StatementState* state) {
  if (state == nullptr) throw Error(ErrorCode::kInvalid, "This statement is empty.");
  if (state->handle == nullptr) {
    throw Error(ErrorCode::kInvalid,
                "This statement has ended with the storage that it belongs to, which was closed or "
                "restored. Prepare it again.");
  }
  return *state;
}

// A state whose parameters may be set.
StatementState& to_bind(StatementState* state) {
  StatementState& s = open(state);
  if (s.columns != 0) s.end();
  return s;
}

void check_bound(StatementState& state, int parameter, int code) {
  if (code == SQLITE_OK) return;
  if (code == SQLITE_RANGE) {
    throw Error(ErrorCode::kInvalid,
                "There is no parameter " + std::to_string(parameter) + ": the statement has " +
                    std::to_string(sqlite3_bind_parameter_count(state.handle)) +
                    ", counted from 1.");
  }
  throw state.storage->database->error(code);
}

const char* name_of(int sqlite_type) {
  switch (sqlite_type) {
    case SQLITE_INTEGER:
      return "INTEGER";
    case SQLITE_FLOAT:
      return "REAL";
    case SQLITE_TEXT:
      return "TEXT";
    case SQLITE_BLOB:
      return "BLOB";
    default:
      return "NULL";
  }
}

[[noreturn]] void refuse_column(const StatementState* state, int column) {
  if (state == nullptr || state->columns == 0)
    throw Error(ErrorCode::kInvalid, "There is no row: step() has not returned true.");
  throw Error(ErrorCode::kInvalid, "There is no column " + std::to_string(column) +
                                       ": the row has " + std::to_string(state->columns) +
                                       ", counted from 0.");
}

// A statement that stands on a row, which has the column.
sqlite3_stmt* at_row(const StatementState* state, int column) {
  if (state == nullptr || column < 0 || column >= state->columns) refuse_column(state, column);
  return state->handle;
}

[[noreturn]] void refuse_type(sqlite3_stmt* handle, int column, const char* wanted) {
  const char* name = sqlite3_column_name(handle, column);
  throw Error(ErrorCode::kInvalid, "The column \"" + std::string(name == nullptr ? "" : name) +
                                       "\" is " + name_of(sqlite3_column_type(handle, column)) +
                                       ", not " + wanted + ".");
}

std::string_view checked_name(const char* name) { return name == nullptr ? "" : name; }

}  // namespace
}  // namespace native

using native::StatementState;

// ---- Row

int Row::size() const { return state_ == nullptr ? 0 : state_->columns; }

ColumnType Row::type(int column) const {
  switch (sqlite3_column_type(native::at_row(state_, column), column)) {
    case SQLITE_INTEGER:
      return ColumnType::kInteger;
    case SQLITE_FLOAT:
      return ColumnType::kReal;
    case SQLITE_TEXT:
      return ColumnType::kText;
    case SQLITE_BLOB:
      return ColumnType::kBlob;
    default:
      return ColumnType::kNull;
  }
}

std::string_view Row::name(int column) const {
  return native::checked_name(sqlite3_column_name(native::at_row(state_, column), column));
}

int Row::index_of(std::string_view name) const {
  const int columns = size();
  for (int i = 0; i < columns; ++i)
    if (native::checked_name(sqlite3_column_name(state_->handle, i)) == name) return i;
  throw Error(ErrorCode::kInvalid, "The row has no column \"" + std::string(name) + "\".");
}

std::int64_t Row::integer(int column) const {
  sqlite3_stmt* handle = native::at_row(state_, column);
  if (sqlite3_column_type(handle, column) != SQLITE_INTEGER)
    native::refuse_type(handle, column, "INTEGER");
  return sqlite3_column_int64(handle, column);
}

double Row::real(int column) const {
  sqlite3_stmt* handle = native::at_row(state_, column);
  const int type = sqlite3_column_type(handle, column);
  if (type != SQLITE_FLOAT && type != SQLITE_INTEGER) native::refuse_type(handle, column, "REAL");
  return sqlite3_column_double(handle, column);
}

std::string_view Row::text(int column) const {
  sqlite3_stmt* handle = native::at_row(state_, column);
  if (sqlite3_column_type(handle, column) != SQLITE_TEXT)
    native::refuse_type(handle, column, "TEXT");
  return store::column_bytes(handle, column);
}

std::span<const std::byte> Row::blob(int column) const {
  sqlite3_stmt* handle = native::at_row(state_, column);
  if (sqlite3_column_type(handle, column) != SQLITE_BLOB)
    native::refuse_type(handle, column, "BLOB");
  return std::as_bytes(std::span(store::column_bytes(handle, column)));
}

Value Row::value(int column) const {
  switch (type(column)) {
    case ColumnType::kInteger:
      return integer(column);
    case ColumnType::kReal:
      return real(column);
    case ColumnType::kText:
      return std::string(text(column));
    case ColumnType::kBlob:
      return get<Blob>(column);
    case ColumnType::kNull:
      break;
  }
  return std::monostate();
}

// ---- Statement

Statement::~Statement() {
  if (state_ != nullptr) native::StatementCache::give_back(state_);
}

int Statement::parameter_count() const {
  return sqlite3_bind_parameter_count(native::open(state_).handle);
}

bool Statement::writes() const { return native::open(state_).writes; }

void Statement::bind_null(int parameter) {
  StatementState& state = native::to_bind(state_);
  native::check_bound(state, parameter, sqlite3_bind_null(state.handle, parameter));
}

void Statement::bind_integer(int parameter, std::int64_t value) {
  StatementState& state = native::to_bind(state_);
  native::check_bound(state, parameter, sqlite3_bind_int64(state.handle, parameter, value));
}

void Statement::bind_real(int parameter, double value) {
  StatementState& state = native::to_bind(state_);
  native::check_bound(state, parameter, sqlite3_bind_double(state.handle, parameter, value));
}

void Statement::bind_text(int parameter, std::string_view value) {
  StatementState& state = native::to_bind(state_);
  const char* data = value.data() == nullptr ? "" : value.data();  // a null one would be NULL
  native::check_bound(state, parameter,
                      sqlite3_bind_text64(state.handle, parameter, data, value.size(),
                                          SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::bind_blob(int parameter, std::span<const std::byte> value) {
  StatementState& state = native::to_bind(state_);
  const int code = value.empty() ? sqlite3_bind_zeroblob(state.handle, parameter, 0)
                                 : sqlite3_bind_blob64(state.handle, parameter, value.data(),
                                                       value.size(), SQLITE_TRANSIENT);
  native::check_bound(state, parameter, code);
}

bool Statement::step() {
  StatementState& state = native::open(state_);
  if (state.writes) state.storage->check_writable();
  if (state.statement.alters_as_user()) {
    state.alter();
    return false;
  }
  const int code = sqlite3_step(state.handle);
  if (code == SQLITE_ROW) {
    state.columns = sqlite3_data_count(state.handle);
    return true;
  }
  if (code != SQLITE_DONE) state.fail(code);
  state.columns = 0;
  sqlite3_reset(state.handle);
  return false;
}

void Statement::reset() { native::to_bind(state_); }

void Statement::check_count(int values) const {
  if (sqlite3_bind_parameter_count(native::open(state_).handle) != values)
    throw SqlError(SQLITE_ERROR, "Wrong number of parameter bindings for SQL query.");
}

std::int64_t Statement::finish() {
  while (step()) {
  }
  if (!state_->writes) return 0;
  return sqlite3_changes64(state_->storage->database->handle());
}

int Statement::column_count() const { return sqlite3_column_count(native::open(state_).handle); }

std::string_view Statement::column_name(int column) const {
  sqlite3_stmt* handle = native::open(state_).handle;
  if (column < 0 || column >= sqlite3_column_count(handle)) {
    throw Error(ErrorCode::kInvalid,
                "There is no column " + std::to_string(column) + ": the statement has " +
                    std::to_string(sqlite3_column_count(handle)) + ", counted from 0.");
  }
  return native::checked_name(sqlite3_column_name(handle, column));
}

// ---- Cursor

Cursor::~Cursor() = default;

bool Cursor::next() {
  if (std::exchange(at_first_, false)) return true;
  if (ended_) return false;
  ended_ = !statement_.step();
  return !ended_;
}

void Cursor::require_row() {
  if (next()) return;
  throw SqlError(SQLITE_ERROR, "Expected exactly one result from SQL query, but got no results.");
}

void Cursor::require_end() {
  if (!next()) return;
  throw SqlError(SQLITE_ERROR,
                 "Expected exactly one result from SQL query, but got multiple results.");
}

std::uint64_t Cursor::rows_read() const {
  return store::rows_read(native::open(statement_.state_).handle);
}

std::uint64_t Cursor::rows_written() const {
  return store::rows_written(native::open(statement_.state_).handle);
}

// ---- Sql

namespace {

constexpr char kBlanks[] = " \t\n\f\r";
constexpr char kNoStatement[] = "SQL code did not contain a statement.";

store::Statement prepare_first(store::Database& database, std::string_view sql, std::size_t* tail) {
  try {
    return database.prepare(sql, store::Access::kUser, tail);
  } catch (const SqlError& error) {
    // The engine's text speaks of JavaScript.
    if (std::string_view(error.what()) != store::Authorizer::kTransactionMessage) throw;
    throw SqlError(
        error.sqlite_code(),
        "Transactions are not begun or ended by SQL statements: use Storage::begin() "
        "or Storage::transaction_sync(). They are rolled back when an exception passes.");
  }
}

// What comes after the first statement; empty when there is only that.
std::string_view rest_of(std::string_view sql, std::size_t tail) {
  sql.remove_prefix(tail);
  const std::size_t next = sql.find_first_not_of(kBlanks);
  return next == std::string_view::npos ? std::string_view() : sql.substr(next);
}

}  // namespace

Statement Sql::prepare(std::string_view query) {
  store::Database& database = storage_.open_database();
  std::size_t tail = 0;
  store::Statement statement = prepare_first(database, query, &tail);
  if (!statement) throw SqlError(SQLITE_ERROR, kNoStatement);
  if (!rest_of(query, tail).empty()) {
    throw SqlError(
        SQLITE_ERROR,
        "There is more than one statement in the SQL code: prepare them one by one, or use "
        "exec().");
  }
  return Statement(new StatementState(storage_, std::move(statement)));
}

Statement Sql::take(std::string_view query) {
  store::Database& database = storage_.open_database();
  if (StatementState* cached = storage_.cache.take(query)) return Statement(cached);
  bool single = true;
  for (std::string_view rest = query;;) {
    std::size_t tail = 0;
    store::Statement first = prepare_first(database, rest, &tail);
    if (!first) throw SqlError(SQLITE_ERROR, kNoStatement);
    rest = rest_of(rest, tail);
    Statement statement(new StatementState(storage_, std::move(first)));
    if (rest.empty()) {
      if (single) storage_.cache.add(query, *statement.state_);
      return statement;
    }
    // Before the next one is prepared, which may need what this one makes.
    single = false;
    if (statement.parameter_count() != 0) {
      throw SqlError(SQLITE_ERROR,
                     "When executing multiple SQL statements in a single call, only the last "
                     "statement can have parameters.");
    }
    statement.finish();
  }
}

void Sql::run(Cursor& cursor) {
  store::clear_row_counts(cursor.statement_.state_->handle);
  cursor.at_first_ = cursor.statement_.step();
  cursor.ended_ = !cursor.at_first_;
}

std::uint64_t Sql::database_size() { return storage_.open_database().bytes_in_use(); }

}  // namespace perdure
