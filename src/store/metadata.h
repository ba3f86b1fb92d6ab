#pragma once

#include <cstdint>
#include <optional>

namespace perdure::store {

class Database;

// When the object's alarm is due, in milliseconds since 1970, as workerd keeps it in the object's
// own file (table `_cf_METADATA`, key 1, nanoseconds): what is made of the file as a whole has the
// alarm, too. Part of the open transaction; none deletes it. Throws SqlError.
void store_alarm_time(Database& database, std::optional<std::uint64_t> time_ms);

// What was stored; none when there is no alarm, or never was one. Throws SqlError.
std::optional<std::uint64_t> stored_alarm_time(Database& database);

}  // namespace perdure::store
