#include "store/key_value_buffer.h"

#include <cassert>
#include <utility>

#include "base/error.h"

namespace perdure::store {
namespace {

// Of a key and what is written under it, in bytes.
template <typename Write>
std::size_t size_of(const Write& write) {
  return write.first.size() + (write.second ? write.second->bytes.size() : 0);
}

KeyValue::Value view(const StoredValue& value) {
  return {std::as_bytes(std::span(value.bytes)), value.is_text};
}

}  // namespace

KeyValueBuffer::KeyValueBuffer(std::shared_ptr<SharedKeyValue> shared, KeyOwner owner)
    : shared_(std::move(shared)), owner_(std::move(owner)) {}

std::optional<KeyValueBuffer::Value> KeyValueBuffer::get(std::string_view key) {
  if (const auto it = writes_.find(key); it != writes_.end()) {
    if (!it->second) return std::nullopt;
    return view(*it->second);
  }
  if (cleared_) return std::nullopt;
  read_ = shared_->get(owner_, key);
  if (!read_) return std::nullopt;
  return view(*read_);
}

void KeyValueBuffer::put(std::string_view key, std::span<const std::byte> value, bool is_text) {
  std::size_t bytes = uncommitted_bytes_ + key.size() + value.size();
  const auto it = writes_.find(key);
  if (it != writes_.end() && !keeps_replaced(key)) bytes -= size_of(*it);
  if (bytes > kUncommittedBytesMax) {
    rollback();
    lost_ = true;
    throw Error(ErrorCode::kFull, "A transaction of this Durable Object is larger than " +
                                      std::to_string(kUncommittedBytesMax >> 20) +
                                      " MiB. Commit what it writes in smaller parts.");
  }
  write(key, StoredValue{std::string(reinterpret_cast<const char*>(value.data()), value.size()),
                         is_text});
}

bool KeyValueBuffer::remove(std::string_view key) {
  if (!get(key)) return false;
  write(key, std::nullopt);
  return true;
}

void KeyValueBuffer::remove_all() {
  if (!savepoints_.empty()) {
    throw Error(ErrorCode::kInvalid, "Not everything can be deleted inside a transaction.");
  }
  rollback();
  cleared_ = true;
}

// Whether a savepoint will want back what is written under the key now.
bool KeyValueBuffer::keeps_replaced(std::string_view key) const {
  return !savepoints_.empty() && !savepoints_.back().contains(key);
}

void KeyValueBuffer::write(std::string_view key, std::optional<StoredValue> value) {
  const bool keeps = keeps_replaced(key);
  const auto [it, is_new] = writes_.try_emplace(std::string(key));
  if (keeps) {
    Before& before = savepoints_.back()[it->first];
    if (!is_new) before = std::move(it->second);
  } else if (!is_new) {
    uncommitted_bytes_ -= size_of(*it);
  }
  it->second = std::move(value);
  uncommitted_bytes_ += size_of(*it);
}

// ---- transactions

void KeyValueBuffer::open_savepoint(std::uint32_t depth) {
  assert(savepoints_.size() == depth);
  static_cast<void>(depth);
  savepoints_.emplace_back();
}

void KeyValueBuffer::release_savepoint(std::uint32_t depth) {
  while (savepoints_.size() > depth) release_innermost();
}

void KeyValueBuffer::rollback_savepoint(std::uint32_t depth) {
  while (savepoints_.size() > depth) rollback_innermost();
}

// What it could bring back is for the one around it to bring back, unless that one has something
// older.
void KeyValueBuffer::release_innermost() {
  Savepoint released = std::move(savepoints_.back());
  savepoints_.pop_back();
  if (!savepoints_.empty()) savepoints_.back().merge(released);
  for (const auto& [key, before] : released) {
    if (before) uncommitted_bytes_ -= key.size() + (*before ? (*before)->bytes.size() : 0);
  }
}

void KeyValueBuffer::rollback_innermost() {
  for (auto& [key, before] : savepoints_.back()) {
    const auto it = writes_.find(key);
    uncommitted_bytes_ -= size_of(*it);
    if (before) {
      it->second = std::move(*before);
    } else {
      writes_.erase(it);
    }
  }
  savepoints_.pop_back();
}

Lsn KeyValueBuffer::commit(Companion* companion) {
  try {
    const Lsn lsn = shared_->commit(owner_, cleared_, writes_, companion);
    rollback();  // it is in the shared file now
    return lsn;
  } catch (...) {
    rollback();
    throw;
  }
}

void KeyValueBuffer::rollback() noexcept {
  writes_.clear();
  lost_ = false;
  cleared_ = false;
  uncommitted_bytes_ = 0;
  savepoints_.clear();
}

// ---- Cursor

KeyValueBuffer::Cursor::Cursor(const KeyValueBuffer& buffer, const ListOptions& options)
    : range_(key_range(options)), reverse_(options.reverse), left_(options.limit) {
  const KeyWrites& writes = buffer.writes_;
  from_ = writes.lower_bound(range_.start);
  to_ = !range_.end                   ? writes.end()
        : *range_.end <= range_.start ? from_
                                      : writes.lower_bound(*range_.end);
  if (buffer.cleared_) return;
  shared_.emplace(buffer.shared_->list(buffer.owner_, range_, reverse_));
  advance(From::kShared);
}

// Goes on to the next one of that side.
void KeyValueBuffer::Cursor::advance(From from) {
  if (from == From::kShared) {
    if (!shared_->next()) shared_.reset();
  } else {
    at_ = reverse_ ? --to_ : from_++;
  }
}

// The side whose next key comes first; the written one when both have the same.
KeyValueBuffer::Cursor::From KeyValueBuffer::Cursor::first() const {
  const bool has_written = from_ != to_;
  if (!has_written || !shared_) {
    return has_written ? From::kWrites : shared_ ? From::kShared : From::kNone;
  }
  const std::string_view written = reverse_ ? std::prev(to_)->first : from_->first;
  const int order = written.compare(shared_->key());
  return order == 0 || (order < 0) != reverse_ ? From::kWrites : From::kShared;
}

bool KeyValueBuffer::Cursor::next() {
  if (left_ == 0) return false;
  if (current_ == From::kShared) advance(From::kShared);
  for (;;) {
    current_ = first();
    if (current_ != From::kWrites) break;
    advance(From::kWrites);
    if (shared_ && shared_->key() == at_->first) advance(From::kShared);
    if (at_->second) break;  // not a deleted one
  }
  if (current_ == From::kNone) {
    left_ = 0;
    return false;
  }
  --left_;
  return true;
}

std::string_view KeyValueBuffer::Cursor::key() const {
  return current_ == From::kWrites ? std::string_view(at_->first) : shared_->key();
}

KeyValueBuffer::Value KeyValueBuffer::Cursor::value() const {
  return current_ == From::kWrites ? view(*at_->second) : shared_->value();
}

}  // namespace perdure::store
