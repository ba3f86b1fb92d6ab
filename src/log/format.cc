#include "log/format.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <random>

#include "base/checksum.h"
#include "base/error.h"

namespace perdure::log {
namespace {

constexpr std::uint64_t kSegmentMagic = 0x0a676f6c64726570;     // "perdlog\n"
constexpr std::uint64_t kCheckpointMagic = 0x0a706b6364726570;  // "perdckp\n"
constexpr std::uint32_t kFrameMagic = 0x46445250;               // "PRDF"

constexpr std::size_t kSegmentChecksumAt = 56;
constexpr std::size_t kFrameChecksumAt = 56;
constexpr std::size_t kCheckpointChecksumAt = 72;
constexpr std::size_t kSegmentNameDigits = 16;
constexpr const char* kSegmentSuffix = ".log";

[[noreturn]] void newer_version(const std::string& what, std::uint32_t version) {
  throw Error(ErrorCode::kVersion,
              what + " has format version " + std::to_string(version) +
                  ", and this build of Perdure reads up to version " +
                  std::to_string(kFormatVersion) +
                  ". Nothing was changed. Start it with the version of Perdure that wrote it.");
}

}  // namespace

std::uint64_t random_number() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

LogId new_log_id() { return {random_number(), random_number()}; }

std::uint64_t place_seed(const LogId& id, std::uint64_t segment, std::uint64_t offset) noexcept {
  // Odd constants spread small numbers over all the bits.
  return (id.high ^ segment * 0x9e3779b97f4a7c15) + (id.low ^ offset * 0xd1b54a32d192ed03);
}

void encode_segment_header(const SegmentHeader& header, std::span<std::byte> out) {
  std::fill(out.begin(), out.end(), std::byte{0});
  store(out.data(), kSegmentMagic);
  store(out.data() + 8, kFormatVersion);
  store(out.data() + 16, header.id.high);
  store(out.data() + 24, header.id.low);
  store(out.data() + 32, header.number);
  store(out.data() + 40, header.first_lsn);
  store(out.data() + 48, header.chain);
  store(out.data() + kSegmentChecksumAt, checksum(out.first(kSegmentChecksumAt)));
}

std::optional<SegmentHeader> decode_segment_header(std::span<const std::byte> bytes,
                                                   const std::string& path) {
  if (bytes.size() < kSegmentChecksumAt + 8) return std::nullopt;
  if (load<std::uint64_t>(bytes.data()) != kSegmentMagic) return std::nullopt;
  const auto version = load<std::uint32_t>(bytes.data() + 8);
  if (version > kFormatVersion) newer_version("The log segment " + path, version);
  if (load<std::uint64_t>(bytes.data() + kSegmentChecksumAt) !=
      checksum(bytes.first(kSegmentChecksumAt))) {
    return std::nullopt;
  }
  return SegmentHeader{
      .id = {load<std::uint64_t>(bytes.data() + 16), load<std::uint64_t>(bytes.data() + 24)},
      .number = load<std::uint64_t>(bytes.data() + 32),
      .first_lsn = load<std::uint64_t>(bytes.data() + 40),
      .chain = load<std::uint64_t>(bytes.data() + 48)};
}

void encode_frame_header(FrameHeader& header, std::uint64_t seed, std::span<std::byte> out) {
  store(out.data(), kFrameMagic);
  store(out.data() + 4, kFormatVersion);
  store(out.data() + 8, header.length);
  store(out.data() + 12, header.records);
  store(out.data() + 16, header.first_lsn);
  store(out.data() + 24, header.durable_lsn);
  store(out.data() + 32, header.previous);
  store(out.data() + 40, header.run);
  store(out.data() + 48, header.body_checksum);
  header.checksum = checksum(out.first(kFrameChecksumAt), seed);
  store(out.data() + kFrameChecksumAt, header.checksum);
}

bool looks_like_frame(const std::byte* bytes) noexcept {
  return load<std::uint32_t>(bytes) == kFrameMagic;
}

std::optional<FrameHeader> decode_frame_header(std::span<const std::byte> bytes, std::uint64_t seed,
                                               const std::string& path) {
  if (bytes.size() < kFrameHeaderBytes || !looks_like_frame(bytes.data())) return std::nullopt;
  const auto sum = load<std::uint64_t>(bytes.data() + kFrameChecksumAt);
  if (sum != checksum(bytes.first(kFrameChecksumAt), seed)) return std::nullopt;
  const auto version = load<std::uint32_t>(bytes.data() + 4);
  if (version > kFormatVersion) newer_version("A frame of the log segment " + path, version);
  FrameHeader header{.length = load<std::uint32_t>(bytes.data() + 8),
                     .records = load<std::uint32_t>(bytes.data() + 12),
                     .first_lsn = load<std::uint64_t>(bytes.data() + 16),
                     .durable_lsn = load<std::uint64_t>(bytes.data() + 24),
                     .previous = load<std::uint64_t>(bytes.data() + 32),
                     .run = load<std::uint64_t>(bytes.data() + 40),
                     .body_checksum = load<std::uint64_t>(bytes.data() + 48),
                     .checksum = sum};
  if (header.length < kFrameHeaderBytes) return std::nullopt;
  return header;
}

Bytes encode_checkpoint(const Checkpoint& checkpoint) {
  Bytes out(kCheckpointBytes);
  store(out.data(), kCheckpointMagic);
  store(out.data() + 8, kFormatVersion);
  store(out.data() + 12, checkpoint.next.offset);
  store(out.data() + 16, checkpoint.id.high);
  store(out.data() + 24, checkpoint.id.low);
  store(out.data() + 32, checkpoint.epoch);
  store(out.data() + 40, checkpoint.lsn);
  store(out.data() + 48, checkpoint.next.segment);
  store(out.data() + 56, checkpoint.chain);
  store(out.data() + kCheckpointChecksumAt, checksum(std::span(out).first(kCheckpointChecksumAt)));
  return out;
}

Checkpoint decode_checkpoint(std::span<const std::byte> bytes, const std::string& path) {
  const bool is_ours = bytes.size() >= 12 && load<std::uint64_t>(bytes.data()) == kCheckpointMagic;
  if (is_ours) {
    const auto version = load<std::uint32_t>(bytes.data() + 8);
    if (version > kFormatVersion) newer_version("The checkpoint " + path, version);
  }
  if (!is_ours || bytes.size() != kCheckpointBytes ||
      load<std::uint64_t>(bytes.data() + kCheckpointChecksumAt) !=
          checksum(bytes.first(kCheckpointChecksumAt))) {
    throw Error(ErrorCode::kCorrupt, "The log is damaged: " + path +
                                         " does not match its checksum. Nothing was changed. "
                                         "Restore the file from a backup, or move the "
                                         "data directory away to start empty.");
  }
  return Checkpoint{
      .id = {load<std::uint64_t>(bytes.data() + 16), load<std::uint64_t>(bytes.data() + 24)},
      .epoch = load<std::uint64_t>(bytes.data() + 32),
      .lsn = load<std::uint64_t>(bytes.data() + 40),
      .next = {load<std::uint64_t>(bytes.data() + 48), load<std::uint32_t>(bytes.data() + 12)},
      .chain = load<std::uint64_t>(bytes.data() + 56)};
}

std::string segment_name(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  const std::size_t zeros =
      digits.size() < kSegmentNameDigits ? kSegmentNameDigits - digits.size() : 0;
  return std::string(zeros, '0') + digits + kSegmentSuffix;
}

std::filesystem::path segment_path(const std::filesystem::path& directory, std::uint64_t number) {
  return directory / segment_name(number);
}

std::optional<std::uint64_t> parse_segment_name(const std::string& name) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  // Only the one name that we give counts: "7.log" is somebody else's.
  if (error != std::errc{} || number == 0 || name != segment_name(number)) return std::nullopt;
  return number;
}

}  // namespace perdure::log
