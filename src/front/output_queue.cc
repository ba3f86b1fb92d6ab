#include "front/output_queue.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace perdure::front {

namespace {

constexpr std::size_t kSegmentsPerWriteMax = 16;

}  // namespace

void OutputQueue::append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (!last_is_open_ || segments_.back().size() + bytes.size() > kSegmentBytes) {
    // The one buffer that stays is reused when it is empty.
    if (size_ != 0 || segments_.empty()) segments_.emplace_back();
    last_is_open_ = true;
  }
  segments_.back().append(bytes);
  size_ += bytes.size();
}

void OutputQueue::append(std::string&& bytes) {
  if (bytes.size() < kLargeBytes) return append(std::string_view(bytes));
  size_ += bytes.size();
  segments_.push_back(std::move(bytes));
  last_is_open_ = false;
}

OutputQueue::Result OutputQueue::send_to(int socket) {
  while (size_ > 0) {
    const long count = write_some(socket);
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK ? Result::kBlocked : Result::kFailed;
    }
    drop_sent(static_cast<std::size_t>(count));
  }
  return Result::kDone;
}

long OutputQueue::write_some(int socket) const {
  if (first_ + 1 == segments_.size()) {
    const std::string& only = segments_[first_];
    return ::send(socket, only.data() + sent_, only.size() - sent_, MSG_NOSIGNAL);
  }
  std::array<iovec, kSegmentsPerWriteMax> parts;
  std::size_t count = 0;
  std::size_t skip = sent_;
  for (std::size_t i = first_; i < segments_.size() && count < parts.size(); ++i) {
    // iovec is not const-correct; sendmsg does not write to it.
    parts[count++] = {const_cast<char*>(segments_[i].data()) + skip, segments_[i].size() - skip};
    skip = 0;
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = count;
  return ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

void OutputQueue::drop_sent(std::size_t count) {
  size_ -= count;
  if (size_ == 0) {
    // One small buffer stays for the next response.
    if (segments_.size() > 1) segments_.resize(1);
    if (segments_[0].capacity() > kRetainedBytes) segments_[0] = std::string();
    segments_[0].clear();
    first_ = 0;
    sent_ = 0;
    last_is_open_ = true;
    return;
  }
  sent_ += count;
  while (sent_ >= segments_[first_].size()) {
    sent_ -= segments_[first_].size();
    segments_[first_] = std::string();
    ++first_;
  }
  if (first_ >= kSegmentsPerWriteMax) {
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

}  // namespace perdure::front
