#include "store/sql_error.h"

#include "sqlite3.h"

namespace perdure::store {
namespace {

struct CodeName {
  int code;
  const char* name;
};

#define PERDURE_CODE(code) \
  { code, #code }
constexpr CodeName kCodeNames[] = {
    PERDURE_CODE(SQLITE_ERROR),
    PERDURE_CODE(SQLITE_INTERNAL),
    PERDURE_CODE(SQLITE_PERM),
    PERDURE_CODE(SQLITE_ABORT),
    PERDURE_CODE(SQLITE_BUSY),
    PERDURE_CODE(SQLITE_LOCKED),
    PERDURE_CODE(SQLITE_NOMEM),
    PERDURE_CODE(SQLITE_READONLY),
    PERDURE_CODE(SQLITE_INTERRUPT),
    PERDURE_CODE(SQLITE_IOERR),
    PERDURE_CODE(SQLITE_CORRUPT),
    PERDURE_CODE(SQLITE_NOTFOUND),
    PERDURE_CODE(SQLITE_FULL),
    PERDURE_CODE(SQLITE_CANTOPEN),
    PERDURE_CODE(SQLITE_PROTOCOL),
    PERDURE_CODE(SQLITE_EMPTY),
    PERDURE_CODE(SQLITE_SCHEMA),
    PERDURE_CODE(SQLITE_TOOBIG),
    PERDURE_CODE(SQLITE_CONSTRAINT),
    PERDURE_CODE(SQLITE_MISMATCH),
    PERDURE_CODE(SQLITE_MISUSE),
    PERDURE_CODE(SQLITE_NOLFS),
    PERDURE_CODE(SQLITE_AUTH),
    PERDURE_CODE(SQLITE_FORMAT),
    PERDURE_CODE(SQLITE_RANGE),
    PERDURE_CODE(SQLITE_NOTADB),
    PERDURE_CODE(SQLITE_ABORT_ROLLBACK),
    PERDURE_CODE(SQLITE_CONSTRAINT_CHECK),
    PERDURE_CODE(SQLITE_CONSTRAINT_COMMITHOOK),
    PERDURE_CODE(SQLITE_CONSTRAINT_DATATYPE),
    PERDURE_CODE(SQLITE_CONSTRAINT_FOREIGNKEY),
    PERDURE_CODE(SQLITE_CONSTRAINT_FUNCTION),
    PERDURE_CODE(SQLITE_CONSTRAINT_NOTNULL),
    PERDURE_CODE(SQLITE_CONSTRAINT_PINNED),
    PERDURE_CODE(SQLITE_CONSTRAINT_PRIMARYKEY),
    PERDURE_CODE(SQLITE_CONSTRAINT_ROWID),
    PERDURE_CODE(SQLITE_CONSTRAINT_TRIGGER),
    PERDURE_CODE(SQLITE_CONSTRAINT_UNIQUE),
    PERDURE_CODE(SQLITE_CONSTRAINT_VTAB),
    PERDURE_CODE(SQLITE_CORRUPT_INDEX),
    PERDURE_CODE(SQLITE_CORRUPT_SEQUENCE),
    PERDURE_CODE(SQLITE_CORRUPT_VTAB),
    PERDURE_CODE(SQLITE_ERROR_MISSING_COLLSEQ),
    PERDURE_CODE(SQLITE_ERROR_RETRY),
    PERDURE_CODE(SQLITE_IOERR_FSTAT),
    PERDURE_CODE(SQLITE_IOERR_FSYNC),
    PERDURE_CODE(SQLITE_IOERR_NOMEM),
    PERDURE_CODE(SQLITE_IOERR_READ),
    PERDURE_CODE(SQLITE_IOERR_SHORT_READ),
    PERDURE_CODE(SQLITE_IOERR_TRUNCATE),
    PERDURE_CODE(SQLITE_IOERR_WRITE),
};
#undef PERDURE_CODE

const char* find_name(int code) {
  for (const CodeName& entry : kCodeNames) {
    if (entry.code == code) return entry.name;
  }
  return nullptr;
}

}  // namespace

SqlError make_sql_error(sqlite3* handle, int code, const std::string& detail) {
  const int extended = sqlite3_extended_errcode(handle);
  // The handle has the last error; `code` may be one that never reached it.
  const bool matches = (extended & 0xff) == (code & 0xff);
  const int full = matches ? extended : code;
  std::string text = matches ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  if (!detail.empty() && (full & 0xff) != SQLITE_FULL) text += " (" + detail + ")";
  // SQLite keeps the offset of an earlier error where the last one has none.
  const bool has_offset = matches && (full & 0xff) == SQLITE_ERROR;
  const int offset = has_offset ? sqlite3_error_offset(handle) : -1;
  if (offset >= 0) text += " at offset " + std::to_string(offset);
  const int base = full & 0xff;
  const char* name = find_name(base);
  text += ": " + (name != nullptr ? std::string(name) : "SQLITE_" + std::to_string(base));
  if (full != base) {
    const char* extended_name = find_name(full);
    if (extended_name != nullptr) text += " (extended: " + std::string(extended_name) + ")";
  }
  return {full, text};
}

}  // namespace perdure::store
