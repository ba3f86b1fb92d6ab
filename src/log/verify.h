#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/lsn.h"
#include "base/stop.h"

namespace perdure::log {

// Bytes of a file that are not what was written, or a file that is not there.
struct Damage {
  std::string file;
  std::uint64_t offset = 0;  // where what does not match its checksum begins
  // The objects whose commits are affected, as far as that is known (kDamagedObjectsMax at most).
  std::vector<ObjectNumber> objects;
  std::string problem;  // what is wrong
};

struct VerifyReport {
  std::uint64_t segments = 0;
  std::uint64_t history_files = 0;
  std::uint64_t records = 0;  // in the segments
  std::uint64_t commits = 0;  // in the history files
  std::uint64_t bytes = 0;    // read
  std::vector<Damage> damages;
};

inline constexpr std::size_t kDamagedObjectsMax = 100;

// Called with the bytes done and those there are.
using VerifyProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// Reads all of a log and of its history, and checks every checksum, and that no file is missing.
// Changes nothing, so it may be used beside a process that has the log open; what that one adds or
// removes meanwhile may or may not be looked at. `directory` is that of the log, as in LogOptions;
// the history is beside it. `progress` is called at the beginning and after each file, `stopped`
// for each piece of a file. Throws Error: kIo, kVersion; Stopped.
VerifyReport verify_log(FileSystem& files, const std::filesystem::path& directory,
                        const VerifyProgress& progress = {}, const StopCheck& stopped = {});

}  // namespace perdure::log
