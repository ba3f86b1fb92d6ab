// SQL from JavaScript: prepare, run in batches, finalize. `run` is the hottest function of the
// addon; it talks through the exchange buffer (exchange.h).
#include <algorithm>
#include <cstring>
#include <utility>

#include <sqlite3.h>

#include "node/shard_binding.h"
#include "store/row_counts.h"

namespace perdure::node {
namespace {

// A longer text is a string of its own, so that keeping one cell of a batch keeps little else
// alive.
constexpr int kBatchTextMax = 256;
// A batch ends with the row in which its long texts and its blobs reach this size.
constexpr std::size_t kBatchExtraBytesMax = std::size_t{1} << 20;

void bind_extra(napi_env env, sqlite3_stmt* statement, int index, napi_value value,
                std::string& scratch) {
  napi_valuetype type = napi_undefined;
  check(env, napi_typeof(env, value, &type));
  if (type == napi_string) {
    scratch.clear();
    append_utf8(env, value, scratch);
    sqlite3_bind_text64(statement, index, scratch.data(), scratch.size(), SQLITE_TRANSIENT,
                        SQLITE_UTF8);
    return;
  }
  const auto bytes = bytes_of(env, value);
  if (bytes.empty()) {
    sqlite3_bind_zeroblob(statement, index, 0);
  } else {
    sqlite3_bind_blob64(statement, index, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
  }
}

// Binds what JavaScript left in the exchange buffer. Throws SqlError when SQLite refuses a value.
void bind(napi_env env, ShardHost& host, Prepared& prepared, int count, napi_value extras) {
  Exchange& exchange = *host.exchange;
  sqlite3_stmt* statement = prepared.statement.handle();
  std::size_t text_bytes = 0;
  for (int i = 0; i < count; ++i)
    if (exchange.kinds[i] == static_cast<std::uint8_t>(CellKind::kText))
      text_bytes += static_cast<std::size_t>(exchange.lengths[i]);
  // The statement may run on after the buffer is used again, so it gets a copy of its texts.
  prepared.bound_text.assign(exchange.text, std::min(text_bytes, Exchange::kTextBytesMax));
  const char* text = prepared.bound_text.data();
  std::uint32_t extra = 0;
  for (int i = 0; i < count; ++i) {
    int code = SQLITE_OK;
    switch (static_cast<CellKind>(exchange.kinds[i])) {
      case CellKind::kNull:
        code = sqlite3_bind_null(statement, i + 1);
        break;
      case CellKind::kNumber:
        code = sqlite3_bind_double(statement, i + 1, exchange.numbers[i]);
        break;
      case CellKind::kText:
        code = sqlite3_bind_text(statement, i + 1, text, exchange.lengths[i], SQLITE_STATIC);
        text += exchange.lengths[i];
        break;
      case CellKind::kExtra: {
        napi_value value = nullptr;
        check(env, napi_get_element(env, extras, extra++, &value));
        bind_extra(env, statement, i + 1, value, host.value_buffer);
        code = sqlite3_errcode(sqlite3_db_handle(statement)) == SQLITE_TOOBIG ? SQLITE_TOOBIG
                                                                              : SQLITE_OK;
        break;
      }
    }
    if (code != SQLITE_OK) throw host.shard.database(prepared.slot).error(code);
  }
}

// A batch of rows on its way into the exchange buffer.
class Batch {
 public:
  Batch(napi_env env, ShardHost& host) : env_(env), exchange_(*host.exchange), text_(host.text) {
    text_.clear();
  }

  [[nodiscard]] bool room_for(int columns) const {
    return cells_ + static_cast<std::size_t>(columns) <= Exchange::kCellsMax &&
           text_.size() < Exchange::kTextBytesMax && extra_bytes_ < kBatchExtraBytesMax;
  }

  void add_row(sqlite3_stmt* statement, int columns) {
    for (int i = 0; i < columns; ++i) add_cell(statement, i);
  }

  // About what the batch takes in JavaScript.
  [[nodiscard]] std::size_t bytes() const {
    return cells_ * sizeof(double) + text_.size() + extra_bytes_;
  }

  // undefined, the texts in one string, or [texts, extra values …]
  napi_value finish() {
    exchange_.header[kGotExtras] = extras_.empty() ? 0 : 1;
    if (extras_.empty()) return text_.empty() ? nullptr : make_latin1(env_, text_);
    napi_value out = nullptr;
    check(env_, napi_create_array_with_length(env_, extras_.size() + 1, &out));
    check(env_, napi_set_element(env_, out, 0, make_latin1(env_, text_)));
    for (std::uint32_t i = 0; i < extras_.size(); ++i)
      check(env_, napi_set_element(env_, out, i + 1, extras_[i]));
    return out;
  }

 private:
  void add_cell(sqlite3_stmt* statement, int column) {
    CellKind kind = CellKind::kNull;
    switch (sqlite3_column_type(statement, column)) {
      case SQLITE_INTEGER:
        exchange_.numbers[cells_] = static_cast<double>(sqlite3_column_int64(statement, column));
        kind = CellKind::kNumber;
        break;
      case SQLITE_FLOAT:
        exchange_.numbers[cells_] = sqlite3_column_double(statement, column);
        kind = CellKind::kNumber;
        break;
      case SQLITE_TEXT: {
        const char* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
        const int size = sqlite3_column_bytes(statement, column);
        if (size <= kBatchTextMax && is_ascii({text, static_cast<std::size_t>(size)})) {
          text_.append(text, static_cast<std::size_t>(size));
          exchange_.lengths[cells_] = size;
          kind = CellKind::kText;
        } else {
          add_extra(text_value(env_, text, static_cast<std::size_t>(size)), size);
          kind = CellKind::kExtra;
        }
        break;
      }
      case SQLITE_BLOB: {
        const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement, column));
        const int size = sqlite3_column_bytes(statement, column);
        add_extra(make_array_buffer(env_, {data, static_cast<std::size_t>(size)}), size);
        kind = CellKind::kExtra;
        break;
      }
      default:
        break;
    }
    exchange_.kinds[cells_++] = static_cast<std::uint8_t>(kind);
  }

