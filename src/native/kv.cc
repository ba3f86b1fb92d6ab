#include "perdure/kv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <deque>
#include <utility>

#include "base/error.h"
#include "native/json.h"
#include "native/storage_state.h"

namespace perdure {
namespace {

// As in js/src/runtime/kv.ts, in bytes.
constexpr std::size_t kKeyBytesMax = 2048;
constexpr std::size_t kPairBytesMax = std::size_t{2} << 20;     // in an object's own database
constexpr std::size_t kValueBytesMax = std::size_t{128} << 10;  // in the shared key-value file

// What the bytes of a structured clone begin with: V8's format, or values with errors in them
// (js/src/runtime/values.ts).
constexpr char kV8Clone = '\xff';
constexpr char kCloneWithErrors = 'E';

// Up to here a double has all integers: 2^53.
constexpr std::int64_t kExactMax = std::int64_t{1} << 53;

[[noreturn]] void invalid(const std::string& message) { throw Error(ErrorCode::kInvalid, message); }

bool is_utf8(std::string_view text) {
  const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  return std::all_of(text.begin(), text.end(), ascii) || native::json_string(text).has_value();
}

void check_key(std::string_view key) {
  if (key.size() > kKeyBytesMax) {
    invalid("Keys cannot be larger than " + std::to_string(kKeyBytesMax) +
            " bytes. A key of size " + std::to_string(key.size()) + " was provided.");
  }
  if (!is_utf8(key)) invalid("The key is not UTF-8.");
}

void check_sizes(StorageKind kind, std::string_view key, const std::string& value) {
  check_key(key);
  if (kind == StorageKind::kKeyValue) {
    if (value.size() > kValueBytesMax) {
      invalid("Values cannot be larger than " + std::to_string(kValueBytesMax) +
              " bytes. A value of size " + std::to_string(value.size()) + " was provided.");
    }
  } else if (const std::size_t size = key.size() + value.size(); size > kPairBytesMax) {
    invalid("Values cannot be larger than " + std::to_string(kPairBytesMax) +
            " bytes together with their key. A pair of size " + std::to_string(size) +
            " was provided.");
  }
}

}  // namespace

// ---- KvValue

KvValue KvValue::json(std::string_view text) {
  if (const auto mistake = native::json_mistake(text, kJsonDepthMax))
    invalid("This is not JSON: " + *mistake + ".");
  return {Format::kJson, std::string(text)};
}

KvValue KvValue::structured_clone(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const char*>(bytes.data());
  if (bytes.empty() || (data[0] != kV8Clone && data[0] != kCloneWithErrors))
    invalid("These bytes are not a structured clone: they do not begin like one.");
  return {Format::kStructuredClone, std::string(data, bytes.size())};
}

namespace {

[[noreturn]] void refuse_inexact(const std::string& integer) {
  invalid("The integer " + integer +
          " is past 2^53: it is no exact number in JavaScript. Put it as text.");
}

}  // namespace

KvValue KvValue::of_integer(std::int64_t value) {
  if (value < -kExactMax || value > kExactMax) refuse_inexact(std::to_string(value));
  return {Format::kJson, std::to_string(value)};
}

KvValue KvValue::of_integer(std::uint64_t value) {
  if (std::cmp_greater(value, kExactMax)) refuse_inexact(std::to_string(value));
  return {Format::kJson, std::to_string(value)};
}

KvValue KvValue::of_number(double value) {
  if (!std::isfinite(value)) invalid("JSON has no number that is infinite or not a number.");
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {Format::kJson, std::string(text.data(), end)};
}

KvValue KvValue::of_text(std::string_view text) {
  auto json = native::json_string(text);
  if (!json) invalid("The text is not UTF-8.");
  return {Format::kJson, std::move(*json)};
}

const std::string& KvValue::json() const {
  if (format_ == Format::kStructuredClone) {
    invalid(
        "The value is a structured clone, which only JavaScript can read: it has something in it "
        "that JSON cannot say.");
  }
  return bytes_;
}

namespace {

using Kind = native::JsonScalar::Kind;

native::JsonScalar scalar(const KvValue& value, Kind kind, const char* wanted) {
  auto found = native::read_json_scalar(value.json());
  if (found.kind != kind) {
    constexpr std::size_t kShown = 40;
    const std::string& json = value.json();
    invalid("The value is not " + std::string(wanted) + ": " + json.substr(0, kShown) +
            (json.size() > kShown ? "…" : ""));
  }
  return found;
}

}  // namespace

bool KvValue::is_null() const { return format_ == Format::kJson && bytes_ == "null"; }

bool KvValue::as_bool() const { return scalar(*this, Kind::kBool, "true or false").boolean; }

std::int64_t KvValue::as_integer() const {
  const double number = scalar(*this, Kind::kNumber, "an integer").number;
  if (std::trunc(number) != number || std::abs(number) > static_cast<double>(kExactMax))
    invalid("The value is not an integer up to 2^53: " + bytes_);
  return static_cast<std::int64_t>(number);
}

double KvValue::as_number() const { return scalar(*this, Kind::kNumber, "a number").number; }

std::string KvValue::as_string() const {
  return scalar(*this, Kind::kString, "a string that UTF-8 can say").string;
}

// ---- KvCursor

struct KvCursor::State {
  native::StorageState& storage;
  KvListOptions options;
  std::deque<KvPair> batch;
  bool ended = false;

