#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/file.h"
#include "base/lsn.h"
#include "log/log_id.h"

namespace perdure::log {

// Something that is not as it was written.
struct Damage {
  std::string file;
  std::optional<std::uint64_t> offset;  // where in it, in bytes
  ObjectNumber object = 0;              // whose; 0: nobody's, or it cannot be told
  std::string what;
};
using DamageVisitor = std::function<void(const Damage&)>;

// The part of a log that can be read.
struct LiveSegments {
  FileSystem* file_system = nullptr;
  std::filesystem::path directory;
  LogId id;
  std::span<const std::uint64_t> numbers;  // ascending
  Lsn durable_lsn = 0;                     // records up to here are whole
  // Whether a segment is still among them: one that is reused meanwhile is no damage.
  std::function<bool(std::uint64_t number)> is_live;
};

// Checks every checksum of the segments of a log, also while it is written to. Any thread. Throws
// Error(kIo), kVersion.
void verify_segments(const LiveSegments& segments, const DamageVisitor& visit);

// Checks every checksum of the history files of a log. One that is removed meanwhile is no damage.
// Any thread. Throws Error(kIo), kVersion.
void verify_history(FileSystem& file_system, const std::filesystem::path& directory,
                    const LogId& id, const DamageVisitor& visit);

}  // namespace perdure::log
