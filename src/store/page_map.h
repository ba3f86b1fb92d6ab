#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/lsn.h"
#include "store/packed_page.h"

namespace perdure::store {

// A committed page that is not in its file yet.
struct CommittedPage {
  PackedPage content;
  // The checkpoint epoch in which the log got enough of this page to rebuild it without the file.
  std::uint64_t epoch = 0;
  Lsn lsn = 0;  // of its last change
};

// Committed pages by number. A small object has a handful of them, and there may be a hundred
// thousand such objects, so a few live in a sorted array; more in a hash map.
class PageMap {
 public:
  [[nodiscard]] bool empty() const noexcept { return few_.empty() && many_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return few_.size() + many_.size(); }

  [[nodiscard]] CommittedPage* find(std::uint32_t page) noexcept {
    if (!many_.empty()) {
      const auto it = many_.find(page);
      return it == many_.end() ? nullptr : &it->second;
    }
    const auto it = position(page);
    return it != few_.end() && it->first == page ? &it->second : nullptr;
  }

  CommittedPage& insert_or_find(std::uint32_t page) {
    if (!many_.empty()) return many_[page];
    const auto it = position(page);
    if (it != few_.end() && it->first == page) return it->second;
    if (few_.size() < kFew) return few_.emplace(it, page, CommittedPage{})->second;
    for (auto& entry : few_) many_.emplace(entry.first, std::move(entry.second));
    few_ = std::vector<Entry>();
    return many_[page];
  }

  void erase(std::uint32_t page) {
    if (!many_.empty()) {
      many_.erase(page);
      if (many_.empty()) many_ = decltype(many_)();
      return;
    }
    const auto it = position(page);
    if (it != few_.end() && it->first == page) few_.erase(it);
    if (few_.empty()) few_ = std::vector<Entry>();
  }

  // The numbers from `first` on, ascending.
  [[nodiscard]] std::vector<std::uint32_t> pages_from(std::uint32_t first) const {
    std::vector<std::uint32_t> pages;
    pages.reserve(size());
    for (const auto& entry : few_) {
      if (entry.first >= first) pages.push_back(entry.first);
    }
    for (const auto& entry : many_) {
      if (entry.first >= first) pages.push_back(entry.first);
    }
    std::sort(pages.begin(), pages.end());
    return pages;
  }

 private:
  using Entry = std::pair<std::uint32_t, CommittedPage>;
  static constexpr std::size_t kFew = 32;

  std::vector<Entry>::iterator position(std::uint32_t page) noexcept {
    return std::lower_bound(
        few_.begin(), few_.end(), page,
        [](const Entry& entry, std::uint32_t key) { return entry.first < key; });
  }

  std::vector<Entry> few_;
  boost::unordered_flat_map<std::uint32_t, CommittedPage> many_;
};

}  // namespace perdure::store
