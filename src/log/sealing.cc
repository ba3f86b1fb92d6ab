#include "log/sealing.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "log/frame.h"
#include "log/segment_scan.h"

namespace perdure::log {
namespace {

// What is read at once where records of one object follow each other, in bytes.
constexpr std::uint64_t kWindowBytes = 256 << 10;
// A gap to the next record up to which it is read along.
constexpr std::uint64_t kGapBytesMax = 16 << 10;

// A record of the segment.
struct Place {
  ObjectNumber object = 0;
  Lsn lsn = 0;
  std::uint32_t offset = 0;  // of its entry
  std::uint32_t bytes = 0;
};

// Reads records in any order: well when they follow each other, and no more than the record where
// they do not.
class RecordReader {
 public:
  explicit RecordReader(std::shared_ptr<File> file) : file_(std::move(file)) {}

  RecordView read(const Place& place) {
    if (place.offset < at_ || place.offset + place.bytes > at_ + window_.size()) {
      const bool follows = place.offset >= end_ && place.offset - end_ <= kGapBytesMax;
      at_ = place.offset;
      window_.resize(follows ? std::max<std::uint64_t>(kWindowBytes, place.bytes) : place.bytes);
      window_.resize(file_->read(at_, window_));
    }
    end_ = place.offset + std::uint64_t{place.bytes};
    RecordView view =
        RecordView::parse(Entry::parse(std::span(window_).subspan(place.offset - at_)).record);
    view.lsn = place.lsn;
    return view;
  }

 private:
  const std::shared_ptr<File> file_;
  Bytes window_;
  std::uint64_t at_ = 0;
  std::uint64_t end_ = 0;  // of the record before
};

class Sealing {
 public:
  explicit Sealing(const SealRequest& request)
      : request_(request),
        files_(*request.file_system),
        path_(segment_path(request.log_directory, request.number)),
        file_(files_.open(path_, FileSystem::Mode::kRead)) {}

  std::optional<HistoryWriter::Result> run() {
    if (!collect()) return std::nullopt;
    prepare_directory();
    const auto temp = request_.history_directory / kHistoryTempName;
    std::optional<HistoryWriter::Result> result;
    try {
      result = write(temp);
    } catch (...) {
      remove_quietly(temp);
      throw;
    }
    if (!result) {
      remove_quietly(temp);
      return result;
    }
    files_.rename(temp, history_path(request_.history_directory, request_.number));
    files_.sync_directory(request_.history_directory);
    return result;
  }

 private:
  // The places of all records that are kept, object by object; false when stopped.
  bool collect() {
    SegmentReader reader(request_.id, request_.number, path_, file_);
    const auto segment = reader.header();
    if (!segment || segment->id != request_.id || segment->number != request_.number) {
      damaged("does not have the header of this segment", 0);
    }
    header_.id = request_.id;
    header_.number = request_.number;
    header_.first_lsn = segment->first_lsn;
    header_.min_time_ms = std::numeric_limits<std::int64_t>::max();
    header_.max_time_ms = std::numeric_limits<std::int64_t>::min();
    const auto scanned = scan_segment(
        reader, *segment, [this](const RecordView& record) { add(record); },
        [this](std::uint64_t bytes) { return goes_on(bytes); });
    if (!scanned) return false;
    const SegmentEnd& end = *scanned;
    if (end.next_lsn != request_.end_lsn) {
      damaged("holds records up to LSN " + std::to_string(end.next_lsn - 1) + " instead of " +
                  std::to_string(request_.end_lsn - 1) +
                  ": the frame that follows does not match its checksum",
              end.offset);
    }
    header_.last_lsn = end.next_lsn - 1;
    if (end.next_lsn == header_.first_lsn) header_.min_time_ms = header_.max_time_ms = 0;
    std::sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
      return a.object != b.object ? a.object < b.object : a.lsn < b.lsn;
    });
    return true;
  }

  void add(const RecordView& record) {
    header_.min_time_ms = std::min(header_.min_time_ms, record.time_ms);
    header_.max_time_ms = std::max(header_.max_time_ms, record.time_ms);
    if (record.object < request_.first_object) return;
    places_.push_back({record.object, record.lsn, record.location.offset,
                       static_cast<std::uint32_t>(kEntryHeaderBytes + record.encoded_bytes())});
  }

  std::optional<HistoryWriter::Result> write(const std::filesystem::path& temp) {
    HistoryWriter writer(files_, temp, header_);
    RecordReader records(file_);
    for (const Place& place : places_) {
      writer.add(records.read(place));
      if (!goes_on(place.bytes)) return std::nullopt;
    }
    return writer.finish();
  }

  bool goes_on(std::uint64_t bytes) {
    block_bytes_ += bytes;
    return block_bytes_ < kSealingBlockBytes || request_.goes_on(std::exchange(block_bytes_, 0));
  }

  void prepare_directory() {
    if (files_.exists(request_.history_directory)) return;
    files_.create_directories(request_.history_directory);
    files_.sync_directory(request_.history_directory.parent_path());
  }

  void remove_quietly(const std::filesystem::path& path) noexcept {
    try {
      if (files_.exists(path)) files_.remove(path);
    } catch (const std::exception&) {
      // The next start removes it.
    }
  }

  [[noreturn]] void damaged(const std::string& problem, std::uint64_t offset) const {
    throw Error(ErrorCode::kCorrupt, "The log segment " + path_.string() + " " + problem +
                                         ", at byte " + std::to_string(offset) + ".");
  }

  const SealRequest& request_;
  FileSystem& files_;
  const std::filesystem::path path_;
  const std::shared_ptr<File> file_;
  HistoryHeader header_;
  std::vector<Place> places_;
  std::uint64_t block_bytes_ = 0;  // read since goes_on() was asked
};

}  // namespace

std::optional<HistoryWriter::Result> seal_segment(const SealRequest& request) {
  return Sealing(request).run();
}

}  // namespace perdure::log
