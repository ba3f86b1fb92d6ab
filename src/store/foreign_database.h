#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace perdure::store {

class SharedKeyValue;
struct KeyOwner;

// What a copy is for.
enum class ForeignUse : std::uint8_t {
  kDatabase,  // to be an object's database as it is
  kKeyValue,  // to be read by import_key_values()
};

// What a copied database says of its object.
struct ForeignDatabase {
  std::uint64_t bytes = 0;
  // When its alarm is due, in milliseconds since 1970, as workerd keeps it (_cf_METADATA, key 1).
  std::optional<std::int64_t> alarm_ms;
};

// Copies a SQLite database that another program has written, with what that program has left in
// `<source>-wal`, to `target`: one whole, checked and synced file. `source` is only read; nobody
// may write it meanwhile. Both are paths of the operating system; `target` is replaced, and its
// folder must exist. Throws Error: kCorrupt (not a database, or a damaged one; for
// ForeignUse::kKeyValue also one with a value that is neither a BLOB, a structured clone, nor TEXT
// that is JSON), kIo, kFull; for ForeignUse::kKeyValue also kInvalid, when it has tables of a
// program's own or a pair that is larger than SharedKeyValue::kPairBytesMax. Any thread.
ForeignDatabase copy_foreign_database(const std::filesystem::path& source,
                                      const std::filesystem::path& target, ForeignUse use);

// An alarm as workerd keeps it for the objects of a namespace.
struct ForeignAlarm {
  std::string id;  // 64 hex digits
  std::int64_t time_ms = 0;
  std::string name;  // the object's; empty when it is not known
};

// The alarms in a copy of workerd's `metadata.sqlite` that was made for ForeignUse::kDatabase. For
// objects with SQLite storage it repeats what their own files say. Throws Error(kCorrupt, kIo). Any
// thread.
std::vector<ForeignAlarm> foreign_alarms(const std::filesystem::path& copy);

// Keys and values, in bytes, after which an import commits: what it holds in memory at a time. A
// larger pair is a commit of its own.
inline constexpr std::size_t kImportCommitBytes = std::size_t{4} << 20;

// Writes the pairs of a copy made for ForeignUse::kKeyValue (workerd's table `_cf_KV`, where an
// export has JSON as TEXT besides) under `owner`, as they are, in as many commits as it takes. When
// it throws (SqlError, Error) some of them may be there. Any thread.
void import_key_values(const std::filesystem::path& copy, SharedKeyValue& shared,
                       const KeyOwner& owner);

}  // namespace perdure::store
