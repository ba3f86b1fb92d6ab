#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace perdure::front {

// The bytes that wait to be written to one socket. Small pieces are gathered into one buffer that
// is kept for the next response; large ones are taken as they are and written with a gathering
// call.
class OutputQueue {
 public:
  static constexpr std::size_t kLargeBytes = 16 << 10;     // from here on moved, not copied
  static constexpr std::size_t kSegmentBytes = 64 << 10;   // a buffer of small pieces is full
  static constexpr std::size_t kRetainedBytes = 16 << 10;  // capacity kept while there is nothing

  enum class Result { kDone, kBlocked, kFailed };

  void append(std::string_view bytes);
  void append(std::string&& bytes);

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // Writes as much as the socket takes. kFailed: errno says why.
  Result send_to(int socket);

 private:
  [[nodiscard]] long write_some(int socket) const;
  void drop_sent(std::size_t count);

  std::vector<std::string> segments_;
  std::size_t first_ = 0;  // the segment that is being sent
  std::size_t sent_ = 0;   // how much of it
  std::size_t size_ = 0;
  bool last_is_open_ = false;  // small pieces may be appended to the last segment
};

}  // namespace perdure::front
