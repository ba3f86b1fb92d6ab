#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace perdure::store {

// The content of a page as the store keeps it in memory until the checkpoint: log::pack_page leaves
// out the stretches of zeros that the pages of a small database mostly are. A page of zeros takes
// no memory at all. A page that is mostly full is kept as it is, and stays so: packing it would
// cost more at each commit than it saves.
class PackedPage {
 public:
  PackedPage() = default;
  explicit PackedPage(std::span<const std::byte> page) { replace(page); }

  // Takes the content of `page` instead.
  void replace(std::span<const std::byte> page);

  // The page itself when it is kept as it is, else empty. Valid until it is replaced.
  [[nodiscard]] std::span<const std::byte> whole() const noexcept {
    return whole_ ? std::span<const std::byte>(bytes_.get(), size_) : std::span<const std::byte>();
  }

  // Fills `page`, which must be as long as the page that was packed.
  void unpack(std::span<std::byte> page) const;

  // Of memory, without this object itself.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::uint32_t size_ = 0;
  bool whole_ = false;
};

}  // namespace perdure::store
