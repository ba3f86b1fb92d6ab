#include "store/foreign_database.h"

#include <memory>
#include <mutex>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "sqlite3.h"

namespace perdure::store {
namespace {

namespace fs = std::filesystem;

constexpr char kSystemVfs[] = "unix";
constexpr std::int64_t kNanosecondsPerMillisecond = 1'000'000;

fs::path beside(const fs::path& path, const char* suffix) { return path.string() + suffix; }

// Removes what SQLite keeps beside a database, and the database itself unless it is complete.
class Copy {
 public:
  explicit Copy(fs::path target) : target_(std::move(target)) { remove(true); }
  ~Copy() { remove(!complete_); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  void complete() { complete_ = true; }

 private:
  void remove(bool database) const {
    std::error_code ignored;
    for (const char* suffix : {"-wal", "-shm", "-journal"})
      fs::remove(beside(target_, suffix), ignored);
    if (database) fs::remove(target_, ignored);
  }

  const fs::path target_;
  bool complete_ = false;
};

void copy_to(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (!error) return;
  const bool full = error == std::errc::no_space_on_device;
  throw Error(full ? ErrorCode::kFull : ErrorCode::kIo,
              "Cannot copy " + from.string() + " to " + to.string() + ": " + error.message() + ".");
}

class Connection {
 public:
  // `name` is what errors call the database.
  Connection(const fs::path& path, std::string name) : name_(std::move(name)) {
    static std::once_flag once;
    std::call_once(once, [] { sqlite3_initialize(); });
    check(sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE, kSystemVfs));
  }
  ~Connection() { sqlite3_close(handle_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The first column of the first row as text; nothing when there is no row.
  std::optional<std::string> query(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    check(sqlite3_prepare_v2(handle_, sql, -1, &raw, nullptr));
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
    const int code = sqlite3_step(raw);
    if (code == SQLITE_DONE) return std::nullopt;
    if (code != SQLITE_ROW) check(code);
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(raw, 0));
    return text == nullptr ? std::string() : std::string(text);
  }

 private:
  void check(int code) {
    if (code == SQLITE_OK) return;
    const bool is_disk = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    throw Error((code & 0xff) == SQLITE_FULL ? ErrorCode::kFull
                : is_disk                    ? ErrorCode::kIo
                                             : ErrorCode::kCorrupt,
                "The file " + name_ + " cannot be read as a SQLite database: " +
                    (handle_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle_)) + ".");
  }

  const std::string name_;
  sqlite3* handle_ = nullptr;
};

}  // namespace

ForeignDatabase copy_foreign_database(const fs::path& source, const fs::path& target) {
  Copy copy(target);
  copy_to(source, target);
  if (fs::exists(beside(source, "-wal"))) copy_to(beside(source, "-wal"), beside(target, "-wal"));
  ForeignDatabase found;
  {
    Connection database(target, source.string());
    // Leaving the WAL mode moves what is in the log into the file.
    if (database.query("PRAGMA journal_mode = DELETE") != "delete")
      throw Error(ErrorCode::kCorrupt,
                  "The file " + source.string() + " has a journal that cannot be read.");
    const auto problem = database.query("PRAGMA quick_check(1)");
    if (problem != "ok")
      throw Error(ErrorCode::kCorrupt, "The file " + source.string() + " is damaged: " +
                                           problem.value_or("it cannot be checked") + ".");
    if (database.query(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_cf_METADATA'")) {
      if (const auto alarm = database.query("SELECT CAST(value AS INTEGER) FROM _cf_METADATA WHERE "
                                            "key = 1 AND value IS NOT NULL"))
        found.alarm_ms = std::stoll(*alarm) / kNanosecondsPerMillisecond;
    }
  }
  const auto file = real_file_system().open(target, FileSystem::Mode::kReadWrite);
  file->sync();
  found.bytes = file->size();
  copy.complete();
  return found;
}

}  // namespace perdure::store
