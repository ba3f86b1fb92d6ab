#include "store/packed_page.h"

#include <cstring>
#include <vector>

#include "log/page_delta.h"

namespace perdure::store {

void PackedPage::replace(std::span<const std::byte> page) {
  if (whole_ && size_ == page.size()) {
    std::memcpy(bytes_.get(), page.data(), size_);
    return;
  }
  thread_local std::vector<std::byte> packed;
  packed.clear();
  log::pack_page(page, packed);
  whole_ = packed.size() > page.size() / 4 * 3;
  const std::span<const std::byte> kept = whole_ ? page : std::span<const std::byte>(packed);
  if (kept.size() != size_ || bytes_ == nullptr) {
    size_ = static_cast<std::uint32_t>(kept.size());
    bytes_ = size_ == 0 ? nullptr : std::make_unique_for_overwrite<std::byte[]>(size_);
  }
  if (size_ != 0) std::memcpy(bytes_.get(), kept.data(), size_);
}

void PackedPage::unpack(std::span<std::byte> page) const {
  if (whole_) {
    std::memcpy(page.data(), bytes_.get(), size_);
  } else {
    log::unpack_page({bytes_.get(), size_}, page);
  }
}

}  // namespace perdure::store
