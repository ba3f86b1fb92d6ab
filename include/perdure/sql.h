#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "perdure/error.h"
#include "perdure/export.h"
#include "perdure/types.h"

namespace perdure {

namespace native {
struct StatementState;
struct StorageState;
[[noreturn]] PERDURE_API void refuse_integer(std::int64_t value);
[[noreturn]] PERDURE_API void refuse_unsigned(std::uint64_t value);
[[noreturn]] PERDURE_API void refuse_column_count(int wanted, int found);
}  // namespace native

// SQL on one object's database: Storage::sql(). One thread at a time for a Storage and everything
// that comes from it.
//
// What SQL may do is what it may do in JavaScript: it can not reach the engine's own tables
// (`_cf_*`), other files, settings, or transactions (Storage::begin() is for those). Limits:
// 100,000 bytes of SQL, 100 parameters, 100 columns, 2 MiB a row, string or blob.
//
// A statement that writes commits by itself when it has run to its end, unless a transaction is
// open. Storage says what a commit promises. One with RETURNING has rows, so it ends when the last
// of them was read, or with reset(), or when it goes; when that commit fails as it goes, the next
// write, commit or sync() of the Storage throws the error.

// The row that a Statement or Cursor stands on. It is a view: valid until that steps, is reset, or
// goes. Columns count from 0; a column that does not exist is Error(kInvalid).
class PERDURE_API Row {
 public:
  [[nodiscard]] int size() const;
  [[nodiscard]] ColumnType type(int column) const;
  // As SQLite names it. Valid as long as the row.
  [[nodiscard]] std::string_view name(int column) const;
  // The first column with this name. Throws Error(kInvalid) when there is none.
  [[nodiscard]] int index_of(std::string_view name) const;

  // The column as a T:
  //   INTEGER  any Integer type that holds the value; bool (not 0); double
  //   REAL     double, float
  //   TEXT     std::string; std::string_view, valid as long as the row
  //   BLOB     Blob; std::span<const std::byte>, valid as long as the row
  //   any      Value; std::optional<T>, which is empty for NULL
  // Nothing is converted: Error(kInvalid) when the column has another type or the number does not
  // fit.
  template <typename T>
  [[nodiscard]] T get(int column) const;
  template <typename T>
  [[nodiscard]] T get(std::string_view name) const {
    return get<T>(index_of(name));
  }
  // All columns: `auto [id, title] = row.as<std::int64_t, std::string>()`. Error(kInvalid) when
  // there are more or fewer.
  template <typename... T>
  [[nodiscard]] std::tuple<T...> as() const {
    if (size() != static_cast<int>(sizeof...(T)))
      native::refuse_column_count(static_cast<int>(sizeof...(T)), size());
    return as_tuple<T...>(std::index_sequence_for<T...>());
  }
  [[nodiscard]] Value value(int column) const;

  // The same without templates.
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] double real(int column) const;
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] std::span<const std::byte> blob(int column) const;

 private:
  friend class Statement;
  friend class Cursor;
  explicit Row(const native::StatementState* state) noexcept : state_(state) {}

  template <typename... T, std::size_t... I>
  [[nodiscard]] std::tuple<T...> as_tuple(std::index_sequence<I...>) const {
    return std::tuple<T...>(get<T>(static_cast<int>(I))...);
  }

  const native::StatementState* state_;
};

