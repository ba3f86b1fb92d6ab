#include "store/vfs.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <string_view>

#include "base/error.h"
#include "sqlite3.h"
#include "store/store_core.h"

namespace perdure::store {
namespace {

// A thread keeps its buffer for records from commit to commit up to this size.
constexpr std::size_t kRecordBytesKept = std::size_t{1} << 20;
// A database keeps the room for so many pending pages from commit to commit.
constexpr std::size_t kPendingPagesKept = 16;
// Where page 1 says how many pages the database has (4 bytes, big-endian).
constexpr std::size_t kPagesInHeaderOffset = 28;

// The record between sync() and commit(), which follow one another on one thread. The catalog's
// commit that a first commit brings about comes before the record is encoded, and one that is
// staged has its record for itself.
std::vector<std::byte>& record_buffer() {
  thread_local std::vector<std::byte> buffer;
  return buffer;
}

// SQLite allocates szOsFile bytes; the object behind lives from xOpen to xClose.
struct Handle {
  sqlite3_file base;
  OpenFile* open;
};

OpenFile& open_file(sqlite3_file* file) { return *reinterpret_cast<Handle*>(file)->open; }

StoreCore& store_core(sqlite3_vfs* vfs) { return *static_cast<StoreCore*>(vfs->pAppData); }

std::span<std::byte> as_bytes(void* data, int size) {
  return {static_cast<std::byte*>(data), static_cast<std::size_t>(size)};
}

int x_close(sqlite3_file* file) {
  auto* handle = reinterpret_cast<Handle*>(file);
  delete handle->open;
  handle->open = nullptr;
  return SQLITE_OK;
}

int x_read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
  return open_file(file).read(as_bytes(out, size), offset);
}

int x_write(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  return open_file(file).write(
      {static_cast<const std::byte*>(data), static_cast<std::size_t>(size)}, offset);
}

int x_truncate(sqlite3_file* file, sqlite3_int64 size) { return open_file(file).truncate(size); }

int x_sync(sqlite3_file*, int) { return SQLITE_OK; }

int x_file_size(sqlite3_file* file, sqlite3_int64* size) {
  std::int64_t bytes = 0;
  const int code = open_file(file).size(bytes);
  *size = bytes;
  return code;
}

// One object has one open database (rule 5), so there is nobody to lock out.
int x_lock(sqlite3_file*, int) { return SQLITE_OK; }

int x_check_reserved_lock(sqlite3_file*, int* reserved) {
  *reserved = 0;
  return SQLITE_OK;
}

int x_file_control(sqlite3_file* file, int operation, void*) {
  switch (operation) {
    case SQLITE_FCNTL_SYNC:
      return open_file(file).sync();
    case SQLITE_FCNTL_COMMIT_PHASETWO:
      return open_file(file).commit();
    default:
      return SQLITE_NOTFOUND;
  }
}

int x_sector_size(sqlite3_file*) { return 4096; }

// A write replaces a page in memory: it never tears, and never touches its neighbours.
int x_device_characteristics(sqlite3_file*) {
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL;
}

const sqlite3_io_methods kIoMethods = {
    .iVersion = 1,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_file_size,
    .xLock = x_lock,
    .xUnlock = x_lock,
    .xCheckReservedLock = x_check_reserved_lock,
    .xFileControl = x_file_control,
    .xSectorSize = x_sector_size,
    .xDeviceCharacteristics = x_device_characteristics,
    .xShmMap = nullptr,
    .xShmLock = nullptr,
    .xShmBarrier = nullptr,
    .xShmUnmap = nullptr,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

std::shared_ptr<DatabaseFile> find_by_name(StoreCore& core, std::string_view name) {
  ObjectNumber number = 0;
  const auto end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return nullptr;
  return core.find(number);
}

int x_open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  auto* handle = new (file) Handle{};
  // Journals and temporary files are in SQLite's own memory; nothing else is opened through us.
  if (name == nullptr || (flags & SQLITE_OPEN_MAIN_DB) == 0) return SQLITE_CANTOPEN;
  try {
    auto database = find_by_name(store_core(vfs), name);
    if (database == nullptr) return SQLITE_CANTOPEN;
    handle->open = new OpenFile(std::move(database));
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;
  } catch (const std::exception&) {
    return SQLITE_CANTOPEN;
  }
  handle->base.pMethods = &kIoMethods;
  // SQLITE_OPEN_MEMORY makes SQLite keep its journal in memory from the start, which saves a
  // `PRAGMA journal_mode` at each open.
  if (out_flags != nullptr) *out_flags = flags | SQLITE_OPEN_MEMORY;
  return SQLITE_OK;
}

int x_delete(sqlite3_vfs*, const char*, int) { return SQLITE_OK; }

int x_access(sqlite3_vfs*, const char*, int, int* result) {
  *result = 0;
  return SQLITE_OK;
}

int x_full_pathname(sqlite3_vfs*, const char* name, int size, char* out) {
  const std::size_t length = std::strlen(name);
  if (length + 1 > static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, length + 1);
  return SQLITE_OK;
}

sqlite3_vfs* system_vfs() { return sqlite3_vfs_find("unix"); }

int x_randomness(sqlite3_vfs*, int size, char* out) {
  return system_vfs()->xRandomness(system_vfs(), size, out);
}

int x_sleep(sqlite3_vfs*, int microseconds) {
  return system_vfs()->xSleep(system_vfs(), microseconds);
}

int x_current_time(sqlite3_vfs*, double* now) {
  return system_vfs()->xCurrentTime(system_vfs(), now);
}

int x_current_time_int64(sqlite3_vfs*, sqlite3_int64* now) {
  return system_vfs()->xCurrentTimeInt64(system_vfs(), now);
}

int x_get_last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

// Runs `body`, which returns a result code, and turns what it throws into one.
template <typename Body>
int OpenFile::guarded(int io_code, Body&& body) noexcept {
  try {
    try {
      return body();
    } catch (const Error& error) {
      last_error_ = error.what();
      if (error.code() == ErrorCode::kFull) return SQLITE_FULL;
      if (error.code() == ErrorCode::kCorrupt) return SQLITE_CORRUPT;
      return io_code;
    } catch (const std::bad_alloc&) {
      return SQLITE_NOMEM;
    } catch (const std::exception& error) {
      last_error_ = error.what();
      return io_code;
    }
  } catch (...) {
    return SQLITE_NOMEM;
  }
}

int OpenFile::read(std::span<std::byte> out, std::int64_t offset) noexcept {
  return guarded(SQLITE_IOERR_READ, [&] {
    const std::uint32_t page_size = started_ ? page_size_ : file_->page_size();
    const auto page = static_cast<std::uint32_t>(offset / page_size) + 1;
    const auto within = static_cast<std::size_t>(offset % page_size);
    const std::uint32_t pages = started_ ? pages_ : file_->page_count();
    if (within + out.size() > page_size) return SQLITE_IOERR_READ;
    if (page > pages) {
      std::memset(out.data(), 0, out.size());
      return SQLITE_IOERR_SHORT_READ;
    }
    if (const auto it = pending_.find(page); it != pending_.end()) {
      std::memcpy(out.data(), it->second.get() + within, out.size());
    } else if (out.size() == page_size) {
      file_->read(page, out);
    } else {
      file_->read_part(page, within, out);
    }
    return SQLITE_OK;
  });
}

void OpenFile::start() {
  if (started_) return;
  page_size_ = file_->page_size();
  pages_ = file_->page_count();
  started_ = true;
}

// True when one more page is too much for the log or for the limit of a transaction.
bool OpenFile::refused(std::size_t page_size) noexcept {
  StoreCore& core = file_->core();
  if (!file_->exempt_from_limits() && !core.log().has_room()) {
    last_error_ = "the disk has no room for the log";
    return true;
  }
  if ((pending_.size() + 1) * page_size > core.options().transaction_bytes_max) {
    last_error_ = "the transaction is larger than the limit";
    return true;
  }
  return false;
}

int OpenFile::write(std::span<const std::byte> data, std::int64_t offset) noexcept {
  return guarded(SQLITE_IOERR_WRITE, [&] {
    if (doomed_) return SQLITE_OK;
    start();
    if (pages_ == 0) page_size_ = static_cast<std::uint32_t>(data.size());
    if (data.size() != page_size_ || offset % page_size_ != 0) return SQLITE_IOERR_WRITE;
    const auto page = static_cast<std::uint32_t>(offset / page_size_) + 1;
    auto it = pending_.find(page);
    if (it == pending_.end()) {
      if (refused(data.size())) {
        doom();
        return SQLITE_FULL;
      }
      it = pending_.emplace(page, std::make_unique_for_overwrite<std::byte[]>(page_size_)).first;
    }
    std::memcpy(it->second.get(), data.data(), data.size());
    pages_ = std::max(pages_, page);
    return SQLITE_OK;
  });
}

int OpenFile::truncate(std::int64_t size) noexcept {
  return guarded(SQLITE_IOERR_TRUNCATE, [&] {
    if (doomed_) return SQLITE_OK;
    start();
    pages_ = static_cast<std::uint32_t>(size / page_size_);
    boost::unordered::erase_if(pending_, [&](const auto& entry) { return entry.first > pages_; });
    return SQLITE_OK;
  });
}

int OpenFile::size(std::int64_t& size) noexcept {
  return guarded(SQLITE_IOERR_FSTAT, [&] {
    const std::uint64_t pages = started_ ? pages_ : file_->page_count();
    size = static_cast<std::int64_t>(pages * (started_ ? page_size_ : file_->page_size()));
    return SQLITE_OK;
  });
}

void OpenFile::collect(std::uint32_t pages_after) {
  changed_.clear();
  changed_.reserve(pending_.size());
  for (const auto& [page, content] : pending_) {
    if (page <= pages_after) changed_.push_back({page, {content.get(), page_size_}});
  }
  std::sort(changed_.begin(), changed_.end(),
            [](const ChangedPage& a, const ChangedPage& b) { return a.page < b.page; });
}

// The pages are written; the journal is still there. Everything that can be refused is.
int OpenFile::sync() noexcept {
  if (!committing_ || !started_) return SQLITE_OK;
  const int code = guarded(SQLITE_IOERR_FSYNC, [&] {
    prepare(pages_in_header());
    return SQLITE_OK;
  });
  if (code != SQLITE_OK) doom();
  return code;
}

void OpenFile::prepare(std::uint32_t pages_after) {
  collect(pages_after);
  if (!admitted_) file_->admit();
  file_->prepare({changed_, page_size_, pages_after}, record());
  synced_pages_ = pages_after;
  prepared_ = true;
}

void OpenFile::doom() noexcept {
  doomed_ = true;
  committing_ = false;
  pending_ = {};
}

// SQLite truncates a database that shrank only after sync(), but says so in page 1 before.
std::uint32_t OpenFile::pages_in_header() const noexcept {
  const auto it = pending_.find(1);
  if (it == pending_.end()) return pages_;
  std::uint32_t pages = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    pages = pages << 8 | std::to_integer<std::uint32_t>(it->second[kPagesInHeaderOffset + i]);
  }
  return pages == 0 ? pages_ : std::min(pages, pages_);
}

