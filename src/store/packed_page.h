#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace perdure::store {

// The content of a page as the store keeps it in memory until the checkpoint: log::pack_page leaves
// out the stretches of zeros that the pages of a small database mostly are. A page of zeros takes no
// memory at all.
class PackedPage {
 public:
  PackedPage() = default;
  explicit PackedPage(std::span<const std::byte> page);

  // Fills `page`, which must be as long as the page that was packed.
  void unpack(std::span<std::byte> page) const;

  // Of memory, without this object itself.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::uint32_t size_ = 0;
};

}  // namespace perdure::store
