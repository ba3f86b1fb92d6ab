#pragma once

// The errors are part of what a C++ program sees, so they are defined there.
#include "perdure/error.h"  // IWYU pragma: export
