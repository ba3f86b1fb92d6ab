#include "node/shard_binding.h"

#include <algorithm>

#include "node/http_binding.h"

namespace perdure::node {

std::uint32_t ShardHost::add_statement(runtime::Slot slot, store::Statement statement) {
  auto prepared = std::make_unique<Prepared>();
  prepared->statement = std::move(statement);
  prepared->slot = slot;
  std::uint32_t number = 0;
  if (free_statements.empty()) {
    number = static_cast<std::uint32_t>(statements.size());
    statements.push_back(std::move(prepared));
  } else {
    number = free_statements.back();
    free_statements.pop_back();
    statements[number] = std::move(prepared);
  }
  statements_of[slot].push_back(number);
  return number;
}

void ShardHost::remove_statement(std::uint32_t number) {
  if (number >= statements.size() || statements[number] == nullptr) return;
  auto& of_object = statements_of[statements[number]->slot];
  std::erase(of_object, number);
  statements[number].reset();
  free_statements.push_back(number);
}

Prepared& ShardHost::statement(std::uint32_t number) const {
  if (number >= statements.size() || statements[number] == nullptr)
    throw Error(ErrorCode::kInvalid,
                "This SQL statement is gone: its object or the shard has been closed.");
  return *statements[number];
}

void ShardHost::begin_write(runtime::Slot slot) {
  exchange->header[kBegan] = shard.begin_write(slot) ? 1 : 0;
}

void ShardHost::finalize_statements(runtime::Slot slot) {
  if (const auto found = statements_of.find(slot); found != statements_of.end()) {
    for (const std::uint32_t number : found->second) {
      statements[number].reset();
      free_statements.push_back(number);
    }
    statements_of.erase(found);
  }
}

void ShardHost::close_storage(runtime::Slot slot) {
  finalize_statements(slot);
  if (operator_limit != nullptr && operator_limit->slot == slot) operator_limit.reset();
  shard.close_storage(slot);
}

Waker& ShardHost::open_waker() const {
  if (waker == nullptr) throw Error(ErrorCode::kInvalid, "The shard has been closed.");
  return *waker;
}

ShardWatch& ShardHost::open_watch() const {
  if (watch == nullptr) throw Error(ErrorCode::kInvalid, "The shard has been closed.");
  return *watch;
}

void ShardHost::close(napi_env env) {
  watch.reset();
  // What is still called finds no object and no statement here, and says so.
  static thread_local Exchange nothing{};
  if (exchange_reference != nullptr) napi_delete_reference(env, exchange_reference);
  exchange_reference = nullptr;
  exchange = &nothing;
  text = {};
  value_buffer = {};
  statements_of.clear();
  statements.clear();
  free_statements.clear();
  operator_limit.reset();
  shard.close();
  waker.reset();
}

namespace {

napi_value add(napi_env env, napi_callback_info info) {
  Call<ShardHost, 3> call(env, info);
  const std::uint32_t ns = call.uint(0);
  const auto id = call.self->engine.id_factory(ns).from_string(call.latin1(1));
  if (!id.has_value()) throw Error(ErrorCode::kInvalid, "this id is not of the namespace");
  const std::string name = call.utf8(2);
  const std::scoped_lock lock(call.self->open_watch().mutex());
  return make_number(env, call.self->shard.add(ns, *id, name));
}

napi_value remove(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->close_storage(call.uint(0));
  const std::scoped_lock lock(call.self->open_watch().mutex());
  call.self->shard.remove(call.uint(0));
  return nullptr;
}

// arrive(slot, event, section that it originates in) -> 0 deliver, 1 wait, 2 construct
napi_value arrive(napi_env env, napi_callback_info info) {
  Call<ShardHost, 3> call(env, info);
  const auto admission = call.self->shard.at(call.uint(0)).core.arrive(call.uint(1), call.u64(2));
  return make_number(env, static_cast<double>(admission));
}

napi_value constructed(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->shard.at(call.uint(0)).core.constructed();
  return nullptr;
}

// -> the event to run now, or -1
napi_value next(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  const auto event = call.self->shard.at(call.uint(0)).core.next();
  return make_number(env, event.has_value() ? static_cast<double>(*event) : -1.0);
}

// -> what the object has seen and committed so far
napi_value finish(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  auto& core = call.self->shard.at(call.uint(0)).core;
  core.finish(call.u64(1));
  return make_number(env, static_cast<double>(core.seen_lsn()));
}

// -> what the object has seen and committed so far
napi_value seen_lsn(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  return make_number(env, static_cast<double>(call.self->shard.at(call.uint(0)).core.seen_lsn()));
}

// openSection(slot, request, section that asks, nowMs) -> the section, or 0 when it waits
napi_value open_section(napi_env env, napi_callback_info info) {
  Call<ShardHost, 4> call(env, info);
  const auto section =
      call.self->shard.at(call.uint(0)).core.open_section(call.uint(1), call.u64(2), call.u64(3));
  return make_number(env, static_cast<double>(section));
}

// -> [request, section], or null when none may begin
napi_value next_section(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  const auto start = call.self->shard.at(call.uint(0)).core.next_section(call.u64(1));
  napi_value out = nullptr;
  if (!start.has_value()) {
    check(env, napi_get_null(env, &out));
    return out;
  }
  check(env, napi_create_array_with_length(env, 2, &out));
  check(env, napi_set_element(env, out, 0, make_number(env, start->request)));
  check(env, napi_set_element(env, out, 1, make_number(env, static_cast<double>(start->section))));
  return out;
}

napi_value close_section(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  call.self->shard.at(call.uint(0)).core.close_section(call.u64(1));
  return nullptr;
}

napi_value hold(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->shard.at(call.uint(0)).core.hold();
  return nullptr;
}

napi_value release(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  call.self->shard.at(call.uint(0)).core.release(call.u64(1));
  return nullptr;
}

napi_value numbers(napi_env env, const std::vector<std::uint32_t>& values) {
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, values.size(), &out));
  for (std::uint32_t i = 0; i < values.size(); ++i)
    check(env, napi_set_element(env, out, i, make_number(env, values[i])));
  return out;
}

