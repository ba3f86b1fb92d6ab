#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace perdure {

// A place in the commit log, from 1: commits are durable in the order of these numbers, so
// "everything up to here is durable" is one comparison. 0 means "depends on nothing".
using Lsn = std::uint64_t;

// A wall-clock time (UTC) in whole milliseconds since 1970.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;

using Blob = std::vector<std::byte>;

// A value of SQLite, in the order of ColumnType: NULL, INTEGER, REAL, TEXT (UTF-8), BLOB.
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;

enum class ColumnType : std::uint8_t { kNull, kInteger, kReal, kText, kBlob };

// The integer types that are taken and given: of up to 64 bits. Neither bool nor the types of
// characters, which are no numbers: 'a' may be meant as 97 or as "a". (signed char and unsigned
// char, of which std::int8_t and std::uint8_t are made, are numbers.)
template <typename T>
concept Integer = std::integral<T> && sizeof(T) <= sizeof(std::int64_t) && !std::same_as<T, bool> &&
                  !std::same_as<T, char> && !std::same_as<T, wchar_t> &&
                  !std::same_as<T, char8_t> && !std::same_as<T, char16_t> &&
                  !std::same_as<T, char32_t>;

// Where the objects of a namespace keep what they store. Chosen when the namespace is made, for
// good.
enum class StorageKind : std::uint8_t {
  kSqlite,    // each has a SQLite database of its own (`new_sqlite_classes`): SQL and key-value
  kKeyValue,  // all share one file (`new_classes`): key-value alone, no bookmarks
};

}  // namespace perdure
