#include "store/checkpoint.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/error.h"
#include "log/log.h"
#include "store/store_core.h"

namespace perdure::store {
namespace {

constexpr std::size_t kStepBytesMax = std::size_t{8} << 20;  // captured pages in memory
constexpr std::size_t kOpenFilesMax = 256;                   // written and not yet synced
constexpr std::size_t kHeadsPerCommit = 1000;  // so that commits of others get between

}  // namespace

bool Checkpoint::run() {
  // Moving the log's start over nothing but the catalog's last commit would lose the end of the
  // catalog's chain.
  if (!core_.has_dirty()) return false;
  const log::CheckpointStart start = core_.log().begin_checkpoint();
  const auto files = core_.take_dirty();
  try {
    write_files(files);
    for (const auto& directory : new_entries_) core_.file_system().sync_directory(directory);
    new_entries_.clear();
    save_heads();
    write_catalog();
    save_heads();
    // Otherwise a crash might keep the new start, but not what was saved after the catalog's file.
    core_.log().wait_durable(core_.log().appended_lsn());
    core_.log().complete_checkpoint(start);
  } catch (...) {
    put_back(files);
    throw;
  }
  return true;
}

// What is clean by now stays listed as well: its head may not be saved.
void Checkpoint::put_back(const std::vector<std::shared_ptr<DatabaseFile>>& files) {
  batch_.clear();
  for (const auto& file : files) {
    file->set_listed(true);
    core_.list_dirty(file);
  }
}

void Checkpoint::write_files(const std::vector<std::shared_ptr<DatabaseFile>>& files) {
  for (const auto& file : files) {
    if (file->number() == kCatalogNumber) {
      core_.list_dirty(file);  // write_catalog() takes it from there
    } else {
      add(file);
    }
  }
  flush();
}

void Checkpoint::add(const std::shared_ptr<DatabaseFile>& file) {
  batch_.push_back({file, nullptr, {}, {}});
  for (;;) {
    Item& item = batch_.back();
    file->capture(item.captured, kStepBytesMax);
    batch_bytes_ += item.captured.content.size();
    if (item.captured.complete) break;
    core_.log().wait_durable(item.captured.last_lsn);
    write_step(item);
  }
  if (batch_.size() >= kOpenFilesMax || batch_bytes_ >= kStepBytesMax) flush();
}

void Checkpoint::flush() {
  Lsn newest = 0;
  for (const Item& item : batch_) newest = std::max(newest, item.captured.last_lsn);
  core_.log().wait_durable(newest);
  for (Item& item : batch_) {
    // Only its head is to be saved. (An empty database is one that was taken back to its
    // beginning.)
    if (item.captured.pages.empty() && item.captured.total_pages > 0) continue;
    write_step(item);
    const std::uint64_t size = std::uint64_t{item.captured.total_pages} * item.captured.page_size;
    if (item.out->size() != size) item.out->truncate(size);
    note_zeros(item);
  }
  std::vector<File*> written;
  for (const Item& item : batch_) {
    if (item.out != nullptr) written.push_back(item.out.get());
  }
  core_.file_system().sync_files(written);
  for (Item& item : batch_) {
    item.out.reset();
    core_.open_files().close(item.file->number());
    item.file->drop_captured(item.captured, std::move(item.written));
    const std::uint32_t pages = item.captured.total_pages;
    heads_.push_back({item.file->number(), item.captured.head,
                      std::uint64_t{pages} * item.captured.page_size, pages, item.file->written()});
    files_of_heads_.push_back(item.file);
  }
  batch_.clear();
  batch_bytes_ = 0;
}

std::filesystem::path Checkpoint::resolve(DatabaseFile& file) {
  std::string path = file.path();
  if (path.empty()) {
    const auto hooks = core_.hooks();
    if (hooks == nullptr) {
      throw Error(ErrorCode::kNotFound, "Database " + std::to_string(file.number()) +
                                            " is in the log, but nobody knows its file.");
    }
    path = hooks->path(file.number());
    file.set_path(path);
  }
  return core_.full_path(path);
}

// Opens the file for writing, creating it and its directories, and cuts off what does not count:
// the database may have grown again over it with pages of zeros, which are not written.
void Checkpoint::open(Item& item) {
  const auto path = resolve(*item.file);
  FileSystem& file_system = core_.file_system();
  // What is written is only what has changed since the file was there.
  item.file->require_file();
  if (!file_system.exists(path)) {
    for (auto directory = path.parent_path();; directory = directory.parent_path()) {
      new_entries_.insert(directory);
      if (directory == core_.options().directory || !directory.has_relative_path()) break;
    }
    file_system.create_directories(path.parent_path());
  }
  item.out = file_system.open(path, FileSystem::Mode::kCreate);
  const std::uint64_t valid = std::uint64_t{item.captured.valid_pages} * item.captured.page_size;
  if (item.out->size() > valid) item.out->truncate(valid);
}

// Writes the pages of the last capture step, neighbours with one call.
void Checkpoint::write_step(Item& item) {
  const CapturedPages& captured = item.captured;
  if (captured.last_lsn > core_.log().durable_lsn()) {
    throw Error(ErrorCode::kInvalid, "rule 4: a page is written before its record is durable");
  }
  if (item.out == nullptr) open(item);
  const std::size_t page_size = captured.page_size;
  const auto pages = std::span(captured.pages).subspan(captured.first);
  for (std::size_t from = 0; from < pages.size();) {
    std::size_t to = from + 1;
    while (to < pages.size() && pages[to].page == pages[to - 1].page + 1) ++to;
    item.out->write(std::uint64_t{pages[from].page - 1} * page_size,
                    std::span(captured.content).subspan(from * page_size, (to - from) * page_size));
    from = to;
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const auto content = std::span(captured.content).subspan(i * page_size, page_size);
    item.written.push_back(
        {pages[i].page, page_checksum(item.file->number(), pages[i].page, content)});
  }
}

// The file has grown over pages of zeros as well, without a write.
void Checkpoint::note_zeros(Item& item) {
  const CapturedPages& captured = item.captured;
  const std::vector<std::byte> zeros(captured.page_size);
  std::size_t next = 0;
  const std::size_t count = item.written.size();
  for (std::uint32_t page = captured.valid_pages + 1; page <= captured.total_pages; ++page) {
    while (next < count && item.written[next].page < page) ++next;
    if (next < count && item.written[next].page == page) continue;
    item.written.push_back({page, page_checksum(item.file->number(), page, zeros)});
  }
}

void Checkpoint::save_heads() {
  if (const auto hooks = core_.hooks()) {
    const std::span<const HeadUpdate> all = heads_;
    std::size_t done = 0;
    do {
      const std::size_t count = std::min(kHeadsPerCommit, all.size() - done);
      hooks->save_heads(all.subspan(done, count));
      done += count;
    } while (done < all.size());
  }
  for (const auto& file : files_of_heads_) file->forget_written();
  heads_.clear();
  files_of_heads_.clear();
}

void Checkpoint::write_catalog() {
  const auto file = core_.take_dirty(kCatalogNumber);
  if (file == nullptr) return;
  try {
    add(file);
    flush();
    for (const auto& directory : new_entries_) core_.file_system().sync_directory(directory);
  } catch (...) {
    put_back({file});
    throw;
  }
}

}  // namespace perdure::store