  void add_extra(napi_value value, int size) {
    extras_.push_back(value);
    extra_bytes_ += static_cast<std::size_t>(size);
  }

  napi_env env_;
  Exchange& exchange_;
  std::string& text_;
  std::size_t cells_ = 0;
  std::size_t extra_bytes_ = 0;
  std::vector<napi_value> extras_;
};

// A statement failed: what SQLite rolled back by itself ended the implicit transaction as well.
napi_value failed(napi_env env, ShardHost& host, Prepared& prepared, const store::SqlError& error) {
  sqlite3_reset(prepared.statement.handle());
  host.exchange->header[kStatus] = kFailed;
  return make_string(env, error.what());
}

// What a write returns is held at once (js/src/runtime/sql.ts), so there is an end to it. It has
// been written by then, and nothing less than its transaction can be undone.
constexpr std::uint64_t kReturnedBytesMax = std::uint64_t{256} << 20;

void count_returned(store::Database& database, Prepared& prepared, std::size_t bytes) {
  prepared.returned_bytes += bytes;
  if (prepared.returned_bytes <= kReturnedBytesMax) return;
  sqlite3_reset(prepared.statement.handle());
  database.rollback();
  throw store::SqlError(
      SQLITE_TOOBIG, "The rows that a single statement returned with RETURNING are larger than " +
                         std::to_string(kReturnedBytesMax >> 20) +
                         " MiB; its transaction was rolled back. Write fewer rows at a time: "
                         "SQLITE_TOOBIG");
}

// Starts a statement with the parameters that JavaScript left. Throws SqlError.
void start(napi_env env, ShardHost& host, Prepared& prepared, int parameters, napi_value extras) {
  bind(env, host, prepared, parameters, extras);
  prepared.returned_bytes = 0;
  prepared.failure.reset();
  store::clear_row_counts(prepared.statement.handle());
  if (!prepared.statement.writes()) return;
  if (host.shard.begin_write(prepared.slot)) host.exchange->header[kBegan] = 1;
}

// A step failed after `rows` rows of the batch. workerd looks one row ahead: the failure takes the
// place of the last of them, and comes when it is asked for.
void fail(ShardHost& host, Prepared& prepared, int code, std::int32_t rows) {
  const store::SqlError error = host.shard.database(prepared.slot).error(code);
  if (rows == 0 || prepared.statement.writes()) throw error;
  sqlite3_reset(prepared.statement.handle());
  prepared.failure = error;
}

void tell_row_counts(Exchange& exchange, sqlite3_stmt* statement) {
  exchange.header[kRowsRead] = static_cast<std::int32_t>(store::rows_read(statement));
  exchange.header[kRowsWritten] = static_cast<std::int32_t>(store::rows_written(statement));
}

// Takes up to `rows_max` rows, as many as there is room for. Throws SqlError.
napi_value run_batch(napi_env env, ShardHost& host, Prepared& prepared, std::int32_t rows_max) {
  Exchange& exchange = *host.exchange;
  sqlite3_stmt* statement = prepared.statement.handle();
  int columns = sqlite3_column_count(statement);
  Batch batch(env, host);
  std::int32_t rows = 0;
  while (rows < rows_max && batch.room_for(columns)) {
    const int code = sqlite3_step(statement);
    if (rows == 0) {  // the first step may prepare the statement anew
      columns = sqlite3_column_count(statement);
      exchange.header[kReprepared] = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_REPREPARE, 0);
    }
    if (code == SQLITE_ROW) {
      batch.add_row(statement, columns);
      exchange.rows_read[rows++] = store::rows_read(statement);
      continue;
    }
    if (code != SQLITE_DONE) {
      fail(host, prepared, code, rows);
      rows = std::max(rows - 1, 0);
      break;
    }
    sqlite3_reset(statement);
    exchange.header[kStatus] = kDone;
    break;
  }
  exchange.header[kRows] = rows;
  tell_row_counts(exchange, statement);
  if (rows > 0 && prepared.statement.writes())
    count_returned(host.shard.database(prepared.slot), prepared, batch.bytes());
  return batch.finish();
}

