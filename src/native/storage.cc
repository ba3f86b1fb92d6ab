#include "perdure/storage.h"

#include <utility>

#include "base/error.h"
#include "base/utc.h"
#include "native/storage_state.h"
#include "store/database_file.h"

namespace perdure {
namespace native {

StorageState::StorageState(std::shared_ptr<EngineState> owner, store::Store& store,
                           runtime::Catalog& catalog, runtime::NamespaceNumber number,
                           const runtime::ObjectId& object_id, ObjectId public_id,
                           StorageKind storage_kind)
    : engine(std::move(owner)),
      object(object_id),
      id(std::move(public_id)),
      kind(storage_kind),
      ns(number),
      point_in_time(store, catalog),
      shard(store, catalog) {
  shard.load_alarm(ns, object);
  slot = shard.add(ns, object, id.name());
  // The program is one event that lasts as long as this.
  auto& core = shard.at(slot).core;
  core.arrive(1);
  core.constructed();
  core.next();
  // A restore that JavaScript has asked for happens at the beginning of this session.
  shard.begin_session(slot);
}

StorageState::~StorageState() { close(); }

void refuse_bookmarks(const ObjectId& id) {
  throw Error(ErrorCode::kInvalid,
              "The object " + id.to_string() +
                  " has key-value storage (new_classes), which has no bookmarks.");
}

void StorageState::check_open() const {
  if (closed)
    throw Error(ErrorCode::kInvalid,
                "The storage of the object " + id.to_string() + " has been closed.");
}

void StorageState::check_failures() {
  if (unseen_failure) throw SqlError(*std::exchange(unseen_failure, std::nullopt));
}

store::Database& StorageState::open_database() {
  check_open();
  if (kind != StorageKind::kSqlite) {
    throw Error(ErrorCode::kInvalid,
                "The object " + id.to_string() +
                    " has key-value storage (new_classes), and no SQL: use Storage::kv().");
  }
  if (database == nullptr) database = &shard.database(slot);
  return *database;
}

bool StorageState::transaction_lost() {
  auto& of = shard.at(slot);
  if (kind == StorageKind::kKeyValue) return of.buffer != nullptr && of.buffer->lost();
  return of.database == nullptr || !of.database->in_transaction();
}

void StorageState::check_writable() {
  engine->check_writable();
  check_failures();
  if (depth > 0 && transaction_lost()) {
    throw Error(ErrorCode::kInvalid,
                "The transaction was taken back when one of its statements failed. Roll it back "
                "and begin another.");
  }
}

Lsn StorageState::last_commit() {
  auto& of = shard.at(slot);
  // Statements commit in SQLite, without the core.
  if (of.database != nullptr) of.core.observe(of.database->last_lsn());
  return of.core.seen_lsn();
}

void StorageState::leave_broken_database() noexcept {
  auto& of = shard.at(slot);
  if (of.database != nullptr && of.database->broken()) close_database();
}

void StorageState::close_database() noexcept {
  while (statements != nullptr) statements->close();
  cache.clear();
  try {
    shard.rollback(slot);
  } catch (const Error&) {
    // Closing the database rolls back, too.
  }
  depth = 0;
  database = nullptr;
  shard.close_storage(slot);
}

void StorageState::close() noexcept {
  if (std::exchange(closed, true)) return;
  close_database();
  shard.close();
  engine->give_back(object);
}

}  // namespace native

using native::StorageState;

// ---- Transaction

Transaction::Transaction(std::shared_ptr<StorageState> storage, std::uint32_t depth,
                         std::uint64_t serial) noexcept
    : storage_(std::move(storage)), depth_(depth), serial_(serial) {}

Transaction::Transaction(Transaction&& other) noexcept = default;

Transaction::~Transaction() {
  if (storage_ == nullptr) return;
  try {
    rollback();
  } catch (const Error&) {
    // The database is closed then, which rolls back.
  }
}

namespace {

bool is_open(const StorageState& storage, std::uint32_t depth, std::uint64_t serial) {
  return !storage.closed && storage.transactions == serial && storage.depth >= depth;
}

}  // namespace

Lsn Transaction::commit() {
  if (storage_ == nullptr || !is_open(*storage_, depth_, serial_))
    throw Error(ErrorCode::kInvalid, "This transaction has ended already.");
  StorageState& storage = *storage_;
  if (storage.depth > depth_) {
    rollback();
    throw Error(ErrorCode::kInvalid,
                "A transaction inside this one is still open: it was taken back as a whole. "
                "Commit or roll back the inner one first.");
  }
  try {
    storage.check_writable();
    storage.depth = depth_ - 1;
    if (depth_ > 1) {
      storage.shard.release_savepoint(storage.slot, depth_ - 2);
      return 0;
    }
    storage.shard.commit(storage.slot);
    return storage.last_commit();
  } catch (...) {
    storage.depth = depth_;
    rollback();
    throw;
  }
}

void Transaction::rollback() {
  if (storage_ == nullptr || !is_open(*storage_, depth_, serial_)) return;
  StorageState& storage = *storage_;
  // What is lost as a whole has no savepoints left.
  const bool whole = depth_ == 1;
  const bool lost = storage.transaction_lost();
  storage.depth = depth_ - 1;
  try {
    if (whole) {
      storage.shard.rollback(storage.slot);
    } else if (!lost) {
      storage.shard.rollback_savepoint(storage.slot, depth_ - 2);
    }
  } catch (...) {
    storage.close_database();
    throw;
  }
  storage.leave_broken_database();
}

// ---- Storage

Storage::Storage(std::shared_ptr<StorageState> state) noexcept : state_(std::move(state)) {}
Storage::Storage(Storage&& other) noexcept = default;

Storage& Storage::operator=(Storage&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Storage::~Storage() {
  if (state_ != nullptr) state_->close();
}

const ObjectId& Storage::id() const noexcept { return state_->id; }
StorageKind Storage::kind() const noexcept { return state_->kind; }

Sql& Storage::sql() {
  state_->open_database();
  return state_->sql;
}

Kv& Storage::kv() {
  state_->check_open();
  return state_->kv;
}

Transaction Storage::begin() {
  StorageState& storage = *state_;
  storage.check_open();
  storage.check_writable();
  if (storage.depth == 0) {
    storage.shard.begin_explicit(storage.slot);
    ++storage.transactions;
  } else {
    storage.shard.open_savepoint(storage.slot, storage.depth - 1);
  }
  return {state_, ++storage.depth, storage.transactions};
}

void Storage::delete_all() {
  StorageState& storage = *state_;
  if (storage.depth > 1) {
    throw Error(ErrorCode::kInvalid,
                "delete_all() cannot be used in a transaction that is inside another.");
  }
  const auto remove = [&] { storage.shard.remove_all(storage.slot, true); };
  if (storage.depth == 1 && storage.kind == StorageKind::kSqlite) {
    // It is many statements: when one fails, nothing of them stays in the open transaction.
    Transaction whole = begin();
    storage.write(remove);
    whole.commit();
  } else {
    storage.write(remove);
  }
}

std::optional<Time> Storage::get_alarm() {
  state_->check_open();
  const auto time_ms = state_->shard.at(state_->slot).core.get_alarm();
  if (!time_ms) return std::nullopt;
  return Time(std::chrono::milliseconds(*time_ms));
}

void Storage::set_alarm(Time time) {
  StorageState& storage = *state_;
  const std::int64_t time_ms = time.time_since_epoch().count();
  if (time_ms <= 0) {
    throw Error(ErrorCode::kInvalid,
                "An alarm must be set to a time after 1970-01-01T00:00:00.000Z, not to " +
                    utc_text(time_ms) + ".");
  }
  storage.write([&] {
    const auto now_ms = static_cast<std::uint64_t>(storage.shard.store().now_ms());
    storage.shard.set_alarm(storage.slot, static_cast<std::uint64_t>(time_ms), now_ms);
  });
}

void Storage::delete_alarm() {
  StorageState& storage = *state_;
  storage.write([&] { storage.shard.delete_alarm(storage.slot); });
}

// ---- point-in-time recovery

namespace {

StorageState& with_bookmarks(StorageState& storage) {
  storage.check_open();
  if (storage.kind != StorageKind::kSqlite) native::refuse_bookmarks(storage.id);
  if (storage.depth > 0)
    throw Error(ErrorCode::kInvalid, "Bookmarks cannot be used while a transaction is open.");
  return storage;
}

}  // namespace

namespace {

runtime::PastOf past_of(const StorageState& storage) {
  return {storage.ns, storage.object, storage.id.name()};
}

Past::End public_end(log::History::End end) {
  switch (end) {
    case log::History::End::kStopped:
      return Past::End::kMore;
    case log::History::End::kExpired:
      return Past::End::kExpired;
    case log::History::End::kBeginning:
      break;
  }
  return Past::End::kBeginning;
}

}  // namespace

std::string Storage::get_current_bookmark() {
  StorageState& storage = with_bookmarks(*state_);
  return storage.shard.current_bookmark(storage.slot).text();
}

std::string Storage::get_bookmark_for_time(Time time) {
  StorageState& storage = with_bookmarks(*state_);
  return storage.shard.bookmark_at(storage.slot, time.time_since_epoch().count()).text();
}

RestorePlan Storage::plan_restore(std::string_view bookmark) {
  StorageState& storage = with_bookmarks(*state_);
  const auto plan = storage.point_in_time.plan(past_of(storage), bookmark);
  return {.commits = plan.commits, .changed_pages = plan.changed_pages};
}

Past Storage::past(std::size_t commits_max) {
  StorageState& storage = with_bookmarks(*state_);
  const auto found = storage.point_in_time.past(past_of(storage), commits_max);
  Past past;
  for (const auto& [state, commit] : found.commits) {
    past.commits.push_back({.bookmark = state.text(),
                            .time = Time(std::chrono::milliseconds(commit.time_ms)),
                            .changed_pages = commit.changed_pages,
                            .bytes = commit.bytes,
                            .database_bytes = std::uint64_t{commit.pages_after} * commit.page_size,
                            .is_restore = (commit.flags & store::kRestoreFlag) != 0});
  }
  past.end = public_end(found.end);
  return past;
}

std::string Storage::restore(std::string_view bookmark) {
  StorageState& storage = with_bookmarks(*state_);
  storage.check_writable();
  const auto undo = storage.shard.restore_at_next_session(storage.slot, bookmark);
  storage.close_database();
  try {
    storage.shard.begin_session(storage.slot);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kFull) {
      const native::EngineState::Use use(*storage.engine);
      use.catalog().give_up_restore(storage.object);
    }
    throw;
  }
  return undo.text();
}

// ---- commits

Lsn Storage::last_commit() {
  state_->check_open();
  return state_->last_commit();
}

void Storage::sync() {
  const Lsn lsn = last_commit();
  state_->check_failures();
  state_->shard.store().log().wait_durable(lsn);
}

void Storage::close() {
  if (state_ != nullptr) state_->close();
}

}  // namespace perdure