int OpenFile::commit() noexcept {
  if (!started_) {
    clear();
    return SQLITE_OK;
  }
  const int code = guarded(SQLITE_IOERR, [&] {
    if (pages_ != synced_pages_) {
      collect(pages_);
      file_->prepare(change(), record());
    }
    staged_ = staging_;
    if (!staged_) publish();
    return SQLITE_OK;
  });
  if (code != SQLITE_OK) broken_ = true;
  if (!staged_) clear();
  return code;
}

// A record that waits for another one is not to be written over by that one.
std::vector<std::byte>& OpenFile::record() noexcept {
  return staging_ ? staged_record_ : record_buffer();
}

void OpenFile::publish() {
  const Change own = change();
  if (companion_ == nullptr) {
    DatabaseFile::Prepared alone{*file_, own, record_buffer()};
    DatabaseFile::publish({&alone, 1});
    return;
  }
  const Change other = companion_->change();
  DatabaseFile::Prepared both[] = {{*file_, own, record_buffer()},
                                   {*companion_->file_, other, companion_->staged_record_}};
  DatabaseFile::publish(both);
  companion_->clear();
}

void OpenFile::publish_staged() {
  const Change own = change();
  DatabaseFile::Prepared alone{*file_, own, staged_record_};
  try {
    DatabaseFile::publish({&alone, 1});
  } catch (...) {
    abandon_staged();
    throw;
  }
  clear();
}

