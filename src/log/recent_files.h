#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

namespace perdure::log {

// The files that were used last, by their numbers, so that they stay open; the one that was not
// used for longest goes when there are more than a limit. Not thread-safe.
template <typename File>
class RecentFiles {
 public:
  // At least 1. Few: they are looked through one by one.
  explicit RecentFiles(std::size_t files_max) : files_max_(files_max) {}

  // Null when it is not here.
  std::shared_ptr<File> find(std::uint64_t number) {
    const auto found = std::find_if(files_.begin(), files_.end(),
                                    [number](const auto& entry) { return entry.first == number; });
    if (found == files_.end()) return nullptr;
    std::rotate(files_.begin(), found, found + 1);
    return files_.front().second;
  }

  // Takes the place of the one with that number.
  void put(std::uint64_t number, std::shared_ptr<File> file) {
    forget(number);
    if (files_.size() == files_max_) files_.pop_back();
    files_.emplace_front(number, std::move(file));
  }

  void forget(std::uint64_t number) {
    std::erase_if(files_, [number](const auto& entry) { return entry.first == number; });
  }

 private:
  const std::size_t files_max_;
  std::deque<std::pair<std::uint64_t, std::shared_ptr<File>>> files_;  // the last used first
};

}  // namespace perdure::log
