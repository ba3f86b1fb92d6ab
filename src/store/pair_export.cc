#include "store/pair_export.h"

#include <memory>
#include <string>

#include "base/error.h"
#include "sqlite3.h"

namespace perdure::store {
namespace {

constexpr char kSystemVfs[] = "unix";
// Nobody else has the file, and what a crash leaves of it is nothing.
constexpr char kPrepare[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
    "CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID; BEGIN";
constexpr char kPairs[] =
    "SELECT key, value FROM do_storage WHERE namespace = ? AND id = ? ORDER BY key";
constexpr char kInsert[] = "INSERT INTO _cf_KV VALUES (?, ?)";

class Target {
 public:
  explicit Target(const std::filesystem::path& file) : name_(file.string()) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(file.c_str(), &opened, flags, kSystemVfs);
    handle_.reset(opened);
    check(code);
  }

  [[nodiscard]] sqlite3* handle() const noexcept { return handle_.get(); }
  void execute(const char* sql) { check(sqlite3_exec(handle(), sql, nullptr, nullptr, nullptr)); }
  void check(int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE) return;
    throw Error((code & 0xff) == SQLITE_FULL ? ErrorCode::kFull : ErrorCode::kIo,
                "Cannot write " + name_ + ": " +
                    (handle() == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle())) + ".");
  }

 private:
  const std::string name_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_{nullptr, sqlite3_close_v2};
};

void bind_text(const Statement& statement, int index, const std::string& text) {
  sqlite3_bind_text(statement.handle(), index, text.data(), static_cast<int>(text.size()),
                    SQLITE_STATIC);
}

}  // namespace

void export_pairs(ViewDatabase& view, const KeyOwner& owner, const std::filesystem::path& file) {
  Target target(file);
  target.execute(kPrepare);
  sqlite3_stmt* raw = nullptr;
  target.check(sqlite3_prepare_v2(target.handle(), kInsert, -1, &raw, nullptr));
  const Statement insert(raw);
  Statement pairs = view.prepare(kPairs);
  bind_text(pairs, 1, owner.ns);
  bind_text(pairs, 2, owner.id);
  while (view.step(pairs)) {
    for (const int column : {0, 1})
      sqlite3_bind_value(raw, column + 1, sqlite3_column_value(pairs.handle(), column));
    sqlite3_step(raw);
    target.check(sqlite3_reset(raw));
  }
  target.execute("COMMIT");
}

}  // namespace perdure::store
