#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "perdure/export.h"

namespace perdure {

// The id of an object: 32 bytes, made by Namespace. The name is what it was made from. A value; any
// thread may read it.
class PERDURE_API ObjectId {
 public:
  using Bytes = std::array<std::uint8_t, 32>;

  [[nodiscard]] const Bytes& bytes() const noexcept { return bytes_; }
  // 64 lower-case hexadecimal digits, as in JavaScript and in file names.
  [[nodiscard]] std::string to_string() const;
  // Empty when it was not made from a name, or the name is not known.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  // The same object, whatever is known of its name.
  friend bool operator==(const ObjectId& a, const ObjectId& b) noexcept {
    return a.bytes_ == b.bytes_;
  }

 private:
  friend class Namespace;
  ObjectId(const Bytes& bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

  Bytes bytes_;
  std::string name_;
};

}  // namespace perdure
