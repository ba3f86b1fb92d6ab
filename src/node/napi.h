#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <node_api.h>

#include "base/error.h"

// Thin helpers over the C interface of Node-API. No wrapper classes: on the hot path each call of
// it is counted.
namespace perdure::node {

// Thrown when a Node-API call fails because JavaScript has an exception pending: unwinds to
// `guarded`, which lets that exception through.
struct PendingException {};

inline void check(napi_env env, napi_status status) {
  if (status == napi_ok) return;
  if (status == napi_pending_exception) throw PendingException{};
  const napi_extended_error_info* info = nullptr;
  napi_get_last_error_info(env, &info);
  throw Error(ErrorCode::kInvalid, info != nullptr && info->error_message != nullptr
                                       ? info->error_message
                                       : "Node-API refused a call");
}

// The arguments of a call and the native object that its function was made for.
template <typename Self, std::size_t Count>
struct Call {
  Call(napi_env environment, napi_callback_info info) : env(environment) {
    std::size_t count = Count;
    void* data = nullptr;
    check(env, napi_get_cb_info(env, info, &count, args.data(), nullptr, &data));
    self = static_cast<Self*>(data);
  }

  [[nodiscard]] double number(std::size_t i) const {
    double value = 0;
    check(env, napi_get_value_double(env, args[i], &value));
    return value;
  }
  [[nodiscard]] std::uint32_t uint(std::size_t i) const {
    std::uint32_t value = 0;
    check(env, napi_get_value_uint32(env, args[i], &value));
    return value;
  }
  [[nodiscard]] std::uint64_t u64(std::size_t i) const {
    return static_cast<std::uint64_t>(number(i));
  }
  [[nodiscard]] bool boolean(std::size_t i) const {
    bool value = false;
    check(env, napi_get_value_bool(env, args[i], &value));
    return value;
  }
  [[nodiscard]] napi_valuetype type(std::size_t i) const {
    napi_valuetype type = napi_undefined;
    check(env, napi_typeof(env, args[i], &type));
    return type;
  }
  [[nodiscard]] std::string utf8(std::size_t i) const;
  [[nodiscard]] std::string latin1(std::size_t i) const;

  napi_env env;
  std::array<napi_value, Count> args{};
  Self* self = nullptr;
};

template <typename Self>
struct Call<Self, 0> {
  Call(napi_env environment, napi_callback_info info) : env(environment) {
    std::size_t count = 0;
    void* data = nullptr;
    check(env, napi_get_cb_info(env, info, &count, nullptr, nullptr, &data));
    self = static_cast<Self*>(data);
  }
  napi_env env;
  Self* self = nullptr;
};

// Appends the string to `out` (which keeps what it has). UTF-8 has half a surrogate pair as three
// bytes of its own, so that texts which differ do so here, too.
void append_utf8(napi_env env, napi_value value, std::string& out);
void append_latin1(napi_env env, napi_value value, std::string& out);
// True when Node-API may have replaced half a surrogate pair: append_utf8() has it.
[[nodiscard]] bool has_replacement(std::string_view utf8);

template <typename Self, std::size_t Count>
std::string Call<Self, Count>::utf8(std::size_t i) const {
  std::string out;
  append_utf8(env, args[i], out);
  return out;
}
template <typename Self, std::size_t Count>
std::string Call<Self, Count>::latin1(std::size_t i) const {
  std::string out;
  append_latin1(env, args[i], out);
  return out;
}

napi_value make_number(napi_env env, double value);
napi_value make_bool(napi_env env, bool value);
napi_value make_string(napi_env env, std::string_view utf8);
napi_value make_latin1(napi_env env, std::string_view latin1);
bool is_ascii(std::string_view text);
// A string of UTF-8 bytes; ASCII, the common case, is made the cheaper way.
napi_value text_value(napi_env env, const char* text, std::size_t size);
napi_value make_object(napi_env env);
void set(napi_env env, napi_value object, const char* name, napi_value value);
// A new ArrayBuffer with a copy of the bytes.
napi_value make_array_buffer(napi_env env, std::span<const std::byte> bytes);
// Bytes of an ArrayBuffer, a typed array or a DataView; throws Error for anything else.
std::span<const std::byte> bytes_of(napi_env env, napi_value value);

// The `code` of JavaScript errors, for what JavaScript tells apart (js/src/runtime/native.ts); null
// for others.
const char* javascript_code(ErrorCode code) noexcept;

// Runs `Body(env, info)` and turns what it throws into a JavaScript exception: nothing is thrown
// across the C boundary.
using Callback = napi_value (*)(napi_env, napi_callback_info);
template <Callback Body>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return Body(env, info);
  } catch (const PendingException&) {
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kRange) {
      napi_throw_range_error(env, nullptr, error.what());
    } else {
      napi_throw_error(env, javascript_code(error.code()), error.what());
    }
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
  }
  return nullptr;
}

template <Callback Body>
void method(napi_env env, napi_value object, const char* name, void* self) {
  napi_value function = nullptr;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, guarded<Body>, self, &function));
  set(env, object, name, function);
}

}  // namespace perdure::node
