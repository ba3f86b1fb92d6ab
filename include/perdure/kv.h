#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "perdure/export.h"
#include "perdure/types.h"

namespace perdure {

namespace native {
struct StorageState;
}

// A value as an object keeps it under a key. JavaScript reads and writes the same: what JSON can
// say exactly is kept as JSON text; anything else (Date, Map, Set, BigInt, typed arrays, cycles,
// undefined, NaN …) is the bytes of a structured clone, which only JavaScript can make sense of.
// C++ hands those out and takes them as they are.
class PERDURE_API KvValue {
 public:
  enum class Format : std::uint8_t { kJson, kStructuredClone };

  // JSON text. Error(kInvalid) when it is not valid JSON in UTF-8, or nested more than
  // kJsonDepthMax deep.
  [[nodiscard]] static KvValue json(std::string_view text);
  static constexpr std::size_t kJsonDepthMax = 500;
  // The bytes of a structured clone, as bytes() returned them. Error(kInvalid) when they do not
  // begin like one.
  [[nodiscard]] static KvValue structured_clone(std::span<const std::byte> bytes);

  // Values that JSON has: nullptr, bool, numbers, text. Error(kInvalid) for what is not a number in
  // JavaScript (an integer past 2^53) or not in JSON (NaN, infinity), and for text that is not
  // UTF-8. A character is neither: put its number, or a text.
  KvValue(std::nullptr_t) : KvValue(Format::kJson, "null") {}
  template <std::same_as<bool> T>
  KvValue(T value) : KvValue(Format::kJson, value ? "true" : "false") {}
  template <Integer T>
  KvValue(T value)
      : KvValue(of_integer(
            static_cast<std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>(
                value))) {}
  template <std::integral T>
  requires(!std::same_as<T, bool> && !Integer<T>) KvValue(T character)
  = delete;
  template <std::floating_point T>
  KvValue(T value) : KvValue(of_number(static_cast<double>(value))) {}
  template <typename T>
  requires std::convertible_to<const T&, std::string_view> KvValue(const T& text)
      : KvValue(of_text(text)) {}

  [[nodiscard]] Format format() const noexcept { return format_; }
  // What is stored: JSON text, or the bytes of the structured clone.
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
  // The JSON text. Error(kInvalid) when it is a structured clone.
  [[nodiscard]] const std::string& json() const;

  // The value, when it is of that type: Error(kInvalid), with what it is, when it is not. An
  // integer is a number without a fraction.
  [[nodiscard]] bool is_null() const;
  [[nodiscard]] bool as_bool() const;
  [[nodiscard]] std::int64_t as_integer() const;
  [[nodiscard]] double as_number() const;
  [[nodiscard]] std::string as_string() const;

  friend bool operator==(const KvValue&, const KvValue&) = default;

 private:
  friend class Kv;
  friend class KvCursor;
  KvValue(Format format, std::string bytes) : format_(format), bytes_(std::move(bytes)) {}
  static KvValue of_integer(std::int64_t value);
  static KvValue of_integer(std::uint64_t value);
  static KvValue of_number(double value);
  static KvValue of_text(std::string_view text);

  Format format_;
  std::string bytes_;
};

// Which keys a list has: those in [start, end) that begin with `prefix`, in the order of their
// UTF-8 bytes.
struct PERDURE_API KvListOptions {
  std::string prefix = {};
  std::string start = {};
  std::optional<std::string> start_after =
      {};                               // as `start`, without the key itself; one of the two
  std::optional<std::string> end = {};  // the first key that is not listed any more
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
  bool reverse = false;
};

struct PERDURE_API KvPair {
  std::string key;
  KvValue value;
};

// A running list. It reads kBatchPairs at a time and holds nothing open in between, so the storage
// may be used meanwhile; pairs that are written then may or may not be seen.
class PERDURE_API KvCursor {
 public:
  KvCursor(KvCursor&& other) noexcept;
  KvCursor& operator=(KvCursor&& other) noexcept;
  ~KvCursor();

  // The next pair; none after the last. Throws as Kv::get().
  std::optional<KvPair> next();
  static constexpr std::size_t kBatchPairs = 128;

 private:
  friend class Kv;
  struct State;
  explicit KvCursor(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

// Key-value storage of one object, Storage::kv(): for both kinds of storage. Lives as long as its
// Storage; one thread at a time for all of that.
//
// Limits: a key of 2048 bytes of UTF-8; key and value together 2 MiB with SQLite storage, a value
// of 128 KiB with key-value storage. Past them Error(kInvalid), with nothing written.
//
// Every function may throw SqlError (the database) and Error: kIo, kCorrupt, kInvalid when the
// Storage is closed; those that write also kFull and kPoisoned. What throws has written nothing.
class PERDURE_API Kv {
 public:
  explicit Kv(native::StorageState& storage) noexcept : storage_(storage) {}
  Kv(const Kv&) = delete;
  Kv& operator=(const Kv&) = delete;

  [[nodiscard]] std::optional<KvValue> get(std::string_view key);
  // Writes commit by themselves, unless a transaction is open.
  void put(std::string_view key, const KvValue& value);
  // JavaScript's delete(). True when there was one.
  bool remove(std::string_view key);
  [[nodiscard]] KvCursor list(KvListOptions options = {});

 private:
  native::StorageState& storage_;
};

}  // namespace perdure
