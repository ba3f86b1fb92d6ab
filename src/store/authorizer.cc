#include "store/authorizer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>

#include "sqlite3.h"

namespace perdure::store {
namespace {

constexpr std::string_view kReservedPrefix = "_cf_";

// What a pragma that workerd lets through may be given.
enum class Argument : std::uint8_t {
  kNone,
  kOptionalBoolean,
  kOptionalNumber,
  kName,
  kOptionalName,
};

struct Pragma {
  std::string_view name;
  Argument argument;
};

// Those that change something change only the connection (and are gone when the object is evicted),
// or the statistics of the query planner.
constexpr Pragma kPragmas[] = {
    {"case_sensitive_like", Argument::kOptionalBoolean},
    {"data_version", Argument::kNone},
    {"defer_foreign_keys", Argument::kOptionalBoolean},
    {"foreign_key_check", Argument::kOptionalName},
    {"foreign_key_list", Argument::kName},
    {"foreign_keys", Argument::kOptionalBoolean},
    {"ignore_check_constraints", Argument::kOptionalBoolean},
    {"index_info", Argument::kName},
    {"index_list", Argument::kName},
    {"index_xinfo", Argument::kName},
    {"legacy_alter_table", Argument::kOptionalBoolean},
    {"optimize", Argument::kOptionalNumber},
    {"page_size", Argument::kNone},
    {"quick_check", Argument::kOptionalName},
    {"recursive_triggers", Argument::kOptionalBoolean},
    {"reverse_unordered_selects", Argument::kOptionalBoolean},
    {"table_info", Argument::kName},
    {"table_list", Argument::kOptionalName},
    {"table_xinfo", Argument::kName},
};

// Functions that tell about or reach into the engine rather than compute, and those that workerd's
// list does not have (yet).
constexpr std::string_view kRefusedFunctions[] = {
    "ceiling",
    "fts5",
    "fts5_get_locale",
    "fts5_insttoken",
    "fts5_locale",
    "fts5_source_id",
    "if",
    "json_array_insert",
    "json_error_position",
    "json_pretty",
    "jsonb_array_insert",
    "log10",
    "power",
    "rtreedepth",
    "rtreenode",
    "sqlite_compileoption_get",
    "sqlite_compileoption_used",
    "sqlite_log",
    "sqlite_offset",
    "sqlite_source_id",
    "sqlite_version",
    "subtype",
    "unistr",
    "unistr_quote",
};

constexpr std::array<std::string_view, 4> kModules = {"fts5", "fts5vocab", "rtree", "rtree_i32"};

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         sqlite3_strnicmp(a.data(), b.data(), static_cast<int>(a.size())) == 0;
}

template <typename List>
bool contains(const List& list, std::string_view name) noexcept {
  return std::any_of(std::begin(list), std::end(list),
                     [&](std::string_view entry) { return equal_ignoring_case(entry, name); });
}

bool is_boolean(std::string_view text) noexcept {
  constexpr std::string_view kWords[] = {"false", "no", "off", "on", "true", "yes"};
  return text.starts_with('0') || text.starts_with('1') || contains(kWords, text);
}

bool is_number(std::string_view text) noexcept {
  if (text.starts_with('-')) text.remove_prefix(1);
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (hexadecimal) text.remove_prefix(2);
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return hexadecimal ? std::isxdigit(byte) != 0 : std::isdigit(byte) != 0;
  });
}

bool allows_argument(const Pragma& pragma, const char* argument) noexcept {
  if (argument == nullptr) return pragma.argument != Argument::kName;
  switch (pragma.argument) {
    case Argument::kNone:
      return false;
    case Argument::kOptionalBoolean:
      return is_boolean(argument);
    case Argument::kOptionalNumber:
      return is_number(argument);
    case Argument::kName:
    case Argument::kOptionalName:
      return !is_reserved_name(argument);
  }
  return false;
}

// A pragma with a schema prefix may name the main one only; an argument may not name an internal
// table.
bool allows_pragma(std::string_view name, const char* argument,
                   std::string_view database) noexcept {
  if (!database.empty() && database != "main") return false;
  return std::any_of(std::begin(kPragmas), std::end(kPragmas), [&](const Pragma& pragma) {
    return equal_ignoring_case(pragma.name, name) && allows_argument(pragma, argument);
  });
}

// In workerd every statement runs inside a transaction, where setting this has no effect.
bool is_ignored_pragma(std::string_view name, std::string_view argument) noexcept {
  return !argument.empty() && equal_ignoring_case(name, "foreign_keys");
}

// What SQLite's own function of this name, which is not compiled in, answers when it is not
// enabled.
void load_extension(sqlite3_context* context, int, sqlite3_value**) {
  sqlite3_result_error(context, "not authorized", -1);
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

void Authorizer::install(sqlite3* handle) {
  sqlite3_set_authorizer(handle, callback, this);
  for (const int arguments : {1, 2}) {
    sqlite3_create_function_v2(handle, "load_extension", arguments, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                               nullptr, load_extension, nullptr, nullptr, nullptr);
  }
}

int Authorizer::callback(void* self, int action, const char* first, const char* second,
                         const char* database, const char*) {
  auto& authorizer = *static_cast<Authorizer*>(self);
  if (authorizer.access_ == Access::kEngine) return SQLITE_OK;
  const auto view = [](const char* text) { return std::string_view(text == nullptr ? "" : text); };
  const bool allowed = action == SQLITE_PRAGMA
                           ? allows_pragma(view(first), second, view(database))
                           : authorizer.allows(action, view(first), view(second), view(database));
  if (!allowed) return SQLITE_DENY;
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
    default:  // ATTACH, DETACH, temporary objects, and whatever is new
      return false;
  }
}

}  // namespace perdure::store
