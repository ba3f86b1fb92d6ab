// The checksums of the pages of all databases, in the catalog: of each database chunks of
// kPagesPerChunk pages, the first page being 1, with four bytes for each, little-endian; 0: none.
#include "runtime/catalog_impl.h"
#include "store/database_file.h"

namespace perdure::runtime {
namespace {

// A chunk is half a kilobyte: a checkpoint that writes one page of a large database changes no
// more.
constexpr std::uint32_t kPagesPerChunk = 128;

constexpr char kFindChecksums[] =
    "SELECT checksums FROM page_checksums WHERE database = ? AND chunk = ?";
constexpr char kListChecksums[] =
    "SELECT chunk, checksums FROM page_checksums WHERE database = ? ORDER BY chunk";
constexpr char kPutChecksums[] = "INSERT OR REPLACE INTO page_checksums VALUES (?, ?, ?)";
constexpr char kDropChecksums[] = "DELETE FROM page_checksums WHERE database = ? AND chunk >= ?";

// A Perdure that kept no checksums has counted its checkpoints as well.
constexpr char kDateChecksums[] =
    "INSERT OR REPLACE INTO checksums_as_of SELECT 0, count FROM checkpoints";
constexpr char kAreOutdated[] =
    "SELECT count IS NOT (SELECT checkpoint FROM checksums_as_of) FROM checkpoints";
constexpr char kDropAll[] = "DELETE FROM page_checksums";

constexpr std::uint32_t chunk_of(std::uint32_t page) { return (page - 1) / kPagesPerChunk; }
constexpr std::uint32_t first_page(std::uint32_t chunk) { return chunk * kPagesPerChunk + 1; }

}  // namespace

// Of all databases: they are those of what the last checkpoint has left.
void Catalog::Impl::checksums_are_up_to_date() {
  run(*database, prepared(statements.date_checksums, kDateChecksums));
}

void Catalog::Impl::drop_outdated_checksums() {
  store::Statement find = database->prepare(kAreOutdated, store::Access::kEngine);
  if (const Row row(*database, find); row && row.integer(0) == 0) return;
  database->execute(kDropAll);
  checksums_are_up_to_date();
}

std::vector<std::uint32_t> Catalog::Impl::checksums(ObjectNumber number, std::uint32_t chunk) {
  auto& statement = prepared(statements.find_checksums, kFindChecksums);
  bind_integer(statement, 1, number);
  bind_integer(statement, 2, chunk);
  std::vector<std::uint32_t> found(kPagesPerChunk);
  if (const Row row(*database, statement); row) {
    const std::string_view bytes = row.bytes(0);
    std::memcpy(found.data(), bytes.data(), std::min(bytes.size(), found.size() * sizeof found[0]));
  }
  return found;
}

// Those that are kept are not changed meanwhile: the mutex is held.
void Catalog::Impl::give_checksums(store::DatabaseFile& file) {
  auto& statement = prepared(statements.list_checksums, kListChecksums);
  bind_integer(statement, 1, file.number());
  std::vector<std::uint32_t> found;
  int code = SQLITE_OK;
  while ((code = database->step(statement)) == SQLITE_ROW) {
    const auto chunk = static_cast<std::uint32_t>(sqlite3_column_int64(statement.handle(), 0));
    const std::string_view bytes = column_bytes(statement, 1);
    const std::size_t from = std::size_t{chunk} * kPagesPerChunk;
    found.resize(from + bytes.size() / sizeof found[0]);
    std::memcpy(found.data() + from, bytes.data(), (found.size() - from) * sizeof found[0]);
  }
  sqlite3_reset(statement.handle());
  if (code != SQLITE_DONE) throw database->error(code);
  file.set_checksums(std::move(found));
}

void Catalog::Impl::forget_checksums(store::DatabaseFile& file,
                                     std::span<const std::uint32_t> pages) {
  std::vector<store::PageChecksum> none;
  for (const std::uint32_t page : pages) none.push_back({page, 0});
  transaction([&] { put_checksums(file.number(), file.page_count(), none); });
  if (file.has_checksums()) give_checksums(file);  // the catalog's own file has none along
}

// In the transaction that is open. `pages`: of the database; of those behind them nothing is kept.
void Catalog::Impl::save_checksums(ObjectNumber number, std::uint32_t pages,
                                   std::span<const store::PageChecksum> written) {
  put_checksums(number, pages, written);
  auto& drop = prepared(statements.drop_checksums, kDropChecksums);
  bind_integer(drop, 1, number);
  bind_integer(drop, 2, pages == 0 ? 0 : chunk_of(pages) + 1);
  run(*database, drop);
}

void Catalog::Impl::put_checksums(ObjectNumber number, std::uint32_t pages,
                                  std::span<const store::PageChecksum> written) {
  while (!written.empty() && written.front().page <= pages) {
    const std::uint32_t chunk = chunk_of(written.front().page);
    std::vector<std::uint32_t> kept = checksums(number, chunk);
    for (; !written.empty() && chunk_of(written.front().page) == chunk;
         written = written.subspan(1)) {
      kept[written.front().page - first_page(chunk)] = written.front().checksum;
    }
    kept.resize(std::min(kPagesPerChunk, pages - first_page(chunk) + 1));
    auto& put = prepared(statements.put_checksums, kPutChecksums);
    bind_integer(put, 1, number);
    bind_integer(put, 2, chunk);
    sqlite3_bind_blob(put.handle(), 3, kept.data(), static_cast<int>(kept.size() * sizeof kept[0]),
                      SQLITE_STATIC);
    run(*database, put);
  }
}

void Catalog::check_pages(store::DatabaseFile& file, std::uint32_t first, std::uint32_t count,
                          store::FileCheck& found) {
  for (std::uint32_t chunk = chunk_of(first);
       !found.reached_end && first_page(chunk) < first + count; ++chunk) {
    impl_->store.between_checkpoints([&] {
      const auto kept = [&] {
        const std::scoped_lock lock(impl_->mutex);
        impl_->require_open();
        return impl_->checksums(file.number(), chunk);
      }();
      file.check_file(first_page(chunk), kept, found);
    });
  }
}

std::uint64_t Catalog::accept_pages(store::DatabaseFile& file) {
  std::uint64_t accepted = 0;
  bool reached_end = false;
  for (std::uint32_t chunk = 0; !reached_end; ++chunk) {
    impl_->store.between_checkpoints([&] {
      const std::scoped_lock lock(impl_->mutex);
      impl_->require_open();
      store::FileCheck found;
      file.check_file(first_page(chunk), impl_->checksums(file.number(), chunk), found);
      reached_end = found.reached_end;
      if (found.damaged.empty()) return;
      accepted += found.damaged.size();
      impl_->forget_checksums(file, found.damaged);
    });
  }
  return accepted;
}

}  // namespace perdure::runtime
