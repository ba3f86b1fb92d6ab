#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "store/database.h"
#include "store/read_view.h"

struct sqlite3;

namespace perdure::store {

// SQLite on a ReadView: queries on a state that was committed, beside the object's own database and
// without waiting for it. Nothing can be written, and pragmas only tell. What a query sorts, groups
// or joins may take TemporaryFile::kBytesMax. One thread at a time, any; interrupt() beside it.
class ViewDatabase {
 public:
  // Bytes of a text, a blob or a row, as of objects' own.
  static constexpr int kValueBytesMax = 2 << 20;

  // Throws SqlError.
  explicit ViewDatabase(std::shared_ptr<ReadView> view, int value_bytes_max = kValueBytesMax);
  ~ViewDatabase();
  ViewDatabase(const ViewDatabase&) = delete;
  ViewDatabase& operator=(const ViewDatabase&) = delete;

  [[nodiscard]] sqlite3* handle() const noexcept { return handle_.get(); }
  [[nodiscard]] const std::shared_ptr<ReadView>& view() const noexcept;

  // As Database::prepare(). All tables can be read, also those of the engine. Throws SqlError, also
  // for a statement that would write, and what ReadView::read() throws.
  Statement prepare(std::string_view sql, std::size_t* tail = nullptr);
  // True: on a row; false: at the end. Throws SqlError, and what ReadView::read() throws.
  bool step(Statement& statement);
  // What runs now, or will be run, fails with SQLITE_INTERRUPT.
  void interrupt() noexcept;

 private:
  [[nodiscard]] SqlError error(int code) const;

  struct Files;
  std::unique_ptr<Files> files_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_;
  Statement running_;
};

}  // namespace perdure::store
