#pragma once

// What an action throws, for tests of error paths.

#include <string>

#include <gtest/gtest.h>

#include "base/error.h"

namespace perdure {

// The code of the Error that `action` throws; the test fails when it throws none.
ErrorCode code_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInvalid;
}

// Its message.
std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace perdure
