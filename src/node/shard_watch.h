#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "node/exchange.h"
#include "node/napi.h"
#include "node/thread_call.h"
#include "runtime/shard.h"
#include "runtime/watchdog.h"

namespace perdure::node {

// What the watchdog needs to know about a shard's thread: whether it is free, and whose code it
// runs, which JavaScript writes into the exchange at the beginning of each turn. Made and destroyed
// on that thread. One watchdog looks after all shards of the process; it prints to stderr.
class ShardWatch : public runtime::WatchedThread {
 public:
  // Classes' methods that have a label; further ones are reported without their name.
  static constexpr std::size_t kLabelsMax = 10'000;

  ShardWatch(Exchange& exchange, runtime::Shard& shard) : exchange_(exchange), shard_(shard) {}
  ~ShardWatch() override;
  ShardWatch(const ShardWatch&) = delete;
  ShardWatch& operator=(const ShardWatch&) = delete;

  // Once: reports turns that take longer than `threshold`.
  void start(napi_env env, std::chrono::milliseconds threshold);

  // The number by which the exchange names a method; 0 when there are too many.
  std::int32_t label(std::string class_name, std::string method);

  // To be held while the shard's table of objects changes.
  [[nodiscard]] std::mutex& mutex() noexcept { return mutex_; }

  void ping() override;
  [[nodiscard]] std::uint32_t turn() const override;
  [[nodiscard]] std::string describe() const override;

 private:
  struct Label {
    std::string class_name;
    std::string method;
  };

  static void answer(napi_env env, napi_value unused, void* context, void* data);

  Exchange& exchange_;
  runtime::Shard& shard_;
  mutable std::mutex mutex_;
  std::vector<Label> labels_;
  ThreadCall call_;
  runtime::Watch* watch_ = nullptr;
};

}  // namespace perdure::node
