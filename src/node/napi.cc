#include "node/napi.h"

#include <cstring>

namespace perdure::node {
namespace {

using GetString = napi_status (*)(napi_env, napi_value, char*, std::size_t, std::size_t*);

void append(napi_env env, napi_value value, std::string& out, GetString get) {
  std::size_t length = 0;
  check(env, get(env, value, nullptr, 0, &length));
  const std::size_t before = out.size();
  out.resize(before + length + 1);  // Node-API writes a terminator
  check(env, get(env, value, out.data() + before, length + 1, &length));
  out.resize(before + length);
}

// What Node-API puts in place of half a surrogate pair; a text may have it of its own.
constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool is_high(char16_t unit) { return (unit & 0xfc00) == 0xd800; }
bool is_low(char16_t unit) { return (unit & 0xfc00) == 0xdc00; }

void append_code_point(char32_t point, std::string& out) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((point >> shift) & 0x3f)); };
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | (point >> 6));
    tail(0);
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | (point >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | (point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

// Half a surrogate pair as the three bytes of its code point, as workerd has it.
void append_generalized_utf8(napi_env env, napi_value value, std::string& out) {
  std::size_t length = 0;
  check(env, napi_get_value_string_utf16(env, value, nullptr, 0, &length));
  std::u16string units(length + 1, u'\0');
  check(env, napi_get_value_string_utf16(env, value, units.data(), length + 1, &length));
  for (std::size_t i = 0; i < length; ++i) {
    if (is_high(units[i]) && i + 1 < length && is_low(units[i + 1])) {
      append_code_point(0x10000 + ((units[i] & 0x3ffU) << 10) + (units[i + 1] & 0x3ffU), out);
      ++i;
    } else {
      append_code_point(units[i], out);
    }
  }
}

}  // namespace

bool has_replacement(std::string_view utf8) {
  return utf8.find(kReplacement) != std::string_view::npos;
}

void append_utf8(napi_env env, napi_value value, std::string& out) {
  const std::size_t before = out.size();
  append(env, value, out, napi_get_value_string_utf8);
  if (!has_replacement(std::string_view(out).substr(before))) return;
  out.resize(before);
  append_generalized_utf8(env, value, out);
}

void append_latin1(napi_env env, napi_value value, std::string& out) {
  append(env, value, out, napi_get_value_string_latin1);
}

const char* javascript_code(ErrorCode code) noexcept {
  if (code == ErrorCode::kCorrupt) return "PERDURE_DAMAGED";
  return code == ErrorCode::kFull ? "PERDURE_FULL" : nullptr;
}

napi_value make_number(napi_env env, double value) {
  napi_value out = nullptr;
  check(env, napi_create_double(env, value, &out));
  return out;
}

napi_value make_bool(napi_env env, bool value) {
  napi_value out = nullptr;
  check(env, napi_get_boolean(env, value, &out));
  return out;
}

napi_value make_string(napi_env env, std::string_view utf8) {
  napi_value out = nullptr;
  check(env, napi_create_string_utf8(env, utf8.data(), utf8.size(), &out));
  return out;
}

napi_value make_latin1(napi_env env, std::string_view latin1) {
  napi_value out = nullptr;
  check(env, napi_create_string_latin1(env, latin1.data(), latin1.size(), &out));
  return out;
}

bool is_ascii(std::string_view text) {
  std::uint64_t high = 0;
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    high |= word;
  }
  for (; i < text.size(); ++i)
    high |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[i]));
  return (high & 0x8080808080808080ull) == 0;
}

napi_value text_value(napi_env env, const char* text, std::size_t size) {
  return is_ascii({text, size}) ? make_latin1(env, {text, size}) : make_string(env, {text, size});
}

napi_value make_object(napi_env env) {
  napi_value out = nullptr;
  check(env, napi_create_object(env, &out));
  return out;
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  check(env, napi_set_named_property(env, object, name, value));
}

napi_value make_array_buffer(napi_env env, std::span<const std::byte> bytes) {
  void* data = nullptr;
  napi_value out = nullptr;
  check(env, napi_create_arraybuffer(env, bytes.size(), &data, &out));
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  return out;
}

std::span<const std::byte> bytes_of(napi_env env, napi_value value) {
  void* data = nullptr;
  std::size_t size = 0;
  bool is = false;
  check(env, napi_is_arraybuffer(env, value, &is));
  if (is) {
    check(env, napi_get_arraybuffer_info(env, value, &data, &size));
    return {static_cast<const std::byte*>(data), size};
  }
  check(env, napi_is_typedarray(env, value, &is));
  if (is) {
    napi_typedarray_type type = napi_uint8_array;
    std::size_t length = 0;
    check(env, napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr));
    std::size_t width = 1;
    switch (type) {
      case napi_int8_array:
      case napi_uint8_array:
      case napi_uint8_clamped_array:
        width = 1;
        break;
      case napi_int16_array:
      case napi_uint16_array:
        width = 2;
        break;
      case napi_int32_array:
      case napi_uint32_array:
      case napi_float32_array:
        width = 4;
        break;
      default:
        width = 8;
    }
    return {static_cast<const std::byte*>(data), length * width};
  }
  check(env, napi_is_dataview(env, value, &is));
  if (is) {
    check(env, napi_get_dataview_info(env, value, &size, &data, nullptr, nullptr));
    return {static_cast<const std::byte*>(data), size};
  }
  throw Error(ErrorCode::kInvalid, "an ArrayBuffer or a view of one was expected");
}

}  // namespace perdure::node