void OpenFile::abandon_staged() noexcept {
  broken_ = true;
  clear();
}

void OpenFile::show(log::Undo undo) {
  const std::uint32_t pages_now = file_->page_count();
  if (undo.pages_now != pages_now || (pages_now != 0 && undo.page_size != file_->page_size())) {
    throw Error(ErrorCode::kInvalid, "Database " + std::to_string(file_->number()) + " has " +
                                         std::to_string(pages_now) + " pages, and not " +
                                         std::to_string(undo.pages_now) +
                                         ": something was committed meanwhile.");
  }
  page_size_ = undo.page_size;
  pages_ = undo.pages_then;
  started_ = true;
  while (!undo.pages.empty()) {
    const auto node = undo.pages.extract(undo.pages.begin());
    if (node.key() > pages_) continue;
    auto content = std::make_unique_for_overwrite<std::byte[]>(page_size_);
    file_->read(node.key(), {content.get(), page_size_});
    for (std::size_t i = 0; i < page_size_; ++i) content[i] ^= node.mapped()[i];
    pending_.emplace(node.key(), std::move(content));
  }
}

void OpenFile::publish_shown(std::uint32_t flags, OpenFile& staged) {
  collect(pages_);
  flags_ = flags;
  file_->prepare(change(), record());
  companion_ = &staged;
  try {
    publish();
  } catch (...) {
    companion_ = nullptr;
    throw;
  }
  companion_ = nullptr;
  clear();
}

