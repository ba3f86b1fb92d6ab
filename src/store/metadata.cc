#include "store/metadata.h"

#include <algorithm>

#include "sqlite3.h"
#include "store/database.h"

namespace perdure::store {
namespace {

constexpr std::uint64_t kNanosecondsPerMillisecond = 1'000'000;
// Up to the year 2262, what 63 bits of nanoseconds hold.
constexpr std::uint64_t kTimeMsMax = INT64_MAX / kNanosecondsPerMillisecond;

// Word for word what workerd makes: programs see it in sqlite_schema.
constexpr char kCreateTable[] = R"(CREATE TABLE IF NOT EXISTS _cf_METADATA (
        key INTEGER PRIMARY KEY,
        value BLOB
      ))";
constexpr char kStore[] = "INSERT OR REPLACE INTO _cf_METADATA VALUES (1, ?)";

constexpr char kFind[] =
    "SELECT CAST(value AS INTEGER) FROM _cf_METADATA WHERE key = 1 AND value IS NOT NULL";

}  // namespace

std::optional<std::uint64_t> stored_alarm_time(Database& database) {
  const int table =
      sqlite3_table_column_metadata(database.handle(), "main", "_cf_METADATA", nullptr, nullptr,
                                    nullptr, nullptr, nullptr, nullptr);
  if (table == SQLITE_ERROR) return std::nullopt;  // there is none
  if (table != SQLITE_OK) throw database.error(table);
  Statement find = database.prepare(kFind, Access::kEngine);
  const int code = database.step(find);
  if (code == SQLITE_DONE) return std::nullopt;
  if (code != SQLITE_ROW) throw database.error(code);
  const std::int64_t ns = sqlite3_column_int64(find.handle(), 0);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0)) / kNanosecondsPerMillisecond;
}

void store_alarm_time(Database& database, std::optional<std::uint64_t> time_ms) {
  database.execute(kCreateTable);
  Statement store = database.prepare(kStore, Access::kEngine);
  if (time_ms) {
    const std::uint64_t ms = *time_ms < kTimeMsMax ? *time_ms : kTimeMsMax;
    sqlite3_bind_int64(store.handle(), 1,
                       static_cast<std::int64_t>(ms * kNanosecondsPerMillisecond));
  }
  const int code = database.step(store);
  if (code != SQLITE_DONE) throw database.error(code);
}

}  // namespace perdure::store
