#include "native/json.h"

// Boost.JSON as part of this file: Debian's package of headers has no library of it.
#include <boost/json/src.hpp>

namespace perdure::native {
namespace {

namespace json = boost::json;

json::value parse(std::string_view text, std::size_t depth_max, json::error_code& error,
                  json::monotonic_resource& memory) {
  json::parse_options options;
  options.max_depth = depth_max;
  return json::parse(json::string_view(text.data(), text.size()), error, &memory, options);
}

// A scalar is not nested.
constexpr std::size_t kScalarDepthMax = 1;

}  // namespace

std::optional<std::string> json_mistake(std::string_view text, std::size_t depth_max) {
  json::monotonic_resource memory;
  json::error_code error;
  parse(text, depth_max, error, memory);
  if (!error) return std::nullopt;
  return error.message();
}

std::optional<std::string> json_string(std::string_view text) {
  std::string out = json::serialize(json::string_view(text.data(), text.size()));
  // It is written as it is, whatever its bytes are.
  if (json_mistake(out, kScalarDepthMax)) return std::nullopt;
  return out;
}

JsonScalar read_json_scalar(std::string_view text) {
  JsonScalar scalar;
  if (text.starts_with('[') || text.starts_with('{')) return scalar;
  json::monotonic_resource memory;
  json::error_code error;
  const json::value value = parse(text, kScalarDepthMax, error, memory);
  if (error) return scalar;
  if (value.is_null()) {
    scalar.kind = JsonScalar::Kind::kNull;
  } else if (value.is_bool()) {
    scalar.kind = JsonScalar::Kind::kBool;
    scalar.boolean = value.get_bool();
  } else if (value.is_number()) {
    scalar.kind = JsonScalar::Kind::kNumber;
    scalar.number = value.to_number<double>();
  } else if (value.is_string()) {
    scalar.kind = JsonScalar::Kind::kString;
    scalar.string.assign(value.get_string().data(), value.get_string().size());
  }
  return scalar;
}

}  // namespace perdure::native
