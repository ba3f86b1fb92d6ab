#pragma once

// Values into and out of the engine's own statements.

#include <cstddef>
#include <span>
#include <string_view>

#include "sqlite3.h"
#include "store/database.h"
#include "store/key_value.h"

namespace perdure::store {

// A UTF-8 text as a parameter, counted from 1. It is not copied: it has to stay until the statement
// is reset or another value is bound, unless `lifetime` is SQLITE_TRANSIENT.
inline void bind_text(const Statement& statement, int index, std::string_view text,
                      sqlite3_destructor_type lifetime = SQLITE_STATIC) {
  // An empty view may have no address, which SQLite takes for NULL.
  sqlite3_bind_text64(statement.handle(), index, text.data() == nullptr ? "" : text.data(),
                      text.size(), lifetime, SQLITE_UTF8);
}

// The same for a text or a blob.
inline void bind_value(const Statement& statement, int index, std::span<const std::byte> value,
                       bool is_text) {
  const auto* data = value.data() == nullptr ? "" : reinterpret_cast<const char*>(value.data());
  if (is_text) {
    bind_text(statement, index, {data, value.size()});
  } else {
    sqlite3_bind_blob64(statement.handle(), index, data, value.size(), SQLITE_STATIC);
  }
}

// A text or blob of the current row, which stays until the statement steps or is reset. NULL is
// empty. Columns count from 0.
inline std::string_view column_bytes(sqlite3_stmt* statement, int column) {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement, column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
}

inline KeyValue::Value column_value(sqlite3_stmt* statement, int column) {
  const bool is_text = sqlite3_column_type(statement, column) == SQLITE_TEXT;
  const std::string_view bytes = column_bytes(statement, column);
  return {std::as_bytes(std::span(bytes)), is_text};
}

// Runs a statement that returns no rows; throws SqlError.
inline void run(Database& database, Statement& statement) {
  database.step(statement);
  const int code = sqlite3_reset(statement.handle());
  if (code != SQLITE_OK) throw database.error(code);
}

}  // namespace perdure::store
