#pragma once

#include <optional>
#include <string>

#include "store/key_value.h"

namespace perdure::store {

// The keys that a list covers: from `start`, which is in, to `end`, which is not.
struct KeyRange {
  std::string start;
  std::optional<std::string> end;
};

// Where start, prefix and end of the options meet. The range may be empty (end <= start).
[[nodiscard]] KeyRange key_range(const KeyValue::ListOptions& options);

}  // namespace perdure::store
