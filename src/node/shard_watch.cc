#include "node/shard_watch.h"

#include <atomic>
#include <cstdio>
#include <utility>

namespace perdure::node {
namespace {

runtime::Watchdog& watchdog() {
  // Never destroyed: process.exit() ends the process while shards are still being watched.
  static auto* one = new runtime::Watchdog(
      [](const std::string& line) { std::fprintf(stderr, "perdure: %s\n", line.c_str()); });
  return *one;
}

// JavaScript writes it with plain stores.
std::int32_t load(std::int32_t& cell) {
  return std::atomic_ref<std::int32_t>(cell).load(std::memory_order_relaxed);
}

// A name is what a user made up: it must not look like another line.
std::string quoted(const std::string& name) {
  std::string out = "\"";
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

ShardWatch::~ShardWatch() {
  if (call_.is_open()) watchdog().unwatch(*this);
}

void ShardWatch::start(napi_env env, std::chrono::milliseconds threshold) {
  if (call_.is_open()) throw Error(ErrorCode::kInvalid, "The shard is being watched already.");
  call_.open(env, "perdure watchdog", nullptr, this, answer);
  // The first ping may come before watch() has returned.
  const std::scoped_lock lock(mutex_);
  watch_ = &watchdog().watch(*this, threshold);
}

std::int32_t ShardWatch::label(std::string class_name, std::string method) {
  const std::scoped_lock lock(mutex_);
  if (labels_.size() >= kLabelsMax) return 0;
  labels_.push_back({std::move(class_name), std::move(method)});
  return static_cast<std::int32_t>(labels_.size());
}

void ShardWatch::ping() { call_.call(); }

void ShardWatch::answer(napi_env env, napi_value /*unused*/, void* context, void* /*data*/) {
  if (env == nullptr) return;  // the environment is going
  static_cast<ShardWatch*>(context)->watch_->answer();
}

std::uint32_t ShardWatch::turn() const {
  return static_cast<std::uint32_t>(load(exchange_.header[kTurn]));
}

std::string ShardWatch::describe() const {
  const std::scoped_lock lock(mutex_);
  const std::int32_t slot = load(exchange_.header[kTurnSlot]) - 1;
  const std::int32_t number = load(exchange_.header[kTurnLabel]);
  const auto index = static_cast<std::size_t>(number < 0 ? -number : number) - 1;
  const Label label = index < labels_.size() ? labels_[index] : Label{};
  if (slot < 0) return label.method.empty() ? "The Worker's code" : "The Worker's " + label.method;
  std::string who = label.class_name.empty() ? "An object" : label.class_name;
  try {
    const runtime::ShardObject& object = shard_.at(static_cast<runtime::Slot>(slot));
    who += ' ' + (object.name.empty() ? object.id.hex() : quoted(object.name));
  } catch (const Error&) {
    // It went away just now.
  }
  if (number > 0) return who + ": " + label.method;
  return who + ": code that went on after it had waited" +
         (label.method.empty() ? "" : " (called last: " + label.method + ")");
}

}  // namespace perdure::node