// The instance is gone: -> the events that waited. The database goes too, with what was not
// committed.
napi_value reset(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  const runtime::Slot slot = call.uint(0);
  const auto refused = call.self->shard.at(slot).core.reset(call.u64(1));
  call.self->close_storage(slot);
  return numbers(env, refused);
}

napi_value idle(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  return numbers(env, call.self->shard.idle(call.u64(0), call.u64(1)));
}

// leastRecentlyUsed(max) -> slots of objects without work, those that had it longest ago first
napi_value least_recently_used(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  return numbers(env, call.self->shard.least_recently_used(call.uint(0)));
}

// The instance goes, the state stays.
napi_value evict(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  const runtime::Slot slot = call.uint(0);
  call.self->shard.at(slot).core.evict();
  call.self->close_storage(slot);
  return nullptr;
}

// commit(slot, writes of the transaction that said allowUnconfirmed) -> what outputs of the object
// depend on now
napi_value commit(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  return make_number(env, static_cast<double>(call.self->shard.commit(call.uint(0), call.uint(1))));
}

napi_value rollback(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->shard.rollback(call.uint(0));
  return nullptr;
}

// savepoint(slot, action, depth): 0 opens, 1 releases, 2 rolls back to it and releases it.
napi_value savepoint(napi_env env, napi_callback_info info) {
  Call<ShardHost, 3> call(env, info);
  runtime::Shard& shard = call.self->shard;
  switch (call.uint(1)) {
    case 0:
      shard.open_savepoint(call.uint(0), call.uint(2));
      break;
    case 1:
      shard.release_savepoint(call.uint(0), call.uint(2));
      break;
    default:
      shard.rollback_savepoint(call.uint(0), call.uint(2));
  }
  return nullptr;
}

napi_value begin_explicit(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->shard.begin_explicit(call.uint(0));
  return nullptr;
}

napi_value begin(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  return make_bool(env, call.self->shard.begin(call.uint(0)));
}

napi_value database_size(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  return make_number(env,
                     static_cast<double>(call.self->shard.database(call.uint(0)).bytes_in_use()));
}

