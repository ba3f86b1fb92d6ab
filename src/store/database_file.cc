#include "store/database_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "log/log.h"
#include "store/file_shape.h"
#include "store/read_view.h"
#include "store/store_core.h"

namespace perdure::store {
namespace {

// Memory of an entry of the map and its allocation, beside the packed content.
constexpr std::int64_t kEntryBytes = 64;
// Of a file that waits for the checkpoint: this object, its path, its places in two tables.
constexpr std::int64_t kFileBytes = sizeof(DatabaseFile) + 256;
// Until recovery ends the log's epoch is not known.
constexpr std::uint64_t kRecoveringEpoch = std::numeric_limits<std::uint64_t>::max();
// A thread keeps its scratch memory for the next commit up to this size.
constexpr std::size_t kScratchBytesMax = std::size_t{1} << 20;

bool all_zeros(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

bool by_page(const PageChecksum& a, const PageChecksum& b) { return a.page < b.page; }

bool contains(std::span<const PageChecksum> ascending, std::uint32_t page) {
  return std::binary_search(ascending.begin(), ascending.end(), PageChecksum{page, 0}, by_page);
}

[[noreturn]] void refuse_missing(const std::filesystem::path& path, std::uint64_t bytes) {
  throw Error(ErrorCode::kCorrupt, "The file " + path.string() + " is missing, with " +
                                       std::to_string(bytes) + " bytes. Restore it from a backup.");
}

// Old contents of the pages of one commit, side by side.
struct Scratch {
  std::vector<std::byte> before;
  std::vector<log::PageChange> changes;

  void clear() {
    if (before.size() > kScratchBytesMax) before = {};
    changes.clear();
  }
};

}  // namespace

std::string DatabaseFile::path() const {
  const std::scoped_lock lock(mutex_);
  return path_;
}

void DatabaseFile::set_path(const std::string& path) {
  const std::scoped_lock lock(mutex_);
  if (path_.empty()) path_ = path;
}

Head DatabaseFile::head() const {
  const std::scoped_lock lock(mutex_);
  return head_;
}

void DatabaseFile::set_catalog_head(const Head& head, std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  if (origin_ != Origin::kUnknown || head_.commit_number != 0) return;
  head_ = head;
  bytes_at_checkpoint_ = bytes;
  if (head.commit_number == 0) origin_ = Origin::kKnown;
}

void DatabaseFile::set_before_first_commit(std::function<void()> hook) {
  const std::scoped_lock lock(mutex_);
  before_first_commit_ = std::move(hook);
}

bool DatabaseFile::listed() const {
  const std::scoped_lock lock(mutex_);
  return listed_;
}

void DatabaseFile::set_listed(bool listed) {
  const std::scoped_lock lock(mutex_);
  mark_listed(listed);
}

void DatabaseFile::mark_listed(bool listed) noexcept {
  if (listed_ != listed) account(listed ? kFileBytes : -kFileBytes);
  listed_ = listed;
}

void DatabaseFile::account(std::int64_t bytes) noexcept { core_.account(bytes); }

// ---- reading

void DatabaseFile::find_origin() {
  if (origin_ != Origin::kUnknown) return;
  const auto path = core_.full_path(path_);
  if (core_.file_system().exists(path)) {
    const auto file = core_.open_files().open(number_, path);
    const FileShape shape = shape_of_file(*file, path);
    require_size(shape.bytes());
    if (shape.pages > 0) {
      page_size_ = shape.page_size;
      pages_ = shape.pages;
      valid_pages_ = shape.pages;
    }
  } else if (bytes_at_checkpoint_ > 0) {
    refuse_missing(path, bytes_at_checkpoint_);
  }
  origin_ = Origin::kKnown;
}

// A larger one has lost nothing: another program has written it.
void DatabaseFile::require_size(std::uint64_t bytes) const {
  if (bytes >= bytes_at_checkpoint_) return;
  throw Error(ErrorCode::kCorrupt, "The file " + core_.full_path(path_).string() +
                                       " ends at byte " + std::to_string(bytes) + ", but had " +
                                       std::to_string(bytes_at_checkpoint_) +
                                       " bytes. Restore it from a backup.");
}

void DatabaseFile::require_file() const {
  const std::scoped_lock lock(mutex_);
  const auto path = core_.full_path(path_);
  if (valid_pages_ > 0 && !core_.file_system().exists(path))
    refuse_missing(path, std::uint64_t{valid_pages_} * page_size_);
}

void DatabaseFile::read_file(std::uint32_t page, std::span<std::byte> out) {
  const auto path = core_.full_path(path_);
  const auto file = core_.open_files().open(number_, path);
  if (file->read(std::uint64_t{page - 1} * page_size_, out) != out.size()) {
    throw Error(ErrorCode::kCorrupt,
                "The file " + path.string() + " ends before page " + std::to_string(page) + " of " +
                    std::to_string(valid_pages_) + ". Restore it from a backup.");
  }
  require_whole(page, out);
}

void DatabaseFile::require_whole(std::uint32_t page, std::span<const std::byte> content) const {
  if (page > checksums_.size()) return;
  const std::uint32_t due = checksums_[page - 1];
  if (due == 0 || page_checksum(number_, page, content) == due) return;
  throw Error(ErrorCode::kCorrupt,
              "The file " + core_.full_path(path_).string() + " is damaged: page " +
                  std::to_string(page) + ", at byte " +
                  std::to_string(std::uint64_t{page - 1} * page_size_) +
                  ", does not match its checksum. Put back a backup of the data "
                  "directory.");
}

void DatabaseFile::read_locked(std::uint32_t page, std::span<std::byte> out) {
  if (page <= pages_) {
    if (const CommittedPage* entry = map_.find(page)) return entry->content.unpack(out);
    if (page <= valid_pages_) return read_file(page, out);
  }
  std::memset(out.data(), 0, out.size());
}

void DatabaseFile::read(std::uint32_t page, std::span<std::byte> out) {
  const std::scoped_lock lock(mutex_);
  find_origin();
  read_locked(page, out);
}

void DatabaseFile::read_part(std::uint32_t page, std::size_t offset, std::span<std::byte> out) {
  thread_local std::vector<std::byte> whole;
  const std::scoped_lock lock(mutex_);
  find_origin();
  whole.resize(page_size_);
  read_locked(page, whole);
  std::memcpy(out.data(), whole.data() + offset, out.size());
}

std::uint32_t DatabaseFile::page_count() {
  const std::scoped_lock lock(mutex_);
  find_origin();
  return pages_;
}

std::uint32_t DatabaseFile::page_size() {
  const std::scoped_lock lock(mutex_);
  find_origin();
  return page_size_;
}

// ---- views

void DatabaseFile::attach(ReadView& view) {
  const std::scoped_lock lock(mutex_);
  find_origin();
  view.page_size_ = page_size_;
  view.pages_ = pages_;
  view.lsn_ = head_.last_lsn;
  view.location_ = head_.location;
  view.next_ = std::exchange(views_, &view);
}

void DatabaseFile::detach(ReadView& view) noexcept {
  const std::scoped_lock lock(mutex_);
  ReadView** at = &views_;
  while (*at != &view) at = &(*at)->next_;
  *at = view.next_;
}

void DatabaseFile::read(ReadView& view, std::uint32_t page, std::span<std::byte> out) {
  const std::scoped_lock lock(mutex_);
  if (!view.lost_.empty()) {
    throw Error(ErrorCode::kFull, "The object has changed too much while it was being read (" +
                                      view.lost_ + "). Try again, or read less at a time.");
  }
  const auto it = view.set_aside_.find(page);
  if (it == view.set_aside_.end()) {
    if (page <= view.pages_) return read_locked(page, out);
    std::memset(out.data(), 0, out.size());  // only an older state had it
    return;
  }
  std::memcpy(out.data(), it->second.data(), out.size());
}

void DatabaseFile::set_aside(const Change& change) noexcept {
  for (ReadView* view = views_; view != nullptr; view = view->next_) {
    for (const ChangedPage& changed : change.pages) {
      if (changed.differs) view->set_aside(changed.page);
    }
    for (std::uint32_t page = change.pages_after + 1; page <= pages_; ++page) view->set_aside(page);
  }
}

// ---- committing

bool DatabaseFile::needs_full_image(std::uint32_t page, std::uint64_t epoch) noexcept {
  if (page > pages_) return false;  // its difference from nothing is the whole page
  const CommittedPage* entry = map_.find(page);
  return entry == nullptr || entry->epoch != epoch;
}

// Fills `record`; false when the change changes nothing.
bool DatabaseFile::encode(const Change& change, std::uint64_t epoch,
                          std::vector<std::byte>& record) {
  thread_local Scratch scratch;
  scratch.clear();
  const std::size_t size = change.page_size;
  const std::size_t cut = pages_ > change.pages_after ? pages_ - change.pages_after : 0;
  const std::size_t needed = (change.pages.size() + cut) * size;
  if (scratch.before.size() < needed) scratch.before.resize(needed);
  std::size_t used = 0;
  const auto before = [&](std::uint32_t page) -> std::span<const std::byte> {
    if (page > pages_) return {};
    if (const CommittedPage* entry = map_.find(page)) {
      if (const auto whole = entry->content.whole(); !whole.empty()) return whole;
    }
    const auto content = std::span(scratch.before).subspan(used, size);
    used += size;
    read_locked(page, content);
    return content;
  };
  for (ChangedPage& changed : change.pages) {
    const auto old = before(changed.page);
    changed.differs = old.empty() ? !all_zeros(changed.content)
                                  : std::memcmp(old.data(), changed.content.data(), size) != 0;
    if (!changed.differs) continue;
    scratch.changes.push_back(
        {changed.page, old, changed.content, needs_full_image(changed.page, epoch)});
  }
  for (std::uint32_t page = change.pages_after + 1; page <= pages_; ++page) {
    const auto old = before(page);
    if (!all_zeros(old)) scratch.changes.push_back({page, old, {}, false});
  }
  if (scratch.changes.empty() && change.pages_after == pages_ && change.flags == 0) return false;

  record.clear();
  log::Commit commit;
  commit.object = number_;
  commit.number = head_.commit_number + 1;
  commit.previous_lsn = head_.last_lsn;
  commit.previous = head_.location;
  commit.time_ms = prepared_time_ms_ = core_.now_ms();
  commit.page_size = change.page_size;
  commit.pages_before = pages_;
  commit.pages_after = change.pages_after;
  commit.flags = change.flags;
  commit.changes = scratch.changes;
  log::encode_record(commit, record);
  return true;
}

void DatabaseFile::admit() {
  if (!exempt_) core_.admit_commit();
  std::function<void()> hook;
  {
    const std::scoped_lock lock(mutex_);
    find_origin();
    hook = before_first_commit_;
  }
  if (hook) {
    hook();
    const std::scoped_lock lock(mutex_);
    before_first_commit_ = nullptr;
  }
}

void DatabaseFile::prepare(const Change& change, std::vector<std::byte>& record) {
  const std::scoped_lock lock(mutex_);
  find_origin();
  if (pages_ != 0 && change.page_size != page_size_) {
    throw Error(ErrorCode::kInvalid, "The page size of a database cannot change.");
  }
  record.clear();
  prepared_epoch_ = core_.log().epoch();
  encode(change, prepared_epoch_, record);
}

Lsn DatabaseFile::publish(std::span<Prepared> commits) {
  std::array<std::unique_lock<std::mutex>, kGroupMax> locks;
  std::array<Prepared*, kGroupMax> changing{};
  std::size_t count = 0;
  Lsn lsn = 0;
  for (std::size_t i = 0; i < commits.size(); ++i) {
    DatabaseFile& file = commits[i].file;
    locks[i] = std::unique_lock(file.mutex_);
    lsn = std::max(lsn, file.head_.last_lsn);
    if (commits[i].record.empty()) continue;
    file.list_locked();
    changing[count++] = &commits[i];
  }
  if (count == 0) return lsn;
  StoreCore& core = commits[0].file.core_;
  std::array<log::Appended, kGroupMax> appended;
  const std::uint64_t epoch =
      append(core.log(), std::span(changing).first(count), std::span(appended).first(count));
  for (std::size_t i = 0; i < count; ++i)
    changing[i]->file.advance(changing[i]->change, epoch, appended[i]);
  for (std::size_t i = commits.size(); i > 0; --i) locks[i - 1].unlock();
  core.after_commit();
  return appended[count - 1].lsn;
}

// Returns the epoch that the records belong to.
std::uint64_t DatabaseFile::append(log::Log& log, std::span<Prepared* const> commits,
                                   std::span<log::Appended> out) {
  std::uint64_t epoch = log.epoch();
  for (;;) {
    std::array<std::span<const std::byte>, kGroupMax> records;
    for (std::size_t i = 0; i < commits.size(); ++i) {
      auto& [file, change, record] = *commits[i];
      // prepare() may have encoded for an epoch that has ended: full images are due then.
      if (file.prepared_epoch_ != epoch) file.encode(change, epoch, record);
      file.prepared_epoch_ = epoch;
      records[i] = record;
    }
    if (log.append(std::span(records).first(commits.size()), epoch, out)) return epoch;
    epoch = log.epoch();
  }
}

void DatabaseFile::list_locked() {
  if (listed_) return;
  mark_listed(true);
  core_.list_dirty(shared_from_this());
}

void DatabaseFile::advance(const Change& change, std::uint64_t epoch,
                           const log::Appended& appended) {
  if (views_ != nullptr) set_aside(change);
  page_size_ = change.page_size;
  cut(change.pages_after);
  for (const ChangedPage& changed : change.pages) {
    if (changed.differs) store_page(changed, epoch, appended.lsn);
  }
  pages_ = change.pages_after;
  head_ = {head_.commit_number + 1, appended.lsn, appended.location, prepared_time_ms_};
}

void DatabaseFile::store_page(const ChangedPage& changed, std::uint64_t epoch, Lsn lsn) {
  CommittedPage& entry = map_.insert_or_find(changed.page);
  const std::int64_t old_bytes =
      entry.lsn == 0 ? 0 : static_cast<std::int64_t>(entry.content.size()) + kEntryBytes;
  entry.content.replace(changed.content);
  entry.epoch = epoch;
  entry.lsn = lsn;
  account(static_cast<std::int64_t>(entry.content.size()) + kEntryBytes - old_bytes);
}

void DatabaseFile::drop_page(std::uint32_t page) {
  const CommittedPage* entry = map_.find(page);
  if (entry == nullptr) return;
  account(-static_cast<std::int64_t>(entry->content.size()) - kEntryBytes);
  map_.erase(page);
}

void DatabaseFile::cut(std::uint32_t pages_after) {
  if (pages_after < pages_) {
    for (const std::uint32_t page : map_.pages_from(pages_after + 1)) drop_page(page);
  }
  valid_pages_ = std::min(valid_pages_, pages_after);
  smallest_since_capture_ = std::min(smallest_since_capture_, pages_after);
}

// ---- recovery

void DatabaseFile::replay(const log::RecordView& record) {
  const std::scoped_lock lock(mutex_);
  const auto corrupt = [&](const std::string& what) {
    throw Error(ErrorCode::kCorrupt, "The log holds a record that does not fit: commit " +
                                         std::to_string(record.number) + " of database " +
                                         std::to_string(number_) + " (LSN " +
                                         std::to_string(record.lsn) + "): " + what);
  };
  if (origin_ == Origin::kUnknown) {
    origin_ = Origin::kKnown;
    pages_ = record.pages_before;
    valid_pages_ = record.pages_before;
  } else if (record.number != head_.commit_number + 1) {
    corrupt("commit " + std::to_string(head_.commit_number + 1) + " was expected");
  } else if (record.pages_before != pages_) {
    corrupt("the database had " + std::to_string(pages_) + " pages");
  }
  page_size_ = record.page_size;
  std::vector<std::byte> content(page_size_);
  record.for_each_page([&](std::uint32_t page, bool has_full_image) {
    if (page > record.pages_after) return;
    const CommittedPage* entry = map_.find(page);
    if (entry == nullptr && page <= pages_ && !has_full_image) {
      // Only the file has the old content, and a checkpoint may have been writing it.
      corrupt("page " + std::to_string(page) + " has no full image");
    }
    if (entry != nullptr) {
      entry->content.unpack(content);
    } else {
      std::fill(content.begin(), content.end(), std::byte{0});
    }
    record.redo(page, content);
    store_page({page, content}, kRecoveringEpoch, record.lsn);
  });
  cut(record.pages_after);
  pages_ = record.pages_after;
  head_ = {record.number, record.lsn, record.location, record.time_ms};
}

void DatabaseFile::recovered(std::uint64_t epoch) {
  const std::scoped_lock lock(mutex_);
  for (const std::uint32_t page : map_.pages_from(0)) map_.find(page)->epoch = epoch;
}

// ---- checkpoint

void DatabaseFile::capture(CapturedPages& captured, std::size_t bytes_max) {
  const std::scoped_lock lock(mutex_);
  std::uint32_t from = 0;
  if (captured.pages.empty()) {
    mark_listed(false);
    smallest_since_capture_ = std::numeric_limits<std::uint32_t>::max();
    captured.page_size = page_size_;
    captured.valid_pages = valid_pages_;
  } else {
    from = captured.pages.back().page + 1;
  }
  captured.first = captured.pages.size();
  captured.content.clear();
  const auto pages = map_.pages_from(from);
  const std::size_t steps = std::max<std::size_t>(1, bytes_max / page_size_);
  const std::size_t count = std::min(pages.size(), steps);
  captured.content.resize(count * page_size_);
  for (std::size_t i = 0; i < count; ++i) {
    const CommittedPage& entry = *map_.find(pages[i]);
    entry.content.unpack(std::span(captured.content).subspan(i * page_size_, page_size_));
    captured.pages.push_back({pages[i], entry.lsn});
  }
  captured.complete = count == pages.size();
  captured.total_pages = pages_;
  captured.last_lsn = head_.last_lsn;
  captured.head = head_;
}

void DatabaseFile::drop_captured(const CapturedPages& captured, std::vector<PageChecksum> written) {
  const std::scoped_lock lock(mutex_);
  note_written(std::move(written));
  valid_pages_ = std::min(captured.total_pages, smallest_since_capture_);
  for (const CapturedPages::Page& page : captured.pages) {
    // Above a cut the file does not count, whatever was written there before or after it.
    if (page.page > valid_pages_) continue;
    const CommittedPage* entry = map_.find(page.page);
    if (entry != nullptr && entry->lsn == page.lsn) drop_page(page.page);
  }
  if (!map_.empty()) list_locked();
}

// ---- checksums

void DatabaseFile::note_written(std::vector<PageChecksum> written) {
  std::sort(written.begin(), written.end(), by_page);
  // There are some when a checkpoint has failed meanwhile: of two of one page the later one holds.
  const std::size_t count = written.size();
  for (const PageChecksum& old : written_) {
    if (!contains(std::span(written).first(count), old.page)) written.push_back(old);
  }
  std::sort(written.begin(), written.end(), by_page);
  written_ = std::move(written);
  if (has_checksums_) apply_written(written_);
}

void DatabaseFile::apply_written(std::span<const PageChecksum> written) {
  if (written.empty()) return;
  if (checksums_.size() < written.back().page) checksums_.resize(written.back().page);
  for (const auto& [page, checksum] : written) checksums_[page - 1] = checksum;
}

void DatabaseFile::forget_written() noexcept {
  const std::scoped_lock lock(mutex_);
  written_ = {};
}

bool DatabaseFile::has_checksums() const {
  const std::scoped_lock lock(mutex_);
  return has_checksums_;
}

void DatabaseFile::set_checksums(std::vector<std::uint32_t> checksums) {
  const std::scoped_lock lock(mutex_);
  checksums_ = std::move(checksums);
  has_checksums_ = true;
  apply_written(written_);
}

bool DatabaseFile::is_whole(std::uint32_t page, std::uint32_t checksum, std::span<std::byte> out) {
  try {
    read_file(page, out);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorrupt) throw;
    return false;  // the file ends before it
  }
  return page_checksum(number_, page, out) == checksum;
}

void DatabaseFile::check_file(std::uint32_t first, std::span<const std::uint32_t> checksums,
                              FileCheck& found) {
  const std::scoped_lock lock(mutex_);
  find_origin();
  std::vector<std::byte> content(page_size_);
  for (std::size_t i = 0; i < checksums.size(); ++i) {
    const std::uint32_t page = first + static_cast<std::uint32_t>(i);
    if (page > valid_pages_) break;
    if (contains(written_, page) || map_.find(page) != nullptr) continue;
    if (checksums[i] == 0) {
      ++found.unknown_count;
    } else if (!is_whole(page, checksums[i], content)) {
      ++found.damaged_count;
      if (found.damaged.size() < FileCheck::kDamagedMax) found.damaged.push_back(page);
    }
  }
  found.reached_end = std::uint64_t{first} + checksums.size() > valid_pages_;
}

}  // namespace perdure::store
