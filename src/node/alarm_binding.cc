// The alarms from JavaScript: what the shard and the core say about them. What is done with it is
// JavaScript's business. Times are milliseconds since 1970.
#include "node/shard_binding.h"

namespace perdure::node {
namespace {

napi_value null(napi_env env) {
  napi_value out = nullptr;
  check(env, napi_get_null(env, &out));
  return out;
}

napi_value make_array(napi_env env, std::initializer_list<napi_value> elements) {
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, elements.size(), &out));
  std::uint32_t i = 0;
  for (const napi_value element : elements) check(env, napi_set_element(env, out, i++, element));
  return out;
}

// loadAlarms(namespace, shard, shards): those of its objects that this shard has go on the clock
napi_value load_alarms(napi_env env, napi_callback_info info) {
  Call<ShardHost, 3> call(env, info);
  const std::uint32_t index = call.uint(1);
  const std::uint32_t count = call.uint(2);
  call.self->shard.load_alarms(
      call.uint(0), [&](const runtime::ObjectId& id) { return id.shard(count) == index; });
  return nullptr;
}

// -> when the first alarm is due; -1 when there is none
napi_value next_alarm(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  const auto* first = call.self->shard.clock().first();
  return make_number(env, first == nullptr ? -1.0 : static_cast<double>(first->due_ms));
}

// dueAlarm(nowMs) -> [namespace, hex id, name or ""] of the object whose alarm is due first; null
// when none is due
napi_value due_alarm(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  const auto due = call.self->shard.first_due(call.u64(0));
  if (!due) return null(env);
  return make_array(env, {make_number(env, due->ns), make_latin1(env, due->id.hex()),
                          make_string(env, due->name)});
}

// alarmDue(slot, nowMs) -> whether an event is to arrive for the alarm
napi_value alarm_due(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  return make_bool(env, call.self->shard.alarm_due(call.uint(0), call.u64(1)));
}

// alarmBegins(slot, nowMs) -> [scheduled time, retry count], or null: there is nothing to run
napi_value alarm_begins(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  const auto run = call.self->shard.alarm_begins(call.uint(0), call.u64(1));
  if (!run) return null(env);
  return make_array(env, {make_number(env, static_cast<double>(run->scheduled_ms)),
                          make_number(env, run->retry_count)});
}

// alarmReturned(slot): to be committed then
napi_value alarm_returned(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  call.self->shard.alarm_returned(call.uint(0));
  return nullptr;
}

// alarmFailed(slot, nowMs, whether its commit has failed) -> 0 it was replaced or deleted
// meanwhile, 1 it is tried again, 2 it is dropped
napi_value alarm_failed(napi_env env, napi_callback_info info) {
  Call<ShardHost, 3> call(env, info);
  const auto fault = call.boolean(2) ? object::AlarmFault::kStorage : object::AlarmFault::kHandler;
  const auto failure = call.self->shard.alarm_failed(call.uint(0), call.u64(1), fault);
  return make_number(env, static_cast<double>(failure));
}

// setAlarm(slot, time, nowMs) and deleteAlarm(slot) tell in header[kBegan] whether they began the
// implicit transaction.
napi_value set_alarm(napi_env env, napi_callback_info info) {
  Call<ShardHost, 3> call(env, info);
  const runtime::Slot slot = call.uint(0);
  call.self->begin_write(slot);
  call.self->shard.set_alarm(slot, call.u64(1), call.u64(2));
  return nullptr;
}

napi_value delete_alarm(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  const runtime::Slot slot = call.uint(0);
  call.self->begin_write(slot);
  call.self->shard.delete_alarm(slot);
  return nullptr;
}

// -> whether the object has nothing to do
napi_value evictable(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  return make_bool(env, call.self->shard.at(call.uint(0)).core.evictable());
}

// -> the time, or null
napi_value get_alarm(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  const auto time_ms = call.self->shard.at(call.uint(0)).core.get_alarm();
  return time_ms ? make_number(env, static_cast<double>(*time_ms)) : null(env);
}

}  // namespace

void define_alarms(napi_env env, napi_value shard, ShardHost* host) {
  method<load_alarms>(env, shard, "loadAlarms", host);
  method<next_alarm>(env, shard, "nextAlarm", host);
  method<due_alarm>(env, shard, "dueAlarm", host);
  method<alarm_due>(env, shard, "alarmDue", host);
  method<alarm_begins>(env, shard, "alarmBegins", host);
  method<alarm_returned>(env, shard, "alarmReturned", host);
  method<alarm_failed>(env, shard, "alarmFailed", host);
  method<set_alarm>(env, shard, "setAlarm", host);
  method<delete_alarm>(env, shard, "deleteAlarm", host);
  method<get_alarm>(env, shard, "getAlarm", host);
  method<evictable>(env, shard, "evictable", host);
}

}  // namespace perdure::node