// run(extras?): header in: statement, parameters (-1: go on with an open cursor), rows at most.
// Out: rows, status, whether it began the implicit transaction. -> texts and extra values, or the
// message of an error.
napi_value run(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  ShardHost& host = *call.self;
  Exchange& exchange = *host.exchange;
  Prepared& prepared = host.statement(static_cast<std::uint32_t>(exchange.header[kStatement]));
  const int parameters = exchange.header[kParameters];
  const std::int32_t rows_max =
      std::min(exchange.header[kRowsMax], static_cast<std::int32_t>(Exchange::kRowsMax));
  exchange.header[kBegan] = 0;
  exchange.header[kRows] = 0;
  exchange.header[kStatus] = kMore;
  try {
    if (parameters >= 0) start(env, host, prepared, parameters, call.args[0]);
    if (prepared.failure) throw *std::exchange(prepared.failure, std::nullopt);
    if (prepared.statement.alters_as_user()) {
      host.shard.database(prepared.slot).alter_as_user(prepared.statement);
      exchange.header[kStatus] = kDone;
      exchange.header[kReprepared] =
          sqlite3_stmt_status(prepared.statement.handle(), SQLITE_STMTSTATUS_REPREPARE, 0);
      tell_row_counts(exchange, prepared.statement.handle());
      return nullptr;
    }
    return run_batch(env, host, prepared, rows_max);
  } catch (const store::SqlError& error) {
    return failed(env, host, prepared, error);
  }
}