  // Goes on behind the last key by a seek, so nothing is held open in between.
  void fill() {
    if (ended || !batch.empty()) return;
    storage.check_open();
    store::KeyValue::ListOptions range;
    range.start = options.start_after ? *options.start_after : options.start;
    range.after_start = options.start_after.has_value();
    if (options.end) range.end = *options.end;
    range.prefix = options.prefix;
    range.reverse = options.reverse;
    range.limit = std::min<std::uint64_t>(kBatchPairs, options.limit);
    storage.shard.with_key_value(storage.slot, [&](auto& kv) {
      auto cursor = kv.list(range);
      while (cursor.next()) batch.push_back({std::string(cursor.key()), value_of(cursor.value())});
    });
    options.limit -= batch.size();
    ended = batch.size() < kBatchPairs || options.limit == 0;
    if (batch.empty()) return;
    (options.reverse ? options.end : options.start_after) = batch.back().key;
  }

  static KvValue value_of(const store::KeyValue::Value& value) {
    return {value.is_text ? KvValue::Format::kJson : KvValue::Format::kStructuredClone,
            std::string(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size())};
  }
};

KvCursor::KvCursor(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
KvCursor::KvCursor(KvCursor&& other) noexcept = default;
KvCursor& KvCursor::operator=(KvCursor&& other) noexcept = default;
KvCursor::~KvCursor() = default;

std::optional<KvPair> KvCursor::next() {
  state_->fill();
  if (state_->batch.empty()) return std::nullopt;
  KvPair pair = std::move(state_->batch.front());
  state_->batch.pop_front();
  return pair;
}

// ---- Kv

std::optional<KvValue> Kv::get(std::string_view key) {
  storage_.check_open();
  return storage_.shard.with_key_value(storage_.slot, [&](auto& kv) -> std::optional<KvValue> {
    const auto found = kv.get(key);
    if (!found) return std::nullopt;
    return KvCursor::State::value_of(*found);
  });
}

void Kv::put(std::string_view key, const KvValue& value) {
  check_sizes(storage_.kind, key, value.bytes());
  storage_.write([&] {
    storage_.shard.with_key_value(storage_.slot, [&](auto& kv) {
      kv.put(key, std::as_bytes(std::span(value.bytes())),
             value.format() == KvValue::Format::kJson);
    });
  });
}

bool Kv::remove(std::string_view key) {
  return storage_.write([&] {
    return storage_.shard.with_key_value(storage_.slot, [&](auto& kv) { return kv.remove(key); });
  });
}

KvCursor Kv::list(KvListOptions options) {
  storage_.check_open();
  if (!options.start.empty() && options.start_after)
    invalid("A list begins at `start` or after `start_after`, not at both.");
  return KvCursor(std::make_unique<KvCursor::State>(storage_, std::move(options)));
}

}  // namespace perdure
