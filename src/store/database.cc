#include "store/database.h"

#include <algorithm>
#include <utility>

#include "sqlite3.h"
#include "store/authorizer.h"
#include "store/database_file.h"
#include "store/sql_error.h"
#include "store/store_core.h"
#include "store/vfs.h"

namespace perdure::store {
namespace {

struct Limit {
  int id;
  int value;
};

// As Cloudflare documents them; the rest as workerd sets them.
constexpr Limit kLimits[] = {
    {SQLITE_LIMIT_LENGTH, 2 << 20},
    {SQLITE_LIMIT_SQL_LENGTH, 100'000},
    {SQLITE_LIMIT_COLUMN, 100},
    {SQLITE_LIMIT_VARIABLE_NUMBER, 100},
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
    {SQLITE_LIMIT_FUNCTION_ARG, 127},
    {SQLITE_LIMIT_COMPOUND_SELECT, 5},
    {SQLITE_LIMIT_EXPR_DEPTH, 100},
    {SQLITE_LIMIT_TRIGGER_DEPTH, 10},
    {SQLITE_LIMIT_ATTACHED, 0},
    {SQLITE_LIMIT_WORKER_THREADS, 0},
};

// What cmake/Sqlite.cmake compiles in; a system's SQLite has to be told at each open.
constexpr char kSettings[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY;"
    "PRAGMA foreign_keys=ON; PRAGMA max_page_count=2621440";

bool has_compiled_settings() {
  static const bool has = sqlite3_compileoption_used("DEFAULT_LOCKING_MODE=1") != 0 &&
                          sqlite3_compileoption_used("DEFAULT_SYNCHRONOUS=0") != 0 &&
                          sqlite3_compileoption_used("DEFAULT_FOREIGN_KEYS") != 0 &&
                          sqlite3_compileoption_used("TEMP_STORE=2") != 0 &&
                          sqlite3_compileoption_used("MAX_PAGE_COUNT=2621440") != 0;
  return has;
}

}  // namespace

// ---- Statement

Statement::Statement(sqlite3_stmt* handle, bool alters_as_user)
    : handle_(handle),
      writes_(handle != nullptr && sqlite3_stmt_readonly(handle) == 0),
      alters_as_user_(alters_as_user) {}

Statement::Statement(Statement&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      writes_(other.writes_),
      alters_as_user_(other.alters_as_user_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(writes_, other.writes_);
  std::swap(alters_as_user_, other.alters_as_user_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(handle_); }

// ---- Database

struct Database::State {
  Authorizer authorizer;
  OpenFile* open = nullptr;  // SQLite owns it
  Statement begin;
  Statement commit;
  Statement rollback;
  Statement page_count;

  // Lifts the authorizer for the engine's own SQL.
  class EngineAccess {
   public:
    explicit EngineAccess(Authorizer& authorizer)
        : authorizer_(authorizer), old_(authorizer.access()) {
      authorizer_.set_access(Access::kEngine);
    }
    ~EngineAccess() { authorizer_.set_access(old_); }
    EngineAccess(const EngineAccess&) = delete;
    EngineAccess& operator=(const EngineAccess&) = delete;

   private:
    Authorizer& authorizer_;
    Access old_;
  };
};

Database::Database(Store&, std::shared_ptr<DatabaseFile> file)
    : Database(std::move(file), nullptr) {}

Database::Database(Store&, std::shared_ptr<DatabaseFile> file, log::Undo undo)
    : Database(std::move(file), &undo) {
  execute("PRAGMA query_only = ON");
}

Database::Database(std::shared_ptr<DatabaseFile> file, log::Undo* undo)
    : file_(std::move(file)), state_(std::make_unique<State>()) {
  // Throws, with more to say than SQLite would, when the file is damaged.
  static_cast<void>(file_->page_size());
  const std::string name = std::to_string(file_->number());
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(name.c_str(), &handle_, flags, file_->core().vfs_name());
  if (code != SQLITE_OK) {
    const SqlError error = make_sql_error(handle_, code);
    sqlite3_close_v2(handle_);
    throw error;
  }
  sqlite3_file* open = nullptr;
  sqlite3_file_control(handle_, "main", SQLITE_FCNTL_FILE_POINTER, &open);
  state_->open = open_file_of(open);
  // Before SQLite reads anything.
  try {
    if (undo != nullptr) state_->open->show(std::move(*undo));
  } catch (...) {
    sqlite3_close_v2(handle_);
    throw;
  }
  sqlite3_rollback_hook(
      handle_, [](void* file_of_database) { static_cast<OpenFile*>(file_of_database)->rollback(); },
      state_->open);
  sqlite3_commit_hook(
      handle_,
      [](void* file_of_database) {
        static_cast<OpenFile*>(file_of_database)->start_commit();
        return 0;
      },
      state_->open);
  state_->authorizer.install(handle_);
  if (!has_compiled_settings()) execute(kSettings);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  for (const Limit& limit : kLimits) sqlite3_limit(handle_, limit.id, limit.value);
}

Database::~Database() {
  state_->begin = {};
  state_->commit = {};
  state_->rollback = {};
  state_->page_count = {};
  sqlite3_close_v2(handle_);
}

Statement Database::prepare(std::string_view sql, Access access, std::size_t* tail) {
  State& state = *state_;
  state.authorizer.reset();
  state.authorizer.set_access(access);
  sqlite3_stmt* prepared = nullptr;
  const char* rest = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &prepared, &rest);
  state.authorizer.set_access(Access::kUser);
  if (code != SQLITE_OK) {
    if (state.authorizer.refused_transaction()) {
      throw SqlError(SQLITE_AUTH, Authorizer::kTransactionMessage);
    }
    throw error(code);
  }
  if (tail != nullptr) *tail = static_cast<std::size_t>(rest - sql.data());
  const bool alters = access == Access::kUser && state.authorizer.alters_table();
  return Statement(prepared, alters && sqlite3_stmt_isexplain(prepared) == 0);
}

void Database::execute(const char* sql) {
  const State::EngineAccess engine(state_->authorizer);
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw error(code);
}

int Database::step(Statement& statement) {
  const State::EngineAccess engine(state_->authorizer);
  return sqlite3_step(statement.handle());
}

std::int64_t Database::count_reserved_names() {
  // Not LIKE, which `PRAGMA case_sensitive_like` changes.
  Statement count =
      prepare("SELECT count(*) FROM sqlite_schema WHERE substr(name, 1, 4) = '_cf_' COLLATE NOCASE",
              Access::kEngine);
  const int code = step(count);
  if (code != SQLITE_ROW) throw error(code);
  return sqlite3_column_int64(count.handle(), 0);
}

void Database::alter_as_user(Statement& statement) {
  const std::int64_t before = count_reserved_names();
  execute("SAVEPOINT _cf_alter");
  sqlite3_step(statement.handle());
  if (const int code = sqlite3_reset(statement.handle()); code != SQLITE_OK) {
    const SqlError failure = error(code);
    if (in_transaction()) execute("RELEASE _cf_alter");
    throw failure;
  }
  const bool allowed = count_reserved_names() == before;
  execute(allowed ? "RELEASE _cf_alter" : "ROLLBACK TO _cf_alter; RELEASE _cf_alter");
  if (!allowed) throw SqlError(SQLITE_AUTH, "not authorized: SQLITE_AUTH");
}

void Database::run(Statement& statement, const char* sql) {
  if (!statement) statement = prepare(sql, Access::kEngine);
  step(statement);
  const int code = sqlite3_reset(statement.handle());
  if (code != SQLITE_OK) throw error(code);
}

void Database::begin() {
  if (in_transaction()) return;
  state_->open->clear_error();
  run(state_->begin, "BEGIN");
}

Lsn Database::commit() {
  if (in_transaction()) {
    try {
      run(state_->commit, "COMMIT");
    } catch (...) {
      rollback();
      throw;
    }
  }
  return last_lsn();
}

Lsn Database::commit(Companion& companion) {
  OpenFile& open = *state_->open;
  Lsn other_lsn = 0;
  try {
    open.file().admit();
    Database& other = companion.stage();
    open.set_admitted(true);
    open.set_companion(other.state_->open);
    commit();
    if (other.staged()) other.publish_staged();  // nothing had changed here
    other_lsn = other.last_lsn();
  } catch (...) {
    open.set_companion(nullptr);
    open.set_admitted(false);
    rollback();
    throw;
  }
  open.set_companion(nullptr);
  open.set_admitted(false);
  return std::max(last_lsn(), other_lsn);
}

void Database::stage_commit() {
  OpenFile& open = *state_->open;
  open.set_staging(true);
  try {
    commit();
  } catch (...) {
    open.set_staging(false);
    throw;
  }
  open.set_staging(false);
}

bool Database::staged() const noexcept { return state_->open->staged(); }

Lsn Database::publish_staged() {
  state_->open->publish_staged();
  return last_lsn();
}

void Database::abandon_staged() noexcept { state_->open->abandon_staged(); }

Lsn Database::restore(std::uint32_t flags, Companion& companion) {
  OpenFile& open = *state_->open;
  open.file().admit();
  Database& other = companion.stage();
  open.publish_shown(flags, *other.state_->open);
  return std::max(last_lsn(), other.last_lsn());
}

void Database::rollback() {
  if (in_transaction()) run(state_->rollback, "ROLLBACK");
}

bool Database::in_transaction() const noexcept { return sqlite3_get_autocommit(handle_) == 0; }

Lsn Database::last_lsn() const noexcept { return file_->head().last_lsn; }

bool Database::broken() const noexcept { return state_->open->broken(); }

SqlError Database::error(int code) const {
  // What the VFS said holds for what fails because of it, too: the end of the transaction.
  const int base = code & 0xff;
  const bool is_of_file = base == SQLITE_IOERR || base == SQLITE_CORRUPT || base == SQLITE_FULL;
  return make_sql_error(handle_, code, is_of_file ? state_->open->last_error() : "");
}

std::uint64_t Database::bytes_in_use() {
  // Both counts change with the open transaction, so SQLite has to be asked.
  if (!state_->page_count) {
    state_->page_count = prepare(
        "SELECT page_count - freelist_count FROM pragma_page_count, "
        "pragma_freelist_count",
        Access::kEngine);
  }
  sqlite3_stmt* statement = state_->page_count.handle();
  const int code = step(state_->page_count);
  // The first page is there even before it is written.
  const std::int64_t pages =
      std::max<std::int64_t>(code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0, 1);
  sqlite3_reset(statement);
  if (code != SQLITE_ROW) throw error(code);
  return static_cast<std::uint64_t>(pages) * file_->page_size();
}

std::uint64_t Database::memory_bytes() const {
  std::uint64_t total = 0;
  for (const int what :
       {SQLITE_DBSTATUS_CACHE_USED, SQLITE_DBSTATUS_SCHEMA_USED, SQLITE_DBSTATUS_STMT_USED}) {
    int current = 0;
    int highest = 0;
    sqlite3_db_status(handle_, what, &current, &highest, 0);
    total += static_cast<std::uint64_t>(current);
  }
  return total;
}

}  // namespace perdure::store
