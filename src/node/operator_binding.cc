// What operators run on an object's own database (js/src/operate/write.ts) has an end.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include <poll.h>

#include "node/shard_binding.h"

namespace perdure::node {
namespace {

// What statements may take.
constexpr double kTimeMsMax = 86'400'000;
// In a claim: js/src/operate/claim.ts.
constexpr std::int32_t kGivenUp = 2;

// The number that the claim is, in memory that other threads' JavaScript has, too.
std::int32_t* cell_of(napi_env env, napi_value claim) {
  napi_typedarray_type type{};
  std::size_t length = 0;
  void* data = nullptr;
  check(env, napi_get_typedarray_info(env, claim, &type, &length, &data, nullptr, nullptr));
  if (type != napi_int32_array || length != 1)
    throw Error(ErrorCode::kInvalid, "a claim is an Int32Array of one number");
  return static_cast<std::int32_t*>(data);
}

bool has_hung_up(int connection) {
  pollfd asked{.fd = connection, .events = POLLRDHUP, .revents = 0};
  return poll(&asked, 1, 0) > 0;  // never for -1
}

// limitStatements(slot, milliseconds, claim, whether this is the main thread, descriptor of the
// client's connection or -1): until liftLimit(), which comes before this turn ends, and keeps the
// claim. Nobody gives up the claim from the main thread while it is busy here, so signals and the
// connection, which are its own to handle, are looked at as well.
napi_value limit_statements(napi_env env, napi_callback_info info) {
  Call<ShardHost, 5> call(env, info);
  const runtime::Slot slot = call.uint(0);
  const double time_ms = call.number(1);
  if (!(time_ms >= 0 && time_ms <= kTimeMsMax))
    throw Error(ErrorCode::kInvalid, "statements may take a day at most");
  const bool watches_signals = call.boolean(3);
  const int client = static_cast<int>(call.number(4));
  const auto is_unwanted = [cell = cell_of(env, call.args[2]), watches_signals, client] {
    const std::int32_t state = std::atomic_ref(*cell).load(std::memory_order_relaxed);
    return state == kGivenUp || (watches_signals && StopSignals::seen()) || has_hung_up(client);
  };
  ShardHost& host = *call.self;
  host.operator_limit.reset();
  host.operator_limit = std::make_unique<OperatorLimit>(
      slot, watches_signals, host.shard.database(slot),
      std::chrono::milliseconds(std::int64_t(time_ms)), is_unwanted);
  return nullptr;
}

// liftLimit() -> [rows changed since limitStatements(), why a statement was stopped:
// store::StatementLimit::Stopped]
napi_value lift_limit(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  double rows = 0;
  auto stopped = store::StatementLimit::Stopped::kNo;
  if (const auto limit = std::move(call.self->operator_limit)) {  // none: the storage was closed
    rows = static_cast<double>(limit->statements.rows_changed());
    stopped = limit->statements.stopped();
  }
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, 2, &out));
  check(env, napi_set_element(env, out, 0, make_number(env, rows)));
  check(env, napi_set_element(env, out, 1, make_number(env, static_cast<double>(stopped))));
  return out;
}

}  // namespace

void define_operators(napi_env env, napi_value shard, ShardHost* host) {
  method<limit_statements>(env, shard, "limitStatements", host);
  method<lift_limit>(env, shard, "liftLimit", host);
}

}  // namespace perdure::node
