#pragma once

#include <filesystem>

#include "store/shared_key_value.h"
#include "store/view_database.h"

namespace perdure::store {

// Writes what an object has in the shared key-value file, of which `view` is a view, into a SQLite
// file of its own, as workerd keeps such objects (table `_cf_KV`), so that an import takes it. The
// file must not exist; it is left to the caller to remove it when this throws. Error: kIo, kFull.
void export_pairs(ViewDatabase& view, const KeyOwner& owner, const std::filesystem::path& file);

}  // namespace perdure::store
