#pragma once

#include <cstdint>

#include "sqlite3.h"

namespace perdure::store {

// Rows that a statement has read and written since its counts were last cleared, as Cloudflare's
// SQLite counts them: each step of a scan, each lookup of a row by its number, each row and index
// entry written. cmake/SqliteRowCounts.cmake teaches SQLite to; a system's library cannot, and
// kCountsRows is false then and all counts are 0.
#ifdef PERDURE_SQLITE_COUNTS_ROWS
inline constexpr bool kCountsRows = true;
#else
inline constexpr bool kCountsRows = false;
#endif

namespace internal {
inline constexpr int kRowsReadStatus = 9;
inline constexpr int kRowsWrittenStatus = 10;

inline std::uint32_t count(sqlite3_stmt* statement, int status, bool clear) {
  if constexpr (!kCountsRows) return 0;
  return static_cast<std::uint32_t>(sqlite3_stmt_status(statement, status, clear ? 1 : 0));
}
}  // namespace internal

inline std::uint32_t rows_read(sqlite3_stmt* statement) {
  return internal::count(statement, internal::kRowsReadStatus, false);
}

inline std::uint32_t rows_written(sqlite3_stmt* statement) {
  return internal::count(statement, internal::kRowsWrittenStatus, false);
}

inline void clear_row_counts(sqlite3_stmt* statement) {
  internal::count(statement, internal::kRowsReadStatus, true);
  internal::count(statement, internal::kRowsWrittenStatus, true);
}

}  // namespace perdure::store
