#include "runtime/object_id.h"

#include <algorithm>
#include <cstring>
#include <span>

#include <sodium.h>

namespace perdure::runtime {
namespace {

constexpr std::size_t kContentBytes = 16;
constexpr std::string_view kHexDigits = "0123456789abcdef";

using Key = std::array<std::uint8_t, 32>;

Key hmac(const Key& key, std::span<const std::uint8_t> data) {
  Key out;
  crypto_auth_hmacsha256(out.data(), data.data(), data.size(), key.data());
  return out;
}

// The id with this content: the second half proves that it was made for the namespace of `key`.
ObjectId authenticate(const Key& key, std::span<const std::uint8_t, kContentBytes> content) {
  const Key proof = hmac(key, content);
  ObjectId::Bytes bytes;
  std::copy_n(content.begin(), kContentBytes, bytes.begin());
  std::copy_n(proof.begin(), kContentBytes, bytes.begin() + kContentBytes);
  return ObjectId(bytes);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string ObjectId::hex() const {
  std::string text;
  text.reserve(2 * bytes_.size());
  for (const std::uint8_t byte : bytes_) {
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 15];
  }
  return text;
}

ObjectIdFactory::ObjectIdFactory(std::string_view namespace_key) {
  crypto_hash_sha256(key_.data(), reinterpret_cast<const std::uint8_t*>(namespace_key.data()),
                     namespace_key.size());
}

ObjectId ObjectIdFactory::from_name(std::string_view name) const {
  const Key digest = hmac(key_, {reinterpret_cast<const std::uint8_t*>(name.data()), name.size()});
  return authenticate(key_, std::span(digest).first<kContentBytes>());
}

ObjectId ObjectIdFactory::unique() const {
  std::array<std::uint8_t, kContentBytes> content;
  randombytes_buf(content.data(), content.size());
  return authenticate(key_, content);
}

std::optional<ObjectId> ObjectIdFactory::from_string(std::string_view hex) const {
  ObjectId::Bytes bytes;
  if (hex.size() != 2 * bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  const ObjectId id(bytes);
  if (authenticate(key_, std::span(bytes).first<kContentBytes>()) != id) return std::nullopt;
  return id;
}

}  // namespace perdure::runtime
