#pragma once

// All of the engine's interface for C++.
#include "perdure/engine.h"     // IWYU pragma: export
#include "perdure/error.h"      // IWYU pragma: export
#include "perdure/export.h"     // IWYU pragma: export
#include "perdure/kv.h"         // IWYU pragma: export
#include "perdure/object_id.h"  // IWYU pragma: export
#include "perdure/sql.h"        // IWYU pragma: export
#include "perdure/storage.h"    // IWYU pragma: export
#include "perdure/types.h"      // IWYU pragma: export
