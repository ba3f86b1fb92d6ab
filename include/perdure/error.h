#pragma once

#include <stdexcept>
#include <string>

#include "perdure/export.h"

namespace perdure {

// What kind of error it is, for a program. The message is for people.
enum class ErrorCode {
  kInvalid,   // a wrong argument, or a call at the wrong time
  kIo,        // the operating system refused; the message names the file and the reason
  kFull,      // no room: disk, or a limit that has a name
  kCorrupt,   // a checksum or a format does not hold; the message names file and offset
  kVersion,   // written by a newer format
  kLocked,    // somebody else has it: another process the directory, another Storage the object
  kPoisoned,  // the log failed to write or sync; nothing more is acknowledged
  kSql,       // SQLite refuses it, or it is used wrongly: always a SqlError
  kNotFound,  // there is no such thing; the message says what there is, where that helps
  kRange,     // outside what there is; the message names that
};

// Every error that Perdure throws. The message is for the user: it names the thing and says what to
// do. Besides, std::bad_alloc may be thrown. Nothing is thrown across a thread.
class PERDURE_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

// SQLite's result code with the text for the user, worded as Cloudflare's runtime words it:
// "no such table: x: SQLITE_ERROR", "near \"SELEC\": syntax error at offset 0: SQLITE_ERROR". What
// SQLite is not asked, such as the number of parameters, has the code SQLITE_ERROR (1) and, as
// there, a text without it: "Wrong number of parameter bindings for SQL query."
class PERDURE_API SqlError : public Error {
 public:
  SqlError(int sqlite_code, const std::string& message)
      : Error(ErrorCode::kSql, message), sqlite_code_(sqlite_code) {}
  // An extended result code: SQLITE_CONSTRAINT_UNIQUE is 2067. Its lowest eight bits are the
  // primary one: SQLITE_CONSTRAINT, 19. See https://sqlite.org/rescode.html.
  [[nodiscard]] int sqlite_code() const noexcept { return sqlite_code_; }

 private:
  int sqlite_code_;
};

}  // namespace perdure
