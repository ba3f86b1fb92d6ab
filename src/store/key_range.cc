#include "store/key_range.h"

#include <string_view>

namespace perdure::store {
namespace {

// The least string that is greater than every one that starts with `prefix`; none when there is no
// such string.
std::optional<std::string> end_of_prefix(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return std::nullopt;
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace

KeyRange key_range(const KeyValue::ListOptions& options) {
  KeyRange range{std::string(options.start), end_of_prefix(options.prefix)};
  if (options.after_start) range.start += '\0';  // the least string that is greater
  if (range.start < options.prefix) range.start = options.prefix;
  if (options.end && (!range.end || *options.end < *range.end)) range.end = *options.end;
  return range;
}

}  // namespace perdure::store
