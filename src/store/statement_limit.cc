#include "store/statement_limit.h"

#include <utility>

#include "sqlite3.h"
#include "store/database.h"

namespace perdure::store {
namespace {

// Of SQLite's virtual machine between two looks: some tenths of a millisecond.
constexpr int kInstructions = 10'000;

}  // namespace

StatementLimit::StatementLimit(Database& database, std::chrono::milliseconds time_max,
                               std::function<bool()> is_unwanted)
    : database_(database),
      deadline_(std::chrono::steady_clock::now() + time_max),
      is_unwanted_(std::move(is_unwanted)),
      changes_before_(sqlite3_total_changes64(database.handle())) {
  sqlite3_progress_handler(
      database_.handle(), kInstructions,
      [](void* self) { return static_cast<StatementLimit*>(self)->stops() ? 1 : 0; }, this);
}

StatementLimit::~StatementLimit() {
  sqlite3_progress_handler(database_.handle(), 0, nullptr, nullptr);
}

std::int64_t StatementLimit::rows_changed() const {
  return sqlite3_total_changes64(database_.handle()) - changes_before_;
}

bool StatementLimit::stops() {
  if (is_unwanted_())
    stopped_ = Stopped::kAsUnwanted;
  else if (std::chrono::steady_clock::now() >= deadline_)
    stopped_ = Stopped::kByTime;
  return stopped_ != Stopped::kNo;
}

}  // namespace perdure::store
