#pragma once

#include <string>

#include "store/database.h"

struct sqlite3;

namespace perdure::store {

// "<message>[ at offset N]: SQLITE_X[ (extended: SQLITE_X_Y)]", as workerd words it. `detail`, when
// not empty, says what lies behind an error of the disk.
SqlError make_sql_error(sqlite3* handle, int code, const std::string& detail = {});

}  // namespace perdure::store
