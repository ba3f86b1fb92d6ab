#include "store/temporary_file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "sqlite3.h"

namespace perdure::store {
namespace {

using Chunk = std::array<std::byte, std::size_t{64} << 10>;

std::atomic<std::size_t> used{0};

class Content {
 public:
  Content() = default;
  ~Content() { keep_chunks(0); }
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  int read(std::byte* out, std::size_t count, std::uint64_t offset) const noexcept {
    const std::uint64_t there = offset < size_ ? std::min<std::uint64_t>(count, size_ - offset) : 0;
    for_each_part(offset, there, [&](std::byte* part, std::size_t bytes) {
      std::memcpy(out, part, bytes);
      out += bytes;
    });
    std::memset(out, 0, count - there);
    return there == count ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
  }

  int write(const std::byte* in, std::size_t count, std::uint64_t offset) noexcept {
    if (const int code = make_room(offset + count); code != SQLITE_OK) return code;
    for_each_part(offset, count, [&](std::byte* part, std::size_t bytes) {
      std::memcpy(part, in, bytes);
      in += bytes;
    });
    size_ = std::max<std::uint64_t>(size_, offset + count);
    return SQLITE_OK;
  }

  void truncate(std::uint64_t size) noexcept {
    if (size >= size_) return;
    size_ = size;
    keep_chunks((size + sizeof(Chunk) - 1) / sizeof(Chunk));
  }

 private:
  template <typename Use>
  void for_each_part(std::uint64_t offset, std::uint64_t count, Use use) const noexcept {
    while (count > 0) {
      const std::size_t within = offset % sizeof(Chunk);
      const std::size_t bytes = std::min<std::uint64_t>(count, sizeof(Chunk) - within);
      use(chunks_[offset / sizeof(Chunk)]->data() + within, bytes);
      offset += bytes;
      count -= bytes;
    }
  }

  int make_room(std::uint64_t size) noexcept {
    while (chunks_.size() * sizeof(Chunk) < size) {
      if (used.fetch_add(sizeof(Chunk)) + sizeof(Chunk) > TemporaryFile::kBytesMax) {
        used -= sizeof(Chunk);
        return SQLITE_FULL;
      }
      try {
        chunks_.push_back(std::make_unique<Chunk>());
      } catch (const std::bad_alloc&) {
        used -= sizeof(Chunk);
        return SQLITE_NOMEM;
      }
    }
    return SQLITE_OK;
  }

  void keep_chunks(std::size_t count) noexcept {
    used -= (chunks_.size() - count) * sizeof(Chunk);
    chunks_.resize(count);
  }

  std::uint64_t size_ = 0;
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

struct Handle {
  sqlite3_file base;
  Content* content;
};

Content& content_of(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file)->content; }

int nothing_to_do(sqlite3_file*, int) { return SQLITE_OK; }

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 1,
    .xClose =
        [](sqlite3_file* file) {
          delete &content_of(file);
          return SQLITE_OK;
        },
    .xRead =
        [](sqlite3_file* file, void* out, int count, sqlite3_int64 offset) {
          return content_of(file).read(static_cast<std::byte*>(out),
                                       static_cast<std::size_t>(count),
                                       static_cast<std::uint64_t>(offset));
        },
    .xWrite =
        [](sqlite3_file* file, const void* in, int count, sqlite3_int64 offset) {
          return content_of(file).write(static_cast<const std::byte*>(in),
                                        static_cast<std::size_t>(count),
                                        static_cast<std::uint64_t>(offset));
        },
    .xTruncate =
        [](sqlite3_file* file, sqlite3_int64 size) {
          content_of(file).truncate(static_cast<std::uint64_t>(size));
          return SQLITE_OK;
        },
    .xSync = nothing_to_do,
    .xFileSize =
        [](sqlite3_file* file, sqlite3_int64* size) {
          *size = static_cast<sqlite3_int64>(content_of(file).size());
          return SQLITE_OK;
        },
    .xLock = nothing_to_do,
    .xUnlock = nothing_to_do,
    .xCheckReservedLock =
        [](sqlite3_file*, int* reserved) {
          *reserved = 0;
          return SQLITE_OK;
        },
    .xFileControl = [](sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; },
    .xSectorSize = [](sqlite3_file*) { return 4096; },
    .xDeviceCharacteristics = [](sqlite3_file*) { return 0; },
    .xShmMap = nullptr,
    .xShmLock = nullptr,
    .xShmBarrier = nullptr,
    .xShmUnmap = nullptr,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

}  // namespace

const int TemporaryFile::kHandleBytes = sizeof(Handle);

int TemporaryFile::open(sqlite3_file* out) noexcept {
  auto* content = new (std::nothrow) Content;
  // Without methods, SQLite does not close it.
  new (out) Handle{{content == nullptr ? nullptr : &kMethods}, content};
  return content == nullptr ? SQLITE_NOMEM : SQLITE_OK;
}

std::size_t TemporaryFile::bytes_used() noexcept { return used; }

}  // namespace perdure::store