void OpenFile::rollback() noexcept { clear(); }

void OpenFile::clear() noexcept {
  started_ = false;
  flags_ = 0;
  committing_ = false;
  prepared_ = false;
  doomed_ = false;
  staged_ = false;
  staged_record_ = {};
  if (pending_.size() > kPendingPagesKept) {
    pending_ = {};
  } else {
    pending_.clear();
  }
  changed_ = {};
  auto& record = record_buffer();
  if (record.capacity() > kRecordBytesKept) record = {};
}

OpenFile* open_file_of(sqlite3_file* file) { return &open_file(file); }

std::unique_ptr<sqlite3_vfs> make_vfs(StoreCore& core) {
  auto vfs = std::make_unique<sqlite3_vfs>();
  *vfs = {};
  vfs->iVersion = 2;
  vfs->szOsFile = sizeof(Handle);
  vfs->mxPathname = 32;
  vfs->zName = core.vfs_name();
  vfs->pAppData = &core;
  vfs->xOpen = x_open;
  vfs->xDelete = x_delete;
  vfs->xAccess = x_access;
  vfs->xFullPathname = x_full_pathname;
  vfs->xRandomness = x_randomness;
  vfs->xSleep = x_sleep;
  vfs->xCurrentTime = x_current_time;
  vfs->xGetLastError = x_get_last_error;
  vfs->xCurrentTimeInt64 = x_current_time_int64;
  return vfs;
}

}  // namespace perdure::store
