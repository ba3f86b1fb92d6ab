#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace perdure::native {

// Why a text is not JSON (RFC 8259, UTF-8, nested `depth_max` deep at most); none when it is.
[[nodiscard]] std::optional<std::string> json_mistake(std::string_view text, std::size_t depth_max);

// Text as a JSON string; none when it is not UTF-8.
[[nodiscard]] std::optional<std::string> json_string(std::string_view text);

// What JSON text says; kOther: an array, an object, or nothing that UTF-8 can say (half of a pair
// of surrogates, which JavaScript can have in a string).
struct JsonScalar {
  enum class Kind { kNull, kBool, kNumber, kString, kOther };
  Kind kind = Kind::kOther;
  bool boolean = false;
  double number = 0;
  std::string string = {};
};
[[nodiscard]] JsonScalar read_json_scalar(std::string_view text);

}  // namespace perdure::native