// Runs a statement whose rows nobody wants: what it does, it has done when it comes to the first.
void run_once(ShardHost& host, runtime::Slot slot, store::Statement& statement) {
  store::Database& database = host.shard.database(slot);
  if (statement.writes() && host.shard.begin_write(slot)) host.exchange->header[kBegan] = 1;
  if (statement.alters_as_user()) {
    database.alter_as_user(statement);
    return;
  }
  const int code = sqlite3_step(statement.handle());
  if (code != SQLITE_DONE && code != SQLITE_ROW) throw database.error(code);
}

// Runs a statement that is not the last of its query.
void run_before(ShardHost& host, runtime::Slot slot, store::Statement& statement) {
  if (sqlite3_bind_parameter_count(statement.handle()) != 0)
    throw Error(ErrorCode::kSql,
                "When executing multiple SQL statements in a single call, only the last statement "
                "can have parameters.");
  run_once(host, slot, statement);
}

void append_names(napi_env env, sqlite3_stmt* statement, napi_value out, std::uint32_t at) {
  for (int i = 0; i < sqlite3_column_count(statement); ++i) {
    const char* name = sqlite3_column_name(statement, i);
    check(env, napi_set_element(env, out, at++, make_string(env, name == nullptr ? "" : name)));
  }
}

// columnNames(statement) -> names, which change when SQLite prepares the statement anew
napi_value column_names(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  napi_value out = nullptr;
  check(env, napi_create_array(env, &out));
  append_names(env, call.self->statement(call.uint(0)).statement.handle(), out, 0);
  return out;
}

// The header does not yet say that the call has begun the implicit transaction.
ShardHost& not_begun(ShardHost& host) {
  host.exchange->header[kBegan] = 0;
  return host;
}

// The call of a function that takes the number of an object and SQL, and may begin the implicit
// transaction.
struct SqlCall : Call<ShardHost, 2> {
  using Call::Call;

  ShardHost& host = not_begun(*self);  // before what may throw
  const runtime::Slot slot = uint(0);
  const std::string sql = utf8(1);
  store::Database& database = host.shard.database(slot);
};

// prepare(slot, sql): runs all statements but the last and prepares that one.
// -> [statement number, parameter count, writes, is the only one, column names …]
// header out: whether it began the implicit transaction (also when it throws).
napi_value prepare(napi_env env, napi_callback_info info) {
  SqlCall call(env, info);
  std::string_view rest = call.sql;
  bool single = true;
  store::Statement statement;
  for (;;) {
    std::size_t tail = 0;
    statement = call.database.prepare(rest, store::Access::kUser, &tail);
    if (!statement) throw Error(ErrorCode::kSql, "SQL code did not contain a statement.");
    rest = rest.substr(tail);
    const std::size_t next = rest.find_first_not_of(" \t\n\f\r");
    if (next == std::string_view::npos) break;
    rest = rest.substr(next);
    // Before the next one is prepared, which may need what this one creates.
    single = false;
    run_before(call.host, call.slot, statement);
  }
  sqlite3_stmt* handle = statement.handle();
  const int columns = sqlite3_column_count(handle);
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, static_cast<std::size_t>(columns) + 4, &out));
  const int parameters = sqlite3_bind_parameter_count(handle);
  const bool writes = statement.writes();
  append_names(env, handle, out, 4);
  const std::uint32_t number = call.host.add_statement(call.slot, std::move(statement));
  check(env, napi_set_element(env, out, 0, make_number(env, number)));
  check(env, napi_set_element(env, out, 1, make_number(env, parameters)));
  check(env, napi_set_element(env, out, 2, make_bool(env, writes)));
  check(env, napi_set_element(env, out, 3, make_bool(env, single)));
  return out;
}

bool is_complete(std::string_view sql) { return sqlite3_complete(std::string(sql).c_str()) != 0; }

// How many bytes of `script` are its first complete statement, up to and with its `;`. 0: none.
std::size_t first_complete(std::string_view script) {
  for (std::size_t at = script.find(';'); at != std::string_view::npos;
       at = script.find(';', at + 1)) {
    if (is_complete(script.substr(0, at + 1))) return at + 1;
  }
  return 0;
}

