#pragma once

#include <string>
#include <string_view>

#include "store/database.h"

struct sqlite3;

namespace perdure::store {

// Decides what user SQL may do (rule 7). SQLite asks while it prepares a statement, and again when
// it prepares it anew after a change of the schema or compiles the statements that a virtual table
// runs, so the default is the user's view and the engine lifts it for a moment.
//
// Refused to users: transaction statements, other databases, temporary objects, names that start
// with `_cf_`, virtual tables other than FTS5 and R-Tree, and every pragma and function that is not
// on workerd's lists.
class Authorizer {
 public:
  // Installs itself on `handle`, which must not outlive it.
  void install(sqlite3* handle);

  void set_access(Access access) noexcept { access_ = access; }
  [[nodiscard]] Access access() const noexcept { return access_; }

  // What the statement that was prepared last did.
  void reset() noexcept { refused_transaction_ = alters_table_ = false; }
  // It was refused as a transaction statement: the text for the user is kTransactionMessage.
  [[nodiscard]] bool refused_transaction() const noexcept { return refused_transaction_; }
  // It alters a table; Database::alter_as_user() looks at what became of the names.
  [[nodiscard]] bool alters_table() const noexcept { return alters_table_; }

  static const char kTransactionMessage[];

 private:
  static int callback(void* self, int action, const char* first, const char* second,
                      const char* database, const char* trigger);
  bool allows(int action, std::string_view first, std::string_view second,
              std::string_view database) noexcept;

  Access access_ = Access::kUser;
  bool refused_transaction_ = false;
  bool alters_table_ = false;
};

// True for the names that only the engine uses, in any case: `_cf_…`.
[[nodiscard]] bool is_reserved_name(std::string_view name) noexcept;

}  // namespace perdure::store
