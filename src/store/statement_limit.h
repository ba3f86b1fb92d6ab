#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace perdure::store {

class Database;

// While it is there, the statements of one database end with SQLITE_INTERRUPT when they have taken
// too long, or are not wanted any more: for what operators run, as the object serves nobody
// meanwhile. A statement that writes takes its whole transaction along then. What user code runs
// has no such limit, so none is installed for it. On the database's thread; goes before it.
class StatementLimit {
 public:
  enum class Stopped : std::uint8_t { kNo, kByTime, kAsUnwanted };

  // `is_unwanted` is called often, so it must be fast, and from within SQLite, so it must not
  // throw. One at a time for each database.
  StatementLimit(Database& database, std::chrono::milliseconds time_max,
                 std::function<bool()> is_unwanted);
  ~StatementLimit();
  StatementLimit(const StatementLimit&) = delete;
  StatementLimit& operator=(const StatementLimit&) = delete;

  // Why a statement has been stopped, if one was.
  [[nodiscard]] Stopped stopped() const noexcept { return stopped_; }
  // Rows that were inserted, changed or deleted since the construction, also by triggers.
  [[nodiscard]] std::int64_t rows_changed() const;

 private:
  bool stops();

  Database& database_;
  const std::chrono::steady_clock::time_point deadline_;
  const std::function<bool()> is_unwanted_;
  const std::int64_t changes_before_;
  Stopped stopped_ = Stopped::kNo;
};

}  // namespace perdure::store
