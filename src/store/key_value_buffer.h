#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/lsn.h"
#include "store/key_value.h"
#include "store/shared_key_value.h"

namespace perdure::store {

// The key-value storage of one object that has no database of its own: what it has written and not
// committed, over what it has in the shared file. Reads see both as one. A write begins the
// transaction; savepoints are transactions inside it. One thread; the interface is that of
// KeyValue.
class KeyValueBuffer {
 public:
  using Value = KeyValue::Value;
  using ListOptions = KeyValue::ListOptions;

  // Keys and values that are written and not committed, and those that savepoints could bring back,
  // in bytes. A write past it takes the whole transaction back, as in a database.
  static constexpr std::size_t kUncommittedBytesMax = std::size_t{64} << 20;

  KeyValueBuffer(std::shared_ptr<SharedKeyValue> shared, KeyOwner owner);
  KeyValueBuffer(const KeyValueBuffer&) = delete;
  KeyValueBuffer& operator=(const KeyValueBuffer&) = delete;

  // The value lives until the next call of any function here.
  std::optional<Value> get(std::string_view key);
  // Throws Error(kFull) at kUncommittedBytesMax; then the transaction is lost().
  void put(std::string_view key, std::span<const std::byte> value, bool is_text);
  // True when there was one.
  bool remove(std::string_view key);
  // Throws Error(kInvalid) inside a savepoint.
  void remove_all();

  // A running list; nothing may be written while it is there.
  class Cursor {
   public:
    bool next();
    [[nodiscard]] std::string_view key() const;
    [[nodiscard]] Value value() const;

   private:
    friend class KeyValueBuffer;
    enum class From : std::uint8_t { kNone, kWrites, kShared };

    Cursor(const KeyValueBuffer& buffer, const ListOptions& options);
    void advance(From from);
    [[nodiscard]] From first() const;

    KeyRange range_;
    bool reverse_;
    std::uint64_t left_;
    // The written ones that are still to come: [from, to), to be taken from the end when backwards.
    KeyWrites::const_iterator from_;
    KeyWrites::const_iterator to_;
    KeyWrites::const_iterator at_;
    std::optional<SharedKeyValue::Cursor> shared_;  // on the next one to come; none: at its end
    From current_ = From::kNone;
  };
  Cursor list(const ListOptions& options) { return {*this, options}; }

  // Savepoints: the outermost has depth 0, and each the number of those around it. Rolling back to
  // one takes away what was written since, and the savepoint.
  void open_savepoint(std::uint32_t depth);
  void release_savepoint(std::uint32_t depth);
  void rollback_savepoint(std::uint32_t depth);

  // What was written becomes one commit of the shared file; returns its LSN, 0 when nothing was. An
  // error (thrown) leaves it as after rollback(). A companion is committed in any case, in one
  // atomic group with it.
  Lsn commit(Companion* companion = nullptr);
  void rollback() noexcept;
  // A write has failed and has taken the transaction with it, until rollback().
  [[nodiscard]] bool lost() const noexcept { return lost_; }

 private:
  // What the keys that were written since a savepoint were in `writes_` before; none: they were not
  // there.
  using Before = std::optional<std::optional<StoredValue>>;
  using Savepoint = std::map<std::string, Before, std::less<>>;

  [[nodiscard]] bool keeps_replaced(std::string_view key) const;
  void write(std::string_view key, std::optional<StoredValue> value);
  void release_innermost();
  void rollback_innermost();

  const std::shared_ptr<SharedKeyValue> shared_;
  const KeyOwner owner_;
  KeyWrites writes_;
  bool lost_ = false;
  bool cleared_ = false;  // what is in the shared file does not count
  std::size_t uncommitted_bytes_ = 0;
  std::vector<Savepoint> savepoints_;  // the innermost last
  std::optional<StoredValue> read_;
};

}  // namespace perdure::store
