#include "store/view_database.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <iterator>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sqlite3.h"
#include "store/sql_error.h"
#include "store/temporary_file.h"

namespace perdure::store {

// SQLite's way to the view: a VFS of its own, whose one file it is.
struct ViewDatabase::Files {
  explicit Files(std::shared_ptr<ReadView> view_of_database);
  ~Files() { sqlite3_vfs_unregister(&vfs); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  int read(std::byte* out, std::size_t size, std::uint64_t offset) noexcept;

  const std::shared_ptr<ReadView> view;
  std::string name;
  sqlite3_vfs vfs{};
  std::vector<std::byte> page;
  // What stopped a read. It says more than SQLite does, and SQLite may go on without the page: its
  // integrity_check tells that in a row. So it ends what the statement does.
  void throw_failure() {
    if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
  }

  std::exception_ptr failure;
  std::uint64_t last_page = 0;  // that was read
  std::string refused_pragma;   // by the last prepare(); empty: none
};

namespace {

constexpr char kFileName[] = "view";

// Those that tell something of the database. Others would change the connection, or the process.
constexpr std::string_view kPragmas[] = {
    "application_id",  "auto_vacuum",    "collation_list", "compile_options",   "data_version",
    "database_list",   "encoding",       "foreign_keys",   "foreign_key_check", "foreign_key_list",
    "freelist_count",  "function_list",  "index_info",     "index_list",        "index_xinfo",
    "integrity_check", "module_list",    "page_count",     "page_size",         "pragma_list",
    "quick_check",     "schema_version", "table_info",     "table_list",        "table_xinfo",
    "user_version"};

// `refused`: a std::string, the name of the pragma.
int authorize(void* refused, int action, const char* name, const char*, const char*, const char*) {
  if (action != SQLITE_PRAGMA) return SQLITE_OK;
  const bool is_known =
      std::any_of(std::begin(kPragmas), std::end(kPragmas),
                  [&](std::string_view known) { return sqlite3_stricmp(known.data(), name) == 0; });
  if (is_known) return SQLITE_OK;
  *static_cast<std::string*>(refused) = name;
  return SQLITE_DENY;
}

struct Handle {
  sqlite3_file base;
  void* files;
};

int refuse_write(sqlite3_file*, const void*, int, sqlite3_int64) { return SQLITE_READONLY; }
int refuse_truncate(sqlite3_file*, sqlite3_int64) { return SQLITE_READONLY; }
int nothing_to_close(sqlite3_file*) { return SQLITE_OK; }
int nothing_to_sync(sqlite3_file*, int) { return SQLITE_OK; }
int nothing_to_lock(sqlite3_file*, int) { return SQLITE_OK; }
int nobody_writes(sqlite3_file*, int* reserved) {
  *reserved = 0;
  return SQLITE_OK;
}
int no_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 4096; }
int device_characteristics(sqlite3_file*) { return SQLITE_IOCAP_IMMUTABLE; }
int nothing_there(sqlite3_vfs*, const char*, int, int* result) {
  *result = 0;
  return SQLITE_OK;
}
int refuse_delete(sqlite3_vfs*, const char*, int) { return SQLITE_READONLY; }
int full_pathname(sqlite3_vfs*, const char* name, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}

}  // namespace

ViewDatabase::Files::Files(std::shared_ptr<ReadView> view_of_database)
    : view(std::move(view_of_database)), page(view->page_size()) {
  static std::atomic<std::uint64_t> last{0};
  static const auto self = [](sqlite3_file* file) {
    return static_cast<Files*>(reinterpret_cast<Handle*>(file)->files);
  };
  static const sqlite3_io_methods kMethods = {
      .iVersion = 1,
      .xClose = nothing_to_close,
      .xRead =
          [](sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
            return self(file)->read(static_cast<std::byte*>(out), static_cast<std::size_t>(size),
                                    static_cast<std::uint64_t>(offset));
          },
      .xWrite = refuse_write,
      .xTruncate = refuse_truncate,
      .xSync = nothing_to_sync,
      .xFileSize =
          [](sqlite3_file* file, sqlite3_int64* size) {
            const ReadView& of = *self(file)->view;
            *size = static_cast<sqlite3_int64>(std::uint64_t{of.page_count()} * of.page_size());
            return SQLITE_OK;
          },
      .xLock = nothing_to_lock,
      .xUnlock = nothing_to_lock,
      .xCheckReservedLock = nobody_writes,
      .xFileControl = no_control,
      .xSectorSize = sector_size,
      .xDeviceCharacteristics = device_characteristics,
      .xShmMap = nullptr,
      .xShmLock = nullptr,
      .xShmBarrier = nullptr,
      .xShmUnmap = nullptr,
      .xFetch = nullptr,
      .xUnfetch = nullptr,
  };
  sqlite3_initialize();
  name = "perdure-view-" + std::to_string(++last);
  vfs = *sqlite3_vfs_find("unix");  // randomness, time, sleep
  vfs.pNext = nullptr;
  vfs.szOsFile = std::max<int>(sizeof(Handle), TemporaryFile::kHandleBytes);
  vfs.mxPathname = 32;
  vfs.zName = name.c_str();
  vfs.pAppData = this;
  vfs.xOpen = [](sqlite3_vfs* of, sqlite3_filename file, sqlite3_file* out, int flags,
                 int* out_flags) {
    if (out_flags != nullptr) *out_flags = flags;
    if (file == nullptr) return TemporaryFile::open(out);
    auto* handle = new (out) Handle{};
    if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return SQLITE_CANTOPEN;
    handle->files = of->pAppData;
    handle->base.pMethods = &kMethods;
    return SQLITE_OK;
  };
  vfs.xDelete = refuse_delete;
  vfs.xAccess = nothing_there;
  vfs.xFullPathname = full_pathname;
  sqlite3_vfs_register(&vfs, 0);
}

int ViewDatabase::Files::read(std::byte* out, std::size_t size, std::uint64_t offset) noexcept {
  try {
    const std::uint64_t number = offset / view->page_size() + 1;
    const std::size_t within = offset % view->page_size();
    if (number > view->page_count()) {
      std::memset(out, 0, size);
      return SQLITE_IOERR_SHORT_READ;
    }
    if (within + size > view->page_size()) return SQLITE_IOERR_READ;
    last_page = number;
    view->read(static_cast<std::uint32_t>(number), page);
    std::memcpy(out, page.data() + within, size);
    return SQLITE_OK;
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;
  } catch (const std::exception&) {
    failure = std::current_exception();
    return SQLITE_IOERR_READ;
  }
}

ViewDatabase::ViewDatabase(std::shared_ptr<ReadView> view, int value_bytes_max)
    : files_(std::make_unique<Files>(std::move(view))), handle_(nullptr, sqlite3_close_v2) {
  const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(kFileName, &opened, flags, files_->name.c_str());
  handle_.reset(opened);  // there is one, with the error, when it failed
  files_->throw_failure();
  if (code != SQLITE_OK) throw make_sql_error(opened, code);
  sqlite3_limit(opened, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(opened, SQLITE_LIMIT_LENGTH, value_bytes_max);
  // In files, which have a limit: what SQLite keeps in its own memory has none.
  const int stored = sqlite3_exec(opened, "PRAGMA temp_store=FILE", nullptr, nullptr, nullptr);
  if (stored != SQLITE_OK) throw error(stored);
  sqlite3_set_authorizer(opened, authorize, &files_->refused_pragma);
  // An interruption holds as long as some statement runs, so one always does: otherwise it would be
  // lost on a statement that begins just after it.
  running_ = prepare("SELECT 1");
  step(running_);
}

ViewDatabase::~ViewDatabase() = default;

const std::shared_ptr<ReadView>& ViewDatabase::view() const noexcept { return files_->view; }

Statement ViewDatabase::prepare(std::string_view sql, std::size_t* tail) {
  sqlite3_stmt* prepared = nullptr;
  const char* rest = nullptr;
  files_->refused_pragma.clear();
  const int code = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), 0,
                                      &prepared, &rest);
  files_->throw_failure();
  if (code != SQLITE_OK) throw error(code);
  if (tail != nullptr) *tail = static_cast<std::size_t>(rest - sql.data());
  Statement statement(prepared);
  if (statement.writes())
    throw SqlError(SQLITE_READONLY,
                   "This statement would write, and only reading is allowed: "
                   "SQLITE_READONLY");
  return statement;
}

bool ViewDatabase::step(Statement& statement) {
  const int code = sqlite3_step(statement.handle());
  files_->throw_failure();
  if (code != SQLITE_ROW && code != SQLITE_DONE) throw error(code);
  return code == SQLITE_ROW;
}

void ViewDatabase::interrupt() noexcept { sqlite3_interrupt(handle_.get()); }

SqlError ViewDatabase::error(int code) const {
  const int base = code & 0xff;
  if (base == SQLITE_FULL)
    return {code, "Operators' queries may sort, group and join " +
                      std::to_string(TemporaryFile::kBytesMax >> 20) +
                      " MiB at one time, and this one needs more. Read less at a time, or export "
                      "the object and query its file: SQLITE_FULL"};
  if (base == SQLITE_AUTH && !files_->refused_pragma.empty())
    return {code, "PRAGMA " + files_->refused_pragma +
                      " is refused: it does not only tell about the database: SQLITE_AUTH"};
  const bool is_damaged = base == SQLITE_CORRUPT || base == SQLITE_NOTADB;
  return make_sql_error(
      handle_.get(), code,
      is_damaged ? "page " + std::to_string(files_->last_page) + " was read last" : "");
}

}  // namespace perdure::store
