#include "store/file_cache.h"

namespace perdure::store {

std::shared_ptr<File> FileCache::open(ObjectNumber number, const std::filesystem::path& path) {
  const std::scoped_lock lock(mutex_);
  if (const auto it = index_.find(number); it != index_.end()) {
    recent_.splice(recent_.begin(), recent_, it->second);
    return it->second->file;
  }
  std::shared_ptr<File> file = file_system_.open(path, FileSystem::Mode::kRead);
  if (recent_.size() >= kOpenFilesMax) {
    index_.erase(recent_.back().number);
    recent_.pop_back();
  }
  recent_.push_front({number, file});
  index_[number] = recent_.begin();
  return file;
}

void FileCache::close(ObjectNumber number) {
  const std::scoped_lock lock(mutex_);
  const auto it = index_.find(number);
  if (it == index_.end()) return;
  recent_.erase(it->second);
  index_.erase(it);
}

}  // namespace perdure::store
