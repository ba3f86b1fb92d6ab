// The restores that wait for their objects' next sessions, in the catalog.
#include "runtime/catalog_impl.h"

namespace perdure::runtime {
namespace {

constexpr char kPutRestore[] =
    "INSERT OR REPLACE INTO restores (namespace, id, target_lsn) VALUES (?, ?, ?)";
constexpr char kFindRestore[] =
    "SELECT number, target_lsn IS NOT NULL, target_lsn FROM restores WHERE id = ? AND namespace = "
    "?";
constexpr char kRemoveRestore[] = "DELETE FROM restores WHERE id = ?";
constexpr char kHasRestores[] = "SELECT EXISTS (SELECT 1 FROM restores)";

// The rows are numbered for good; zero stands for no restore.
std::uint32_t restore_number(std::int64_t row) {
  return static_cast<std::uint32_t>((row - 1) % Catalog::kRestoreNumberMax) + 1;
}

}  // namespace

void Catalog::Impl::remove_restore(const ObjectId& id) {
  auto& statement = prepared(statements.remove_restore, kRemoveRestore);
  bind_id(statement, 1, id);
  run(*database, statement);
}

Catalog::NotedRestore Catalog::schedule_restore(NamespaceNumber ns, const ObjectId& id,
                                                std::optional<Lsn> target_lsn) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  auto& statement = impl_->prepared(impl_->statements.put_restore, kPutRestore);
  bind_integer(statement, 1, ns);
  bind_id(statement, 2, id);
  if (target_lsn) {
    bind_integer(statement, 3, *target_lsn);
  } else {
    sqlite3_bind_null(statement.handle(), 3);
  }
  // One statement commits by itself.
  run(*impl_->database, statement);
  impl_->restores_wait = true;
  return {restore_number(sqlite3_last_insert_rowid(impl_->database->handle())),
          impl_->database->last_lsn()};
}

std::optional<Catalog::ScheduledRestore> Catalog::find_restore(NamespaceNumber ns,
                                                               const ObjectId& id) {
  if (!impl_->restores_wait) return std::nullopt;
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  auto& statement = impl_->prepared(impl_->statements.find_restore, kFindRestore);
  bind_id(statement, 1, id);
  bind_integer(statement, 2, ns);
  if (const Row row(*impl_->database, statement); row) {
    ScheduledRestore found{.number = restore_number(row.integer(0)), .target_lsn = {}};
    if (row.integer(1) != 0) found.target_lsn = static_cast<Lsn>(row.integer(2));
    return found;
  }
  auto& any = impl_->prepared(impl_->statements.has_restores, kHasRestores);
  const Row row(*impl_->database, any);
  impl_->restores_wait = row.integer(0) != 0;
  return std::nullopt;
}

Lsn Catalog::give_up_restore(const ObjectId& id) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  impl_->remove_restore(id);
  return impl_->database->last_lsn();
}

void Catalog::RestoreChange::make() {
  AlarmChange::make();
  impl_->remove_restore(id_);
}

}  // namespace perdure::runtime
