#include "store/foreign_database.h"

#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "sqlite3.h"
#include "store/shared_key_value.h"
#include "store/sqlite_values.h"

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
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE, kSystemVfs);
    handle_.reset(handle);  // there is one, with the error, when it failed
    check(code);
  }

  // The first column of the first row as text; nothing when there is no row.
  std::optional<std::string> query(const char* sql) {
    const auto statement = prepare(sql);
    if (!step(statement)) return std::nullopt;
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
    return text == nullptr ? std::string() : std::string(text);
  }

  bool has_table(const std::string& name) {
    return query(("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '" + name + "'")
                     .c_str())
        .has_value();
  }

  using Prepared = std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>;
  Prepared prepare(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    check(sqlite3_prepare_v2(handle_.get(), sql, -1, &raw, nullptr));
    return {raw, sqlite3_finalize};
  }
  // False after the last row.
  bool step(const Prepared& statement) {
    const int code = sqlite3_step(statement.get());
    if (code != SQLITE_ROW && code != SQLITE_DONE) check(code);
    return code == SQLITE_ROW;
  }

 private:
  void check(int code) {
    if (code == SQLITE_OK) return;
    const bool is_disk = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    throw Error((code & 0xff) == SQLITE_FULL ? ErrorCode::kFull
                : is_disk                    ? ErrorCode::kIo
                                             : ErrorCode::kCorrupt,
                "The file " + name_ + " cannot be read as a SQLite database: " +
                    (handle_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle_.get())) +
                    ".");
  }

  const std::string name_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_{nullptr, sqlite3_close};
};

constexpr char kKeyValueTable[] = "_cf_KV";
constexpr char kOwnTable[] =
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '_cf_*' "
    "AND name NOT GLOB 'sqlite_*'";
constexpr char kStrangePair[] =
    "SELECT 1 FROM _cf_KV WHERE typeof(key) <> 'text' OR typeof(value) NOT IN ('blob', 'text')";
// json_valid() does not look behind a NUL, which no JSON has.
constexpr char kStrangeText[] =
    "SELECT substr(key, 1, 100) FROM _cf_KV "
    "WHERE typeof(value) = 'text' AND (NOT json_valid(value) OR instr(value, char(0)))";
// The start of a key is enough to find it.
constexpr char kLargestPair[] =
    "SELECT octet_length(key) + octet_length(value) AS bytes, substr(key, 1, 100) FROM _cf_KV "
    "ORDER BY bytes DESC LIMIT 1";
constexpr char kPairs[] = "SELECT key, value FROM _cf_KV";
constexpr char kNamedAlarms[] =
    "SELECT actor_id, scheduled_time, actor_name FROM _cf_ALARM WHERE scheduled_time IS NOT NULL";
constexpr char kAlarms[] =
    "SELECT actor_id, scheduled_time, NULL FROM _cf_ALARM WHERE scheduled_time IS NOT NULL";

// All that import_key_values() could meet is met here, before anything is written.
void check_key_values(Connection& database, const std::string& name) {
  if (const auto table = database.query(kOwnTable)) {
    throw Error(ErrorCode::kInvalid,
                "The file " + name + " has the table \"" + *table +
                    "\": its class has SQLite storage. Declare it in new_sqlite_classes.");
  }
  if (!database.has_table(kKeyValueTable)) return;
  if (database.query(kStrangePair)) {
    throw Error(ErrorCode::kCorrupt, "The file " + name + " has a pair in its table _cf_KV that " +
                                         "is not a text and a structured clone (BLOB) or JSON "
                                         "(TEXT).");
  }
  if (const auto key = database.query(kStrangeText)) {
    throw Error(ErrorCode::kCorrupt,
                "The file " + name +
                    " has a value in its table _cf_KV that is text and not JSON, "
                    "with the key \"" +
                    *key +
                    "\". Values are structured clones (BLOB) or JSON (TEXT): correct it where it "
                    "was written, or delete it there.");
  }
  const auto largest = database.prepare(kLargestPair);
  if (!database.step(largest)) return;
  const auto bytes = static_cast<std::uint64_t>(sqlite3_column_int64(largest.get(), 0));
  if (bytes <= SharedKeyValue::kPairBytesMax) return;
  throw Error(ErrorCode::kInvalid,
              "The file " + name + " has a key with a value of " + std::to_string(bytes) +
                  " bytes together, \"" +
                  reinterpret_cast<const char*>(sqlite3_column_text(largest.get(), 1)) +
                  "\"; key-value storage takes " + std::to_string(SharedKeyValue::kPairBytesMax) +
                  ". Delete it or split it where it was written.");
}

}  // namespace

ForeignDatabase copy_foreign_database(const fs::path& source, const fs::path& target,
                                      ForeignUse use) {
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
    if (use == ForeignUse::kKeyValue) check_key_values(database, source.string());
    if (database.has_table("_cf_METADATA")) {
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

std::vector<ForeignAlarm> foreign_alarms(const fs::path& copy) {
  std::vector<ForeignAlarm> alarms;
  Connection database(copy, copy.string());
  if (!database.has_table("_cf_ALARM")) return alarms;
  // Older ones have no names.
  const bool has_names =
      database.query("SELECT 1 FROM pragma_table_info('_cf_ALARM') WHERE name = 'actor_name'")
          .has_value();
  const auto list = database.prepare(has_names ? kNamedAlarms : kAlarms);
  while (database.step(list)) {
    const std::int64_t time_ns = sqlite3_column_int64(list.get(), 1);
    alarms.push_back({.id = std::string(column_bytes(list.get(), 0)),
                      .time_ms = time_ns / kNanosecondsPerMillisecond,
                      .name = std::string(column_bytes(list.get(), 2))});
  }
  return alarms;
}

void import_key_values(const fs::path& copy, SharedKeyValue& shared, const KeyOwner& owner) {
  Connection database(copy, copy.string());
  if (!database.has_table(kKeyValueTable)) return;
  const auto pairs = database.prepare(kPairs);
  KeyWrites writes;
  std::size_t bytes = 0;
  while (database.step(pairs)) {
    std::string key(column_bytes(pairs.get(), 0));
    const bool is_text = sqlite3_column_type(pairs.get(), 1) == SQLITE_TEXT;
    StoredValue value{.bytes = std::string(column_bytes(pairs.get(), 1)), .is_text = is_text};
    const std::size_t more = key.size() + value.bytes.size();
    if (bytes + more > kImportCommitBytes) {
      shared.commit(owner, false, writes);
      writes.clear();
      bytes = 0;
    }
    bytes += more;
    writes.emplace(std::move(key), std::move(value));
  }
  shared.commit(owner, false, writes);
}

}  // namespace perdure::store
