#include "store/read_view.h"

#include <cstring>
#include <exception>
#include <utility>

#include "base/error.h"
#include "store/database_file.h"

namespace perdure::store {

ReadView::ReadView(std::shared_ptr<DatabaseFile> file, std::size_t set_aside_bytes_max)
    : file_(std::move(file)), set_aside_bytes_max_(set_aside_bytes_max) {
  file_->attach(*this);
}

ReadView::~ReadView() { file_->detach(*this); }

void ReadView::read(std::uint32_t page, std::span<std::byte> out) {
  file_->read(*this, page, out);
  if (!undo_) return;
  const auto it = undo_->pages.find(page);
  if (it == undo_->pages.end()) return;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] ^= it->second[i];
}

void ReadView::take_back(log::Undo undo) {
  if (undo.page_size != page_size_ || undo.pages_now != pages_)
    throw Error(ErrorCode::kInvalid, "An undo does not fit the state that it is to be taken from.");
  undo_ = std::move(undo);
}

// With the file's mutex held, by a commit that is in the log already: nothing may fail it here.
void ReadView::set_aside(std::uint32_t page) noexcept {
  if (!lost_.empty() || page > pages_ || set_aside_.contains(page)) return;
  if ((set_aside_.size() + 1) * page_size_ > set_aside_bytes_max_) {
    return lose("more than " + std::to_string(set_aside_bytes_max_ >> 20) +
                " MiB of it have changed");
  }
  try {
    std::vector<std::byte> content(page_size_);
    file_->read_locked(page, content);
    set_aside_.emplace(page, std::move(content));
  } catch (const std::exception& error) {
    lose(error.what());
  }
}

void ReadView::lose(const std::string& why) noexcept {
  lost_ = why;
  set_aside_ = {};
}

}  // namespace perdure::store
