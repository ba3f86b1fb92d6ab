#include "store/authorizer.h"

#include <algorithm>
#include <array>

#include "sqlite3.h"

namespace perdure::store {
namespace {

constexpr std::string_view kReservedPrefix = "_cf_";

// Pragmas that workerd lets through. Those that change something change only the connection (and
// are gone when the object is evicted), or the statistics of the query planner.
constexpr std::array<std::string_view, 18> kPragmas = {
    "case_sensitive_like", "data_version", "defer_foreign_keys",       "foreign_key_check",
    "foreign_key_list",    "foreign_keys", "ignore_check_constraints", "index_info",
    "index_list",          "index_xinfo",  "legacy_alter_table",       "optimize",
    "page_size",           "quick_check",  "recursive_triggers",       "reverse_unordered_selects",
    "table_info",          "table_list",
};
constexpr std::string_view kTableXinfo = "table_xinfo";

// Functions that tell about or reach into the engine rather than compute.
constexpr std::array<std::string_view, 10> kRefusedFunctions = {
    "fts5",
    "fts5_source_id",
    "load_extension",
    "sqlite_compileoption_get",
    "sqlite_compileoption_used",
    "sqlite_log",
    "sqlite_offset",
    "sqlite_source_id",
    "sqlite_version",
    "subtype",
};

constexpr std::array<std::string_view, 4> kModules = {"fts5", "fts5vocab", "rtree", "rtree_i32"};

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         sqlite3_strnicmp(a.data(), b.data(), static_cast<int>(a.size())) == 0;
}

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& list, std::string_view name) noexcept {
  return std::any_of(list.begin(), list.end(),
                     [&](std::string_view entry) { return equal_ignoring_case(entry, name); });
}

// A pragma with a schema prefix may name the main one only; an argument may not name an internal
// table.
bool allows_pragma(std::string_view name, std::string_view argument,
                   std::string_view database) noexcept {
  if (!database.empty() && database != "main") return false;
  if (is_reserved_name(argument)) return false;
  return contains(kPragmas, name) || equal_ignoring_case(name, kTableXinfo);
}

// In workerd every statement runs inside a transaction, where setting these has no effect.
bool is_ignored_pragma(std::string_view name, std::string_view argument) noexcept {
  return !argument.empty() &&
         (equal_ignoring_case(name, "foreign_keys") || equal_ignoring_case(name, "page_size"));
}

bool is_temporary(std::string_view database) noexcept { return database == "temp"; }

}  // namespace

const char Authorizer::kTransactionMessage[] =
    "To execute a transaction, please use the state.storage.transaction() or "
    "state.storage.transactionSync() APIs instead of the SQL BEGIN TRANSACTION or SAVEPOINT "
    "statements. The JavaScript API is safer because it will automatically roll back on "
    "exceptions, and because it interacts correctly with Durable Objects' automatic atomic write "
    "coalescing.";

bool is_reserved_name(std::string_view name) noexcept {
  return name.size() >= kReservedPrefix.size() &&
         equal_ignoring_case(name.substr(0, kReservedPrefix.size()), kReservedPrefix);
}

void Authorizer::install(sqlite3* handle) { sqlite3_set_authorizer(handle, callback, this); }

int Authorizer::callback(void* self, int action, const char* first, const char* second,
                         const char* database, const char*) {
  auto& authorizer = *static_cast<Authorizer*>(self);
  if (authorizer.access_ == Access::kEngine) return SQLITE_OK;
  const auto view = [](const char* text) { return std::string_view(text == nullptr ? "" : text); };
  if (!authorizer.allows(action, view(first), view(second), view(database))) return SQLITE_DENY;
  return action == SQLITE_PRAGMA && is_ignored_pragma(view(first), view(second)) ? SQLITE_IGNORE
                                                                                 : SQLITE_OK;
}

bool Authorizer::allows(int action, std::string_view first, std::string_view second,
                        std::string_view database) noexcept {
  switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      refused_transaction_ = true;
      return false;
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
    case SQLITE_REINDEX:  // of all tables, the internal ones as well: neither tells nor changes
    case SQLITE_ANALYZE:  // what they hold
      return true;
    case SQLITE_READ:
      return !is_reserved_name(first);
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_VIEW:
      return !is_reserved_name(first);
    case SQLITE_CREATE_TABLE:  // `CREATE TABLE temp.x` is told from CREATE TEMP TABLE
    case SQLITE_CREATE_VIEW:
      return !is_temporary(database) && !is_reserved_name(first);
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_TRIGGER:
      return !is_temporary(database) && !is_reserved_name(first) && !is_reserved_name(second);
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_VTABLE:
      return !is_temporary(database) && !is_reserved_name(first) && contains(kModules, second);
    case SQLITE_ALTER_TABLE:
      alters_table_ = true;
      return !is_reserved_name(second);
    case SQLITE_FUNCTION:
      return !contains(kRefusedFunctions, second);
    case SQLITE_PRAGMA:
      return allows_pragma(first, second, database);
    default:  // ATTACH, DETACH, temporary objects, and whatever is new
      return false;
  }
}

}  // namespace perdure::store
