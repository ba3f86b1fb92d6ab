#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

namespace perdure {
namespace {

namespace fs = std::filesystem;

// One write of zeros while a file is preallocated, in bytes: large enough to be cheap, small enough
// to leave the disk to others in between.
constexpr std::size_t kZeroBytes = 1 << 20;

[[noreturn]] void fail(const char* action, const fs::path& path, int error) {
  const auto code = error == ENOSPC || error == EDQUOT ? ErrorCode::kFull : ErrorCode::kIo;
  throw Error(code, std::string("Cannot ") + action + " " + path.string() + ": " +
                        std::generic_category().message(error) + ".");
}

class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

Descriptor open_descriptor(const fs::path& path, int flags, const char* action) {
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (fd >= 0) return Descriptor(fd);
    if (errno != EINTR) fail(action, path, errno);
  }
}

class RealFile final : public File {
 public:
  RealFile(fs::path path, Descriptor descriptor)
      : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

  std::size_t read(std::uint64_t offset, std::span<std::byte> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t got = ::pread(descriptor_.get(), out.data() + done, out.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0) {
        if (errno == EINTR) continue;
        fail("read", path_, errno);
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  void write(std::uint64_t offset, std::span<const std::byte> data) override {
    std::size_t done = 0;
    while (done < data.size()) {
      const ssize_t put = ::pwrite(descriptor_.get(), data.data() + done, data.size() - done,
                                   static_cast<off_t>(offset + done));
      if (put < 0) {
        if (errno == EINTR) continue;
        fail("write", path_, errno);
      }
      done += static_cast<std::size_t>(put);
    }
  }

  void sync() override {
    if (::fdatasync(descriptor_.get()) != 0) fail("sync", path_, errno);
  }

  // Everything on the disk that the file is on.
  void sync_disk() {
    if (::syncfs(descriptor_.get()) != 0) fail("sync the disk of", path_, errno);
  }

  [[nodiscard]] dev_t disk() const {
    struct stat status {};
    if (::fstat(descriptor_.get(), &status) != 0) fail("inspect", path_, errno);
    return status.st_dev;
  }

  [[nodiscard]] std::uint64_t size() override {
    struct stat status {};
    if (::fstat(descriptor_.get(), &status) != 0) fail("inspect", path_, errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

  void truncate(std::uint64_t size) override {
    while (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) {
      if (errno != EINTR) fail("truncate", path_, errno);
    }
  }

  void preallocate(std::uint64_t size) override {
    const std::uint64_t old_size = this->size();
    if (size <= old_size) return;
    try {
      allocate(old_size, size);
      fill_with_zeros(old_size, size);
      sync();
    } catch (const Error&) {
      // Gives back what was taken; the first error is the one to report.
      if (::ftruncate(descriptor_.get(), static_cast<off_t>(old_size)) != 0) throw;
      throw;
    }
  }

 private:
  // Asks for all the room at once, so that a full disk is noticed before anything is written.
  void allocate(std::uint64_t from, std::uint64_t to) {
    while (::fallocate(descriptor_.get(), 0, static_cast<off_t>(from),
                       static_cast<off_t>(to - from)) != 0) {
      if (errno == EINTR) continue;
      // Where the file system cannot do it, writing zeros takes the room.
      if (errno == EOPNOTSUPP || errno == ENOSYS) return;
      fail("allocate room for", path_, errno);
    }
  }

  // Blocks that were only allocated are marked as written on their first write, and that costs a
  // journal commit in every fdatasync; blocks that hold zeros cost nothing.
  void fill_with_zeros(std::uint64_t from, std::uint64_t to) {
    const std::vector<std::byte> zeros(std::min<std::uint64_t>(kZeroBytes, to - from));
    for (std::uint64_t at = from; at < to;) {
      const auto count = std::min<std::uint64_t>(zeros.size(), to - at);
      write(at, std::span(zeros).first(count));
      // Starts the disk on this part now: one large burst at the end would stall other writers.
      ::sync_file_range(descriptor_.get(), static_cast<off_t>(at), static_cast<off_t>(count),
                        SYNC_FILE_RANGE_WRITE);
      at += count;
    }
  }

  const fs::path path_;
  const Descriptor descriptor_;
};

class RealLock final : public FileLock {
 public:
  explicit RealLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  Descriptor descriptor_;  // closing it releases the lock
};

int open_flags(FileSystem::Mode mode) {
  switch (mode) {
    case FileSystem::Mode::kRead:
      return O_RDONLY;
    case FileSystem::Mode::kReadWrite:
      return O_RDWR;
    case FileSystem::Mode::kCreate:
      return O_RDWR | O_CREAT;
    case FileSystem::Mode::kCreateNew:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  throw Error(ErrorCode::kInvalid, "Unknown mode to open a file.");
}

// From so many files on, one syncfs is cheaper than an fdatasync each, which commits the journal of
// the disk every time (measured with new files of 12 KiB: 0.05 ms a file against 0.18). It reports
// what failed to be written since the file was opened, from Linux 5.8 on (syncfs(2)).
constexpr std::size_t kSyncDiskFilesMin = 16;

class RealFileSystem final : public FileSystem {
 public:
  void sync_files(std::span<File* const> files) override {
    if (files.size() < kSyncDiskFilesMin) return FileSystem::sync_files(files);
    std::set<dev_t> synced;
    for (File* file : files) {
      auto* real = dynamic_cast<RealFile*>(file);
      if (real == nullptr) {
        file->sync();
      } else if (synced.insert(real->disk()).second) {
        real->sync_disk();
      }
    }
  }

  std::unique_ptr<File> open(const fs::path& path, Mode mode) override {
    return std::make_unique<RealFile>(path, open_descriptor(path, open_flags(mode), "open"));
  }

  [[nodiscard]] bool exists(const fs::path& path) override {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    fail("inspect", path, errno);
  }

  void remove(const fs::path& path) override {
    if (::unlink(path.c_str()) != 0) fail("remove", path, errno);
  }

  void rename(const fs::path& from, const fs::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail("rename", from, errno);
  }

  void create_directories(const fs::path& path) override {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail("create the directory", path, error.value());
  }

  std::vector<std::string> list(const fs::path& path) override {
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator entry(path, error), end; !error && entry != end;
         entry.increment(error)) {
      names.push_back(entry->path().filename().string());
    }
    if (error) fail("list the directory", path, error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  void sync_directory(const fs::path& path) override {
    const Descriptor directory =
        open_descriptor(path, O_RDONLY | O_DIRECTORY, "open the directory");
    if (::fsync(directory.get()) != 0) fail("sync the directory", path, errno);
  }

  std::unique_ptr<FileLock> try_lock(const fs::path& path) override {
    Descriptor descriptor = open_descriptor(path, O_RDWR | O_CREAT, "open");
    // flock belongs to the open file, not to the process, so it also excludes a second holder here.
    while (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return nullptr;
      if (errno != EINTR) fail("lock", path, errno);
    }
    return std::make_unique<RealLock>(std::move(descriptor));
  }
};

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem file_system;
  return file_system;
}

}  // namespace perdure
