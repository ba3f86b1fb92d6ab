#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "base/stop.h"
#include "log/format.h"

namespace perdure::log {

// Reads one segment from front to back, in large pieces. Not thread-safe.
class SegmentReader {
 public:
  SegmentReader(const LogId& id, std::uint64_t number, const std::filesystem::path& path,
                std::shared_ptr<File> file);

  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::shared_ptr<File>& file() const noexcept { return file_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // Nothing when it is damaged. Throws Error(kVersion).
  std::optional<SegmentHeader> header();

  // The header of a frame that starts at `offset`, if one does; its body may still be damaged.
  std::optional<FrameHeader> frame_header(std::uint64_t offset);
  // The entries of that frame; nothing when they are not all there or do not match the checksum.
  // Valid until the next call.
  std::optional<std::span<const std::byte>> frame_body(std::uint64_t offset,
                                                       const FrameHeader& header);
  // Whether only zeros are where a frame header would be (or where there is no room for one).
  bool ends_at(std::uint64_t offset);
  // Calls `visit` for each frame header at or after `offset`, wherever one is. Throws Stopped.
  void scan(std::uint64_t offset,
            const std::function<void(std::uint64_t offset, const FrameHeader&)>& visit,
            const StopCheck& stopped = {});

 private:
  // The bytes from `offset` on: `count`, or fewer at the end of the file.
  std::span<const std::byte> bytes(std::uint64_t offset, std::uint64_t count);

  const LogId id_;
  const std::uint64_t number_;
  const std::string path_;
  const std::shared_ptr<File> file_;
  const std::uint64_t size_;
  Bytes window_;
  std::uint64_t window_offset_ = 0;
};

}  // namespace perdure::log
