#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "node/engine_binding.h"
#include "node/exchange.h"
#include "node/napi.h"
#include "node/shard_watch.h"
#include "node/stop_signals.h"
#include "node/waker.h"
#include "runtime/shard.h"
#include "store/statement_limit.h"

namespace perdure::node {

// A prepared statement of user code, by its number in the shard.
struct Prepared {
  store::Statement statement;
  runtime::Slot slot = 0;
  std::string bound_text;  // what the text parameters point into while the statement runs
  // What the next run() fails with: it happened while rows before it were fetched.
  std::optional<store::SqlError> failure;
  std::uint64_t returned_bytes = 0;  // by RETURNING, in this run of the statement
};

// What keeps statements of operators within bounds while they run.
struct OperatorLimit {
  OperatorLimit(runtime::Slot object, bool watches_signals, store::Database& database,
                std::chrono::milliseconds time_max, std::function<bool()> is_unwanted)
      : slot(object), statements(database, time_max, std::move(is_unwanted)) {
    if (watches_signals) signals.emplace();
  }

  const runtime::Slot slot;
  std::optional<StopSignals> signals;
  store::StatementLimit statements;
};

// One shard as its JavaScript environment holds it. Everything on that environment's thread.
struct ShardHost {
  ShardHost(Engine& owner, store::Store& store, std::uint64_t alarm_retry_ms)
      : engine(owner), shard(store, owner.open_catalog(), alarm_retry_ms) {}

  Engine& engine;
  runtime::Shard shard;
  Exchange* exchange = nullptr;  // the memory of an ArrayBuffer that `exchange_reference` keeps
  napi_ref exchange_reference = nullptr;
  std::unique_ptr<Waker> waker;
  std::unique_ptr<ShardWatch> watch;  // until the shard is closed
  std::string text;                   // the texts of a batch of rows; kept for its capacity
  std::string value_buffer;
  std::unique_ptr<OperatorLimit> operator_limit;  // while an operator's statements run

  std::vector<std::unique_ptr<Prepared>> statements;
  std::vector<std::uint32_t> free_statements;
  std::unordered_map<runtime::Slot, std::vector<std::uint32_t>> statements_of;

  std::uint32_t add_statement(runtime::Slot slot, store::Statement statement);
  void remove_statement(std::uint32_t number);
  // Throws Error when there is no such statement (any more): the shard has been closed.
  [[nodiscard]] Prepared& statement(std::uint32_t number) const;
  // Opens the implicit transaction if need be, and tells in header[kBegan] whether it did.
  void begin_write(runtime::Slot slot);
  void finalize_statements(runtime::Slot slot);
  // Finalizes the object's statements and closes its storage.
  void close_storage(runtime::Slot slot);
  [[nodiscard]] Waker& open_waker() const;
  [[nodiscard]] ShardWatch& open_watch() const;
  void close(napi_env env);
};

// engine.createShard(exchange: ArrayBuffer, onWake: () => void, alarmRetryMs) -> shard
napi_value create_shard(napi_env env, napi_callback_info info);

// Parts of the shard's interface, each in its own file.
void define_sql(napi_env env, napi_value shard, ShardHost* host);
void define_key_value(napi_env env, napi_value shard, ShardHost* host);
void define_alarms(napi_env env, napi_value shard, ShardHost* host);
void define_bookmarks(napi_env env, napi_value shard, ShardHost* host);
void define_operators(napi_env env, napi_value shard, ShardHost* host);

}  // namespace perdure::node