napi_value durable_lsn(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  return make_number(env, static_cast<double>(call.self->engine.open_store().log().durable_lsn()));
}

// -> the LSN of the last commit of any object
napi_value appended_lsn(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  return make_number(env, static_cast<double>(call.self->engine.open_store().log().appended_lsn()));
}

// The commits of a batch go to the disk.
napi_value flush_log(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  call.self->engine.open_store().log().flush();
  return nullptr;
}

napi_value wake_when_durable(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->open_waker().wake_when_durable(call.u64(0));
  return nullptr;
}

napi_value keep(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  call.self->open_waker().keep(env);
  return nullptr;
}

napi_value unkeep(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  call.self->open_waker().unkeep(env);
  return nullptr;
}

// watch(ms): turns that take longer are reported on stderr, and named.
napi_value watch(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->open_watch().start(env, std::chrono::milliseconds(call.uint(0)));
  return nullptr;
}

// label(class name, method) -> its number for the exchange
napi_value label(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  return make_number(env, call.self->open_watch().label(call.utf8(0), call.utf8(1)));
}

// Closes all databases and stops listening to the log; before engine.close().
napi_value close_shard(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  call.self->close(env);
  return nullptr;
}

}  // namespace

napi_value create_shard(napi_env env, napi_callback_info info) {
  Call<Engine, 3> call(env, info);
  void* memory = nullptr;
  std::size_t size = 0;
  check(env, napi_get_arraybuffer_info(env, call.args[0], &memory, &size));
  if (size != sizeof(Exchange))
    throw Error(ErrorCode::kInvalid, "the exchange buffer must have " +
                                         std::to_string(sizeof(Exchange)) + " bytes; rebuild");
  auto owner = std::make_unique<ShardHost>(*call.self, call.self->open_store(), call.u64(2));
  owner->exchange = static_cast<Exchange*>(memory);
  check(env, napi_create_reference(env, call.args[0], 1, &owner->exchange_reference));
  owner->waker = std::make_unique<Waker>(env, call.args[1], owner->shard.store().log());
  owner->watch = std::make_unique<ShardWatch>(*owner->exchange, owner->shard);
  ShardHost* host = owned_by_environment(env, std::move(owner));
  napi_value out = make_object(env);
  method<add>(env, out, "add", host);
  method<remove>(env, out, "remove", host);
  method<arrive>(env, out, "arrive", host);
  method<constructed>(env, out, "constructed", host);
  method<next>(env, out, "next", host);
  method<finish>(env, out, "finish", host);
  method<seen_lsn>(env, out, "seenLsn", host);
  method<open_section>(env, out, "openSection", host);
  method<next_section>(env, out, "nextSection", host);
  method<close_section>(env, out, "closeSection", host);
  method<hold>(env, out, "hold", host);
  method<release>(env, out, "release", host);
  method<reset>(env, out, "reset", host);
  method<idle>(env, out, "idle", host);
  method<least_recently_used>(env, out, "leastRecentlyUsed", host);
  method<evict>(env, out, "evict", host);
  method<watch>(env, out, "watch", host);
  method<label>(env, out, "label", host);
  method<begin>(env, out, "begin", host);
  method<begin_explicit>(env, out, "beginExplicit", host);
  method<commit>(env, out, "commit", host);
  method<rollback>(env, out, "rollback", host);
  method<savepoint>(env, out, "savepoint", host);
  method<database_size>(env, out, "databaseSize", host);
  method<durable_lsn>(env, out, "durableLsn", host);
  method<appended_lsn>(env, out, "appendedLsn", host);
  method<flush_log>(env, out, "flushLog", host);
  method<wake_when_durable>(env, out, "wakeWhenDurable", host);
  method<keep>(env, out, "keep", host);
  method<unkeep>(env, out, "unkeep", host);
  method<close_shard>(env, out, "close", host);
  method<open_http>(env, out, "openHttp", host);
  define_sql(env, out, host);
  define_key_value(env, out, host);
  define_alarms(env, out, host);
  define_bookmarks(env, out, host);
  define_operators(env, out, host);
  return out;
}

}  // namespace perdure::node
