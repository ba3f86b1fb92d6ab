#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/database.h"

namespace perdure::store {

// The key-value storage of an object: its table `_cf_KV`, created at the first write. Keys are
// UTF-8 and ordered by their bytes. A value is a string of bytes with one bit beside it, the SQLite
// type: TEXT or BLOB. Belongs to one Database and its thread, and goes before it. Every function
// throws SqlError.
class KeyValue {
 public:
  struct Value {
    std::span<const std::byte> bytes;
    bool is_text = false;
  };

  struct ListOptions {
    std::string_view start = {};               // the first key that may be listed
    bool after_start = false;                  // … not `start` itself
    std::optional<std::string_view> end = {};  // the first key that is not listed any more
    std::string_view prefix = {};
    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
    bool reverse = false;
  };

  // A running list. Goes before the KeyValue. What is written meanwhile to keys that it has not
  // reached may or may not be seen.
  class Cursor {
   public:
    Cursor(Cursor&& other) noexcept;
    Cursor& operator=(Cursor&&) = delete;
    ~Cursor();

    // Moves to the next key; false after the last one. What key() and value() returned is gone
    // then.
    bool next();
    [[nodiscard]] std::string_view key() const;
    [[nodiscard]] Value value() const;

   private:
    friend class KeyValue;
    Cursor(KeyValue& owner, std::size_t variant, Statement statement, std::uint64_t limit);
    bool step();

    KeyValue* owner_;
    std::size_t variant_;
    Statement statement_;
    std::uint64_t left_;
    bool at_first_ = false;  // on the first key already, before the first next()
  };

  explicit KeyValue(Database& database) : database_(database) {}
  KeyValue(const KeyValue&) = delete;
  KeyValue& operator=(const KeyValue&) = delete;

  // The value lives until the next call of any function here.
  std::optional<Value> get(std::string_view key);
  void put(std::string_view key, std::span<const std::byte> value, bool is_text);
  // True when there was one.
  bool remove(std::string_view key);
  Cursor list(const ListOptions& options);

  // Drops everything that the object stored: keys, the user's tables, views and triggers, and what
  // SQLite keeps about them (AUTOINCREMENT, ANALYZE). The engine's other tables (`_cf_METADATA`)
  // stay. The transaction must be open; foreign keys that it violated are no concern any more.
  void remove_all();

 private:
  // From a start; to an end or not; forwards or backwards.
  static constexpr std::size_t kListVariants = 4;

  bool has_table();
  void create_table();
  Statement& prepared(Statement& statement, const char* sql);
  int step(Statement& statement);
  void forget_table();
  Statement first_of(const char* sql);
  bool drop_next();
  void drop_sequence_table();
  template <typename Run>
  auto with_table(Run&& run);

  Database& database_;
  bool table_ = false;
  Statement get_;
  Statement put_;
  Statement remove_;
  Statement lists_[kListVariants];
  std::vector<std::byte> value_;
};

}  // namespace perdure::store
