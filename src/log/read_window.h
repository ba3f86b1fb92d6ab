#pragma once

#include <cstddef>
#include <vector>

#include "log/record.h"

namespace perdure::log {

// What a reader of records keeps from one to the next, so that neighbours are fetched together.
struct ReadWindow {
  std::vector<std::byte> bytes;  // the record that was read last points into them
  RecordLocation start;          // where they begin; no segment: nothing that may be used again
  RecordLocation last;           // where the record that was read last begins
};

}  // namespace perdure::log
