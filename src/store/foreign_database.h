#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace perdure::store {

// What a copied database says of its object.
struct ForeignDatabase {
  std::uint64_t bytes = 0;
  // When its alarm is due, in milliseconds since 1970, as workerd keeps it (_cf_METADATA, key 1).
  std::optional<std::int64_t> alarm_ms;
};

// Copies a SQLite database that another program has written, with what that program has left in
// `<source>-wal`, to `target`: one whole, checked and synced file. `source` is only read; nobody
// may write it meanwhile. Both are paths of the operating system; `target` is replaced, and its
// folder must exist. Throws Error: kCorrupt (not a database, or a damaged one), kIo, kFull. Any
// thread.
ForeignDatabase copy_foreign_database(const std::filesystem::path& source,
                                      const std::filesystem::path& target);

}  // namespace perdure::store
