#include "store/packed_page.h"

#include <cstring>
#include <vector>

#include "log/page_delta.h"

namespace perdure::store {

PackedPage::PackedPage(std::span<const std::byte> page) {
  thread_local std::vector<std::byte> packed;
  packed.clear();
  log::pack_page(page, packed);
  if (packed.empty()) return;
  size_ = static_cast<std::uint32_t>(packed.size());
  bytes_ = std::make_unique_for_overwrite<std::byte[]>(size_);
  std::memcpy(bytes_.get(), packed.data(), size_);
}

void PackedPage::unpack(std::span<std::byte> page) const {
  log::unpack_page({bytes_.get(), size_}, page);
}

}  // namespace perdure::store