// Whether SQLite, which took the first `bytes` of `script` for a statement, is right: it passes
// over empty statements in front, and takes what the end of the script cut off.
bool is_first_complete(std::string_view script, std::size_t bytes) {
  const std::size_t first = script.find(';') + 1;
  return (first == bytes || !is_complete(script.substr(0, first))) &&
         is_complete(script.substr(0, bytes));
}

// Takes the first complete statement off `script`, prepared; empty when there is none.
store::Statement take_complete(store::Database& database, std::string_view& script) {
  if (script.find(';') == std::string_view::npos) return {};
  // SQLite finds the end of a statement in one pass, but copies what it is given.
  const int bytes_max = sqlite3_limit(database.handle(), SQLITE_LIMIT_SQL_LENGTH, -1);
  std::size_t bytes = 0;
  store::Statement statement;
  try {
    statement = database.prepare(script.substr(0, static_cast<std::size_t>(bytes_max)),
                                 store::Access::kUser, &bytes);
  } catch (const store::SqlError&) {
    // Is it wrong, or not all there?
  }
  if (!statement || !is_first_complete(script, bytes)) {
    bytes = first_complete(script);
    if (bytes == 0) return {};
    statement = database.prepare(script.substr(0, bytes), store::Access::kUser);
    if (!statement) throw Error(ErrorCode::kSql, "SQL code did not contain a statement.");
  }
  script.remove_prefix(bytes);
  return statement;
}

// ingest(slot, script): runs its complete statements. -> [statements, rows read, rows written,
// rest] header out: whether it began the implicit transaction (also when it throws).
napi_value ingest(napi_env env, napi_callback_info info) {
  SqlCall call(env, info);
  std::string_view rest = call.sql;
  double statements = 0;
  double read = 0;
  double written = 0;
  for (;;) {
    store::Statement statement = take_complete(call.database, rest);
    if (!statement) break;
    if (sqlite3_bind_parameter_count(statement.handle()) != 0)
      throw Error(ErrorCode::kSql, "Wrong number of parameter bindings for SQL query.");
    run_once(call.host, call.slot, statement);
    ++statements;
    read += store::rows_read(statement.handle());
    written += store::rows_written(statement.handle());
  }
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, 4, &out));
  check(env, napi_set_element(env, out, 0, make_number(env, statements)));
  check(env, napi_set_element(env, out, 1, make_number(env, read)));
  check(env, napi_set_element(env, out, 2, make_number(env, written)));
  check(env, napi_set_element(env, out, 3, make_string(env, rest)));
  return out;
}

// reset(statement): an open cursor is given up.
napi_value reset_statement(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  Prepared& prepared = call.self->statement(call.uint(0));
  sqlite3_reset(prepared.statement.handle());
  prepared.failure.reset();
  return nullptr;
}

napi_value finalize(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->remove_statement(call.uint(0));
  return nullptr;
}

// A transaction may be rolled back by what fails in it (a full disk, ON CONFLICT ROLLBACK, more
// than a transaction may hold): -> true when the one that JavaScript believes open is gone.
napi_value transaction_lost(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  const runtime::ShardObject& object = call.self->shard.at(call.uint(0));
  const bool lost = object.buffer != nullptr
                        ? object.buffer->lost()
                        : object.database != nullptr && !object.database->in_transaction();
  return make_bool(env, object.core.transaction_open() && lost);
}

}  // namespace

void define_sql(napi_env env, napi_value shard, ShardHost* host) {
  check(env, napi_set_named_property(env, shard, "countsRows", make_bool(env, store::kCountsRows)));
  method<prepare>(env, shard, "prepare", host);
  method<ingest>(env, shard, "ingest", host);
  method<run>(env, shard, "run", host);
  method<column_names>(env, shard, "columnNames", host);
  method<reset_statement>(env, shard, "resetStatement", host);
  method<finalize>(env, shard, "finalize", host);
  method<transaction_lost>(env, shard, "transactionLost", host);
}

}  // namespace perdure::node
