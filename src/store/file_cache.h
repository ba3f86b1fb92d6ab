#pragma once

#include <cstddef>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/file.h"
#include "base/lsn.h"

namespace perdure::store {

// Open object files for reading, least recently used closed first, so that any number of objects
// can be read with a bounded number of descriptors. Any thread.
class FileCache {
 public:
  static constexpr std::size_t kOpenFilesMax = 256;

  explicit FileCache(FileSystem& file_system) : file_system_(file_system) {}

  // The file, which must exist. Throws Error(kIo).
  std::shared_ptr<File> open(ObjectNumber number, const std::filesystem::path& path);

  // Forgets a file that is about to be written through another descriptor.
  void close(ObjectNumber number);

 private:
  struct Entry {
    ObjectNumber number;
    std::shared_ptr<File> file;
  };

  FileSystem& file_system_;
  std::mutex mutex_;
  std::list<Entry> recent_;  // front: most recently used
  boost::unordered_flat_map<ObjectNumber, std::list<Entry>::iterator> index_;
};

}  // namespace perdure::store
