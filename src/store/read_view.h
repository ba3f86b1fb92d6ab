#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/lsn.h"
#include "log/history.h"
#include "log/record.h"

namespace perdure::store {

class DatabaseFile;

// The committed state of one database at the moment when this was made. Commits go on meanwhile:
// before one replaces a page, the old content is set aside here. So whoever reads slowly holds
// nobody up, and never sees a transaction that is open.
//
// Made and destroyed on any thread, before the store is closed. One thread at a time calls read().
class ReadView {
 public:
  // Pages set aside for one view, in bytes. Past it the view is lost: read() throws.
  static constexpr std::size_t kSetAsideBytesMax = std::size_t{64} << 20;

  explicit ReadView(std::shared_ptr<DatabaseFile> file,
                    std::size_t set_aside_bytes_max = kSetAsideBytesMax);
  ~ReadView();
  ReadView(const ReadView&) = delete;
  ReadView& operator=(const ReadView&) = delete;

  [[nodiscard]] std::uint32_t page_size() const noexcept { return page_size_; }
  // 0: nothing has ever been committed.
  [[nodiscard]] std::uint32_t page_count() const noexcept {
    return undo_ ? undo_->pages_then : pages_;
  }
  [[nodiscard]] const std::shared_ptr<DatabaseFile>& file() const noexcept { return file_; }
  // The last commit that it shows; 0 when that is in no log any more. What it shows may leave the
  // process when the log is durable up to there.
  [[nodiscard]] Lsn lsn() const noexcept { return lsn_; }
  // Where the record of that commit is.
  [[nodiscard]] log::RecordLocation location() const noexcept { return location_; }

  // Shows an older state from now on: `undo` takes back commits up to lsn(). Throws Error(kInvalid)
  // when it is of another state.
  void take_back(log::Undo undo);

  // Fills `out`, page_size() bytes, with the page as it was. Throws Error: kFull when too much has
  // changed since, kCorrupt, kIo.
  void read(std::uint32_t page, std::span<std::byte> out);

 private:
  friend class DatabaseFile;
  using Pages = boost::unordered_flat_map<std::uint32_t, std::vector<std::byte>>;

  void set_aside(std::uint32_t page) noexcept;
  void lose(const std::string& why) noexcept;

  const std::shared_ptr<DatabaseFile> file_;
  const std::size_t set_aside_bytes_max_;
  // Everything below: under the file's mutex.
  ReadView* next_ = nullptr;  // of the same file
  std::uint32_t page_size_ = 0;
  std::uint32_t pages_ = 0;
  Lsn lsn_ = 0;
  log::RecordLocation location_;
  std::optional<log::Undo> undo_;
  Pages set_aside_;
  std::string lost_;  // why; empty: it is not
};

}  // namespace perdure::store
