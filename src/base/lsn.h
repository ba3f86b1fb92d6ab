#pragma once

#include <cstdint>

namespace perdure {

// Log sequence number: the ordinal of a record in the log, from 1. Records are durable in the order
// of their numbers, so "everything up to here is durable" is one comparison. 0 means "depends on
// nothing".
using Lsn = std::uint64_t;

// The number of a database on the log, unique in one data directory and never used again.
using ObjectNumber = std::uint64_t;

}  // namespace perdure
