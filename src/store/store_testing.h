#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/error_testing.h"
#include "base/file.h"
#include "base/simulated_file_system.h"
#include "sqlite3.h"
#include "store/database.h"
#include "store/store.h"

namespace perdure::store::testing {

// The values of one query as text, columns separated by '|', rows by ';'.
inline std::string query(Database& database, std::string_view sql,
                         Access access = Access::kEngine) {
  Statement statement = database.prepare(sql, access);
  if (statement.alters_as_user()) {
    database.alter_as_user(statement);
    return "";
  }
  std::string text;
  int code = SQLITE_ROW;
  const auto step = [&] {
    return access == Access::kUser ? sqlite3_step(statement.handle()) : database.step(statement);
  };
  while ((code = step()) == SQLITE_ROW) {
    if (!text.empty()) text += ';';
    for (int i = 0; i < sqlite3_column_count(statement.handle()); ++i) {
      if (i > 0) text += '|';
      const auto* value = sqlite3_column_text(statement.handle(), i);
      text += value == nullptr ? "NULL" : reinterpret_cast<const char*>(value);
    }
  }
  if (code != SQLITE_DONE) throw database.error(code);
  return text;
}

inline Lsn commit(Database& database, const std::string& sql) {
  database.begin();
  try {
    database.execute(sql.c_str());
  } catch (...) {
    database.rollback();
    throw;
  }
  return database.commit();
}

inline StoreOptions simulated_options(FileSystem& disk) {
  StoreOptions options;
  options.directory = "/data";
  options.file_system = &disk;
  options.segment_bytes = 4 << 20;
  options.on_poisoned = [](const std::string&) {};
  return options;
}

using perdure::message_of;

}  // namespace perdure::store::testing
