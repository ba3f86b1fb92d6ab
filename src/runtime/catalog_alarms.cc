// The alarms and the cron triggers in the catalog.
#include "runtime/catalog_impl.h"

namespace perdure::runtime {
namespace {

constexpr char kPutAlarm[] = "INSERT OR REPLACE INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?)";
constexpr char kRemoveAlarm[] = "DELETE FROM alarms WHERE namespace = ? AND id = ?";
constexpr char kFindAlarm[] =
    "SELECT name, time_ms, due_ms, retries, delays FROM alarms WHERE namespace = ? AND id = ?";
constexpr char kListAlarms[] = "SELECT id, due_ms FROM alarms WHERE namespace = ?";
constexpr char kKeysWithAlarms[] =
    "SELECT key FROM namespaces WHERE EXISTS (SELECT 1 FROM alarms WHERE namespace = number)";
constexpr char kListCrons[] = "SELECT expression, last_ms FROM crons";
constexpr char kForgetCrons[] = "DELETE FROM crons";
constexpr char kInsertCron[] = "INSERT INTO crons VALUES (?, ?)";

}  // namespace

std::optional<Catalog::StoredAlarm> Catalog::Impl::find_alarm(NamespaceNumber ns,
                                                              const ObjectId& id) {
  auto& statement = prepared(statements.find_alarm, kFindAlarm);
  bind_integer(statement, 1, ns);
  bind_id(statement, 2, id);
  const Row row(*database, statement);
  if (!row) return std::nullopt;
  StoredAlarm found;
  found.name = row.bytes(0);
  found.alarm.time_ms = static_cast<std::uint64_t>(row.integer(1));
  found.alarm.due_ms = static_cast<std::uint64_t>(row.integer(2));
  found.alarm.retries = static_cast<std::uint32_t>(row.integer(3));
  found.alarm.delays = static_cast<std::uint32_t>(row.integer(4));
  return found;
}

void Catalog::Impl::put_alarm(NamespaceNumber ns, const ObjectId& id, std::string_view name,
                              const object::Alarm& alarm) {
  auto& statement = prepared(statements.put_alarm, kPutAlarm);
  bind_integer(statement, 1, ns);
  bind_id(statement, 2, id);
  bind_name(statement, 3, name);
  bind_integer(statement, 4, alarm.time_ms);
  bind_integer(statement, 5, alarm.due_ms);
  bind_integer(statement, 6, alarm.retries);
  bind_integer(statement, 7, alarm.delays);
  run(*database, statement);
}

void Catalog::Impl::remove_alarm(NamespaceNumber ns, const ObjectId& id) {
  auto& statement = prepared(statements.remove_alarm, kRemoveAlarm);
  bind_integer(statement, 1, ns);
  bind_id(statement, 2, id);
  run(*database, statement);
}

std::optional<Catalog::StoredAlarm> Catalog::find_alarm(NamespaceNumber ns, const ObjectId& id) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  return impl_->find_alarm(ns, id);
}

void Catalog::for_each_alarm(
    NamespaceNumber ns, const std::function<void(const ObjectId&, std::uint64_t due_ms)>& visit) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  store::Database& database = *impl_->database;
  store::Statement list = database.prepare(kListAlarms, store::Access::kEngine);
  bind_integer(list, 1, ns);
  int code = 0;
  while ((code = database.step(list)) == SQLITE_ROW) {
    visit(object_id(column_bytes(list, 0)),
          static_cast<std::uint64_t>(sqlite3_column_int64(list.handle(), 1)));
  }
  if (code != SQLITE_DONE) throw database.error(code);
}

std::vector<std::string> Catalog::keys_with_alarms() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  std::vector<std::string> keys;
  store::Statement list = impl_->database->prepare(kKeysWithAlarms, store::Access::kEngine);
  while (impl_->database->step(list) == SQLITE_ROW) keys.push_back(column_text(list, 0));
  return keys;
}

std::vector<Catalog::CronRun> Catalog::cron_runs() {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  std::vector<CronRun> runs;
  store::Statement list = impl_->database->prepare(kListCrons, store::Access::kEngine);
  while (impl_->database->step(list) == SQLITE_ROW) {
    const auto last_ms = static_cast<std::uint64_t>(sqlite3_column_int64(list.handle(), 1));
    runs.push_back({column_text(list, 0), last_ms});
  }
  return runs;
}

void Catalog::keep_cron_runs(std::span<const CronRun> runs) {
  const std::scoped_lock lock(impl_->mutex);
  impl_->require_open();
  store::Database& database = *impl_->database;
  store::Statement insert = database.prepare(kInsertCron, store::Access::kEngine);
  impl_->transaction([&] {
    database.execute(kForgetCrons);
    for (const auto& [expression, last_ms] : runs) {
      bind_text(insert, 1, expression);
      bind_integer(insert, 2, last_ms);
      run(database, insert);
    }
  });
}

// ---- AlarmChange

Catalog::AlarmChange::AlarmChange(Catalog& catalog, NamespaceNumber ns, const ObjectId& id,
                                  std::string_view name, const std::optional<object::Alarm>& alarm)
    : impl_(catalog.impl_), ns_(ns), id_(id), name_(name), alarm_(alarm) {}

Catalog::AlarmChange::~AlarmChange() {
  if (lock_.owns_lock() && impl_->database->staged()) impl_->database->abandon_staged();
}

store::Database& Catalog::AlarmChange::stage() {
  lock_ = std::unique_lock(impl_->mutex);
  impl_->require_open();
  store::Database& database = *impl_->database;
  database.begin();
  try {
    make();
  } catch (...) {
    database.rollback();
    throw;
  }
  database.stage_commit();
  return database;
}

void Catalog::AlarmChange::make() {
  if (alarm_) {
    impl_->put_alarm(ns_, id_, name_, *alarm_);
  } else {
    impl_->remove_alarm(ns_, id_);
  }
}

Lsn Catalog::AlarmChange::commit_alone() { return stage().publish_staged(); }

}  // namespace perdure::runtime
