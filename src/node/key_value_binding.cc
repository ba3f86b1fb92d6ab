// The key-value storage from JavaScript. A value is a string (JSON text) or bytes (a structured
// clone); what the text means is JavaScript's business.
#include <cstring>

#include "node/shard_binding.h"

namespace perdure::node {
namespace {

// Longer keys go through the heap; keys are limited to 2048 bytes where they are written.
constexpr std::size_t kKeyBufferBytes = 2304;
// The buffer for values has this size at least, and is given back when one made it larger than
// that.
constexpr std::size_t kValueBufferBytes = 16 << 10;
constexpr std::size_t kValueBufferBytesKept = 256 << 10;

// A key's UTF-8 bytes, in one call of Node-API for all but absurd ones.
class Key {
 public:
  Key(napi_env env, napi_value value) {
    std::size_t length = 0;
    check(env, napi_get_value_string_utf8(env, value, buffer_, kKeyBufferBytes, &length));
    view_ = {buffer_, length};
    if (length + 4 < kKeyBufferBytes && !has_replacement(view_)) return;
    append_utf8(env, value, long_);
    view_ = long_;
  }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  [[nodiscard]] std::string_view view() const { return view_; }

 private:
  char buffer_[kKeyBufferBytes];
  std::string long_;
  std::string_view view_;
};

// A string's UTF-8 bytes in `buffer`: in one pass when they fit what it has, as they mostly do.
std::span<const char> text_bytes(napi_env env, napi_value value, std::string& buffer) {
  if (buffer.size() < kValueBufferBytes || buffer.size() > kValueBufferBytesKept)
    buffer = std::string(kValueBufferBytes, '\0');
  std::size_t length = 0;
  check(env, napi_get_value_string_utf8(env, value, buffer.data(), buffer.size(), &length));
  // Cut short, it ends within one character of the buffer's end.
  if (length + 4 < buffer.size()) return {buffer.data(), length};
  buffer.clear();
  append_utf8(env, value, buffer);
  return buffer;
}

napi_value value_of(napi_env env, const store::KeyValue::Value& value) {
  if (!value.is_text) return make_array_buffer(env, value.bytes);
  const std::string_view text{reinterpret_cast<const char*>(value.bytes.data()),
                              value.bytes.size()};
  return text_value(env, text.data(), text.size());
}

// -> string, ArrayBuffer, or undefined
napi_value kv_get(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  const Key key(env, call.args[1]);
  return call.self->shard.with_key_value(call.uint(0), [&](auto& kv) -> napi_value {
    const auto value = kv.get(key.view());
    return value.has_value() ? value_of(env, *value) : nullptr;
  });
}

// Writes tell in header[kBegan] whether they began the implicit transaction, also when they fail
// then.
napi_value kv_put(napi_env env, napi_callback_info info) {
  Call<ShardHost, 3> call(env, info);
  ShardHost& host = *call.self;
  const runtime::Slot slot = call.uint(0);
  const Key key(env, call.args[1]);
  const bool is_text = call.type(2) == napi_string;
  std::span<const std::byte> bytes;
  if (is_text) {
    bytes = std::as_bytes(text_bytes(env, call.args[2], host.value_buffer));
  } else {
    bytes = bytes_of(env, call.args[2]);
  }
  host.begin_write(slot);
  host.shard.with_key_value(slot, [&](auto& kv) { kv.put(key.view(), bytes, is_text); });
  return nullptr;
}

// The same two for short keys and small values, which JavaScript has put into the exchange buffer.
std::string_view inline_key(const Exchange& exchange) {
  return {exchange.text, static_cast<std::size_t>(exchange.header[kKeyBytes])};
}

napi_value kv_get_inline(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  const Exchange& exchange = *call.self->exchange;
  const auto slot = static_cast<runtime::Slot>(exchange.header[kSlot]);
  return call.self->shard.with_key_value(slot, [&](auto& kv) -> napi_value {
    const auto value = kv.get(inline_key(exchange));
    return value.has_value() ? value_of(env, *value) : nullptr;
  });
}

napi_value kv_put_inline(napi_env env, napi_callback_info info) {
  Call<ShardHost, 0> call(env, info);
  ShardHost& host = *call.self;
  const Exchange& exchange = *host.exchange;
  const auto slot = static_cast<runtime::Slot>(exchange.header[kSlot]);
  const auto value = std::span(exchange.text)
                         .subspan(inline_key(exchange).size(),
                                  static_cast<std::size_t>(exchange.header[kValueBytes]));
  host.begin_write(slot);
  host.shard.with_key_value(
      slot, [&](auto& kv) { kv.put(inline_key(exchange), std::as_bytes(value), true); });
  return nullptr;
}

// -> whether there was one
napi_value kv_delete(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  ShardHost& host = *call.self;
  const runtime::Slot slot = call.uint(0);
  const Key key(env, call.args[1]);
  host.begin_write(slot);
  return make_bool(
      env, host.shard.with_key_value(slot, [&](auto& kv) { return kv.remove(key.view()); }));
}

// kvList(slot, start, startAfter, end, prefix, reverse, limit (-1: none)) -> [key, value, …]
napi_value kv_list(napi_env env, napi_callback_info info) {
  Call<ShardHost, 7> call(env, info);
  const auto text = [&](std::size_t i) {
    return call.type(i) == napi_string ? std::optional<std::string>(call.utf8(i)) : std::nullopt;
  };
  const auto start = text(1);
  const auto end = text(3);
  const auto prefix = text(4);
  store::KeyValue::ListOptions options;
  if (start.has_value()) options.start = *start;
  options.after_start = call.boolean(2);
  if (end.has_value()) options.end = *end;
  if (prefix.has_value()) options.prefix = *prefix;
  options.reverse = call.boolean(5);
  if (const double limit = call.number(6); limit >= 0)
    options.limit = static_cast<std::uint64_t>(limit);
  napi_value out = nullptr;
  check(env, napi_create_array(env, &out));
  call.self->shard.with_key_value(call.uint(0), [&](auto& kv) {
    auto cursor = kv.list(options);
    std::uint32_t i = 0;
    while (cursor.next()) {
      const std::string_view key = cursor.key();
      check(env, napi_set_element(env, out, i++, text_value(env, key.data(), key.size())));
      check(env, napi_set_element(env, out, i++, value_of(env, cursor.value())));
    }
  });
  return out;
}

// deleteAll(slot, its alarm too) empties the object's storage; statements prepared on its database
// are gone.
napi_value delete_all(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  ShardHost& host = *call.self;
  const runtime::Slot slot = call.uint(0);
  host.finalize_statements(slot);
  host.begin_write(slot);
  host.shard.remove_all(slot, call.boolean(1));
  return nullptr;
}

}  // namespace

void define_key_value(napi_env env, napi_value shard, ShardHost* host) {
  method<kv_get>(env, shard, "kvGet", host);
  method<kv_put>(env, shard, "kvPut", host);
  method<kv_get_inline>(env, shard, "kvGetInline", host);
  method<kv_put_inline>(env, shard, "kvPutInline", host);
  method<kv_delete>(env, shard, "kvDelete", host);
  method<kv_list>(env, shard, "kvList", host);
  method<delete_all>(env, shard, "deleteAll", host);
}

}  // namespace perdure::node
