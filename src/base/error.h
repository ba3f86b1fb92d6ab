#pragma once

#include <stdexcept>
#include <string>

namespace perdure {

enum class ErrorCode {
  kInvalid,   // a wrong argument or option
  kIo,        // the operating system refused; the message names the file and the reason
  kFull,      // no room: disk, or a limit that has a name
  kCorrupt,   // a checksum or a format does not hold; the message names file and offset
  kVersion,   // written by a newer format
  kLocked,    // another process has it
  kPoisoned,  // the log failed to write or sync; nothing more is acknowledged
  kSql,       // SQLite's message
  kNotFound,
  kRange,  // outside what there is; the message names that
};

// Every error that the engine throws. The message is for the user: it names the thing and says what
// to do. Nothing is thrown across a thread or a C boundary.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace perdure