// A prepared statement, to be run again and again. It costs little more than SQLite itself.
//
//   Statement insert = storage.sql().prepare("INSERT INTO t VALUES (?, ?)");
//   insert.run(1, "one");
//
//   Statement find = storage.sql().prepare("SELECT b FROM t WHERE a = ?");
//   find.bind(1, 17);
//   while (find.step()) use(find.row().get<std::string>(0));
//
// It may outlive its object (closed, restored, destroyed): then every call throws Error(kInvalid).
class PERDURE_API Statement {
 public:
  // Empty: every call throws Error(kInvalid).
  Statement() noexcept = default;
  Statement(Statement&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Statement();

  [[nodiscard]] int parameter_count() const;
  // True when running it can change the database.
  [[nodiscard]] bool writes() const;

  // Sets a parameter, counted from 1, until it is set again; texts and blobs are copied. Resets the
  // statement when it is running. T: nullptr, an Integer, bool (0 or 1), a floating-point number,
  // text (UTF-8), bytes, a Value, or an std::optional of these. Throws Error(kInvalid) for a
  // parameter that is not there and for an integer past 64 signed bits, SqlError for a value past
  // the limit.
  template <typename T>
  void bind(int parameter, const T& value);
  // Sets all of them. Throws SqlError when there are more or fewer parameters.
  template <typename... T>
  void bind_all(const T&... values) {
    check_count(static_cast<int>(sizeof...(T)));
    int parameter = 0;
    (bind(++parameter, values), ...);
  }
  void bind_null(int parameter);
  void bind_integer(int parameter, std::int64_t value);
  void bind_real(int parameter, double value);
  void bind_text(int parameter, std::string_view value);
  void bind_blob(int parameter, std::span<const std::byte> value);

  // Runs on to the next row: true. At the end it is false, and the statement is reset: what it has
  // written is committed then, or part of the open transaction. Throws SqlError, and Error(kFull,
  // kPoisoned); the statement is reset, and nothing is left of what it has written.
  bool step();
  // The row that step() stands on.
  [[nodiscard]] Row row() const noexcept { return Row(state_); }
  // Gives up the rows that are left; the parameters stay. A statement with RETURNING commits now
  // what it has written. Throws as step().
  void reset();

  // Sets all parameters and runs it to its end. Returns how many rows INSERT, UPDATE or DELETE have
  // changed (0 for others).
  template <typename... T>
  std::int64_t run(const T&... values) {
    bind_all(values...);
    return finish();
  }

  [[nodiscard]] int column_count() const;
  // Valid until the next step().
  [[nodiscard]] std::string_view column_name(int column) const;

 private:
  friend class Sql;
  friend class Cursor;
  explicit Statement(native::StatementState* state) noexcept : state_(state) {}
  void check_count(int values) const;
  std::int64_t finish();

  native::StatementState* state_ = nullptr;
};

// The rows that Sql::exec() returns. It holds the cached statement until it goes.
//
//   for (const Row row : storage.sql().exec("SELECT a, b FROM t")) use(row.get<double>("a"));
class PERDURE_API Cursor {
 public:
  Cursor(Cursor&& other) noexcept = default;
  Cursor& operator=(Cursor&& other) noexcept = default;
  ~Cursor();

  // Moves to the next row, at first to the first one; false after the last. Throws as
  // Statement::step().
  bool next();
  [[nodiscard]] Row row() const noexcept { return statement_.row(); }

  // What the only row has: all its columns, as Row::get() reads them; of one column its value, of
  // several a tuple. Throws SqlError when there is no row, or another one.
  //   auto count = sql.exec("SELECT count(*) FROM t").one<std::int64_t>();
  //   auto [a, b] = sql.exec("SELECT a, b FROM t WHERE id = ?", 1).one<double, std::string>();
  template <typename... T>
  [[nodiscard]] auto one() {
    static_assert(((!std::is_same_v<T, std::string_view> &&
                    !std::is_same_v<T, std::span<const std::byte>>)&&...),
                  "the row is gone then: take a std::string or a Blob");
    require_row();
    auto values = row().template as<T...>();
    require_end();
    if constexpr (sizeof...(T) == 1) {
      return std::get<0>(std::move(values));
    } else {
      return values;
    }
  }

  [[nodiscard]] int column_count() const { return statement_.column_count(); }
  [[nodiscard]] std::string_view column_name(int column) const {
    return statement_.column_name(column);
  }
  // Rows and index entries that the statement has read and written so far, as Cloudflare bills
  // them.
  [[nodiscard]] std::uint64_t rows_read() const;
  [[nodiscard]] std::uint64_t rows_written() const;

  // Single pass: begin() moves to the next row.
  class Iterator {
   public:
    using value_type = Row;
    using difference_type = std::ptrdiff_t;
    [[nodiscard]] Row operator*() const noexcept { return cursor_->row(); }
    Iterator& operator++() {
      if (!cursor_->next()) cursor_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator&, const Iterator&) noexcept = default;

