#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace perdure::runtime {

// 32 bytes, printed as 64 lower-case hex digits: 16 of content, 16 that authenticate them for one
// namespace. The same algorithm as workerd's (src/workerd/server/actor-id-impl.c++), so that ids
// agree and its data can be imported: key = SHA-256(namespace key); content = HMAC-SHA-256(key,
// name)[0..16) or random; the rest = HMAC-SHA-256(key, content)[0..16).
class ObjectId {
 public:
  using Bytes = std::array<std::uint8_t, 32>;
  explicit ObjectId(const Bytes& bytes) : bytes_(bytes) {}

  [[nodiscard]] const Bytes& bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string hex() const;
  // Which of `count` shards has the object. As shardOf() in js/src/runtime/shard.ts.
  [[nodiscard]] std::uint32_t shard(std::uint32_t count) const noexcept {
    const std::uint32_t first = std::uint32_t{bytes_[0]} << 24 | std::uint32_t{bytes_[1]} << 16 |
                                std::uint32_t{bytes_[2]} << 8 | bytes_[3];
    return first % count;
  }
  friend bool operator==(const ObjectId&, const ObjectId&) = default;

 private:
  Bytes bytes_;
};

// Makes and checks the ids of one namespace. Immutable; any thread.
class ObjectIdFactory {
 public:
  explicit ObjectIdFactory(std::string_view namespace_key);
  [[nodiscard]] ObjectId from_name(std::string_view name) const;
  [[nodiscard]] ObjectId unique() const;
  // Empty when the text is not 64 hex digits or the id was not made for this namespace.
  [[nodiscard]] std::optional<ObjectId> from_string(std::string_view hex) const;

 private:
  std::array<std::uint8_t, 32> key_{};
};

}  // namespace perdure::runtime