   private:
    friend class Cursor;
    explicit Iterator(Cursor* cursor) noexcept : cursor_(cursor) {}
    Cursor* cursor_;
  };
  [[nodiscard]] Iterator begin() { return Iterator(next() ? this : nullptr); }
  [[nodiscard]] Iterator end() noexcept { return Iterator(nullptr); }

 private:
  friend class Sql;
  explicit Cursor(Statement statement) noexcept : statement_(std::move(statement)) {}
  void require_row();
  void require_end();

  Statement statement_;
  bool at_first_ = false;  // on the first row already, before the first next()
  bool ended_ = false;
};

// See the top of this file. Lives as long as its Storage.
class PERDURE_API Sql {
 public:
  explicit Sql(native::StorageState& storage) noexcept : storage_(storage) {}
  Sql(const Sql&) = delete;
  Sql& operator=(const Sql&) = delete;

  // Prepares one statement. Throws SqlError, also when there is none or more than one.
  [[nodiscard]] Statement prepare(std::string_view query);

  // Runs a query with its parameters and returns its rows. It has run when this returns, whether or
  // not the rows are looked at. Of several statements (`;`) all are run, each
  // committing by itself outside a transaction; the values and the rows are the last one's.
  // Statements are cached by their text, least recently used, up to kCachedSqlBytesMax.
  template <typename... T>
  Cursor exec(std::string_view query, const T&... values) {
    Cursor cursor(take(query));
    cursor.statement_.bind_all(values...);
    run(cursor);
    return cursor;
  }
  // Bytes of SQL text, for each Storage.
  static constexpr std::size_t kCachedSqlBytesMax = std::size_t{1} << 20;

  // Bytes that the database uses: its pages without the free ones.
  [[nodiscard]] std::uint64_t database_size();

 private:
  Statement take(std::string_view query);
  static void run(Cursor& cursor);

  native::StorageState& storage_;
};

// ---- templates

namespace native {

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

}  // namespace native

template <typename T>
T Row::get(int column) const {
  if constexpr (native::IsOptional<T>::value) {
    if (type(column) == ColumnType::kNull) return std::nullopt;
    return get<typename T::value_type>(column);
  } else if constexpr (std::is_same_v<T, Value>) {
    return value(column);
  } else if constexpr (std::is_same_v<T, bool>) {
    return integer(column) != 0;
  } else if constexpr (Integer<T>) {
    const std::int64_t number = integer(column);
    if (!std::in_range<T>(number)) native::refuse_integer(number);
    return static_cast<T>(number);
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(real(column));
  } else if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>) {
    return T(text(column));
  } else if constexpr (std::is_same_v<T, std::span<const std::byte>>) {
    return blob(column);
  } else {
    static_assert(std::is_same_v<T, Blob>, "a column has no such type: see Row::get()");
    const auto bytes = blob(column);
    return Blob(bytes.begin(), bytes.end());
  }
}

template <typename T>
void Statement::bind(int parameter, const T& value) {
  if constexpr (std::is_null_pointer_v<T> || std::is_same_v<T, std::nullopt_t> ||
                std::is_same_v<T, std::monostate>) {
    bind_null(parameter);
  } else if constexpr (native::IsOptional<T>::value) {
    if (value) {
      bind(parameter, *value);
    } else {
      bind_null(parameter);
    }
  } else if constexpr (std::is_same_v<T, Value>) {
    std::visit([&](const auto& of) { bind(parameter, of); }, value);
  } else if constexpr (Integer<T> || std::is_same_v<T, bool>) {
    if constexpr (std::is_unsigned_v<T>) {
      if (std::cmp_greater(std::uint64_t{value}, std::numeric_limits<std::int64_t>::max()))
        native::refuse_unsigned(value);
    }
    bind_integer(parameter, static_cast<std::int64_t>(value));
  } else if constexpr (std::floating_point<T>) {
    bind_real(parameter, static_cast<double>(value));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    bind_text(parameter, value);
  } else {
    static_assert(std::is_convertible_v<const T&, std::span<const std::byte>>,
                  "a parameter has no such type: see Statement::bind()");
    bind_blob(parameter, value);
  }
}

}  // namespace perdure
