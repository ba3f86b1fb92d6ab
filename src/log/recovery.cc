#include "log/recovery.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "log/segment_pool.h"
#include "log/segment_reader.h"

namespace perdure::log {
namespace {

constexpr const char* kAdvice =
    " Nothing was changed. Restore the file from a backup, or move the data directory "
    "away to start empty.";

[[noreturn]] void damaged(const std::string& what) {
  throw Error(ErrorCode::kCorrupt, "The log is damaged: " + what + "." + kAdvice);
}

class Recovery {
 public:
  Recovery(const LogOptions& options, std::uint64_t segment_file_bytes,
           const std::function<void(const RecordView&)>& replay)
      : files_(*options.file_system),
        directory_(options.directory),
        segment_file_bytes_(segment_file_bytes),
        replay_(replay) {}

  RecoveredLog run() {
    prepare_directory();
    list_segments();
    if (!read_start()) {
      create();
      return std::move(log_);
    }
    replay_segments();
    examine_end();
    clean_up();
    write_again();
    go_on();
    if (!has_checkpoint_ && log_.next_lsn == 1) write_first_checkpoint();
    return std::move(log_);
  }

 private:
  // A frame of which no later one says that it is durable.
  struct Unproven {
    std::uint64_t segment = 0;
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
    Lsn last_lsn = 0;
  };
  // What may follow the end of the log: writes that a crash left half done, or proof of damage.
  struct Leftover {
    std::uint64_t segment = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };

  [[nodiscard]] std::filesystem::path path(std::uint64_t number) const {
    return segment_path(directory_, number);
  }
  [[nodiscard]] std::filesystem::path checkpoint_path() const {
    return directory_ / kCheckpointName;
  }
  [[nodiscard]] bool has_segment(std::uint64_t number) const {
    return std::binary_search(segments_.begin(), segments_.end(), number);
  }

  void prepare_directory() {
    if (files_.exists(directory_)) return;
    files_.create_directories(directory_);
    if (directory_.has_parent_path()) files_.sync_directory(directory_.parent_path());
  }

  void list_segments() {
    for (const std::string& name : files_.list(directory_)) {
      if (const auto number = parse_segment_name(name)) segments_.push_back(*number);
    }
    std::sort(segments_.begin(), segments_.end());
  }

  // Sets start_; false when there is no log yet.
  bool read_start() {
    has_checkpoint_ = files_.exists(checkpoint_path());
    if (has_checkpoint_) {
      const auto file = files_.open(checkpoint_path(), FileSystem::Mode::kRead);
      Bytes bytes(kCheckpointBytes + 1);
      bytes.resize(file->read(0, bytes));
      start_ = decode_checkpoint(bytes, checkpoint_path().string());
      return true;
    }
    if (segments_.empty()) return false;
    // Without a checkpoint, the whole log is replayed, if all of it is there.
    if (segments_.front() != 1) {
      damaged("the file " + checkpoint_path().string() + " is missing");
    }
    const auto header =
        SegmentReader({}, 1, path(1), files_.open(path(1), FileSystem::Mode::kRead)).header();
    if (!header) damaged("the header of " + path(1).string() + " does not match its checksum");
    start_ = {.id = header->id,
              .epoch = 0,
              .lsn = 0,
              .next = {1, static_cast<std::uint32_t>(kSegmentHeaderBytes)},
              .chain = 0};
    return true;
  }

  void create() {
    log_.id = new_log_id();
    log_.segment = SegmentPool::create({&files_, directory_, segment_file_bytes_, log_.id}, 1);
    log_.offset = kSegmentHeaderBytes;
    log_.live = {1};
    write_first_checkpoint();
  }

  // A crash may have come before it when the log was created: so every log with records has one.
  void write_first_checkpoint() {
    write_checkpoint(files_, directory_,
                     {.id = log_.id,
                      .epoch = log_.epoch,
                      .lsn = 0,
                      .next = {1, static_cast<std::uint32_t>(kSegmentHeaderBytes)},
                      .chain = 0});
  }

  SegmentReader open_segment(std::uint64_t number) {
    return SegmentReader(start_.id, number, path(number),
                         files_.open(path(number), FileSystem::Mode::kReadWrite));
  }

  // A segment's header, checked against its name; nothing when it is damaged.
  std::optional<SegmentHeader> read_header(SegmentReader& reader) {
    const auto header = reader.header();
    if (!header) return header;
    if (header->id != start_.id) damaged("the segment " + reader.path() + " is of another log");
    if (header->number != reader.number()) {
      damaged("the segment " + reader.path() + " holds segment " + segment_name(header->number));
    }
    return header;
  }

  void replay_segments() {
    log_.id = start_.id;
    log_.epoch = start_.epoch + 1;
    log_.next_lsn = start_.lsn + 1;
    log_.chain = start_.chain;
    log_.report.checkpoint_lsn = start_.lsn;
    if (!has_segment(start_.next.segment)) {
      damaged("the segment " + path(start_.next.segment).string() +
              ", in which replay starts, is missing");
    }
    reader_.emplace(open_segment(start_.next.segment));
    if (!read_header(*reader_)) {
      damaged("the header of " + reader_->path() + " does not match its checksum");
    }
    offset_ = start_.next.offset;
    if (reader_->size() < offset_) {
      damaged("the segment " + reader_->path() + " has " + std::to_string(reader_->size()) +
              " bytes, but replay starts at byte " + std::to_string(offset_));
    }
    do {
      while (replay_frame()) {
      }
    } while (move_to_next_segment());
  }

  bool replay_frame() {
    const auto header = reader_->frame_header(offset_);
    if (!header || header->first_lsn != log_.next_lsn || header->previous != log_.chain) {
      return false;
    }
    const auto body = reader_->frame_body(offset_, *header);
    if (!body) return false;
    for_each_record(*body, reader_->number(), offset_ + kFrameHeaderBytes, *header, reader_->path(),
                    replay_);
    std::erase_if(unproven_,
                  [&](const Unproven& frame) { return frame.last_lsn <= header->durable_lsn; });
    const std::uint64_t end =
        std::min(round_up(offset_ + header->length, kFrameAlignment), reader_->size());
    log_.next_lsn += header->records;
    unproven_.push_back({reader_->number(), offset_, end, log_.next_lsn - 1});
    log_.chain = header->checksum;
    log_.proven_durable_lsn = header->durable_lsn;
    log_.report.records += header->records;
    log_.report.bytes += header->length;
    offset_ = end;
    return true;
  }

  // The log goes on in the next segment when that one says so itself.
  bool move_to_next_segment() {
    const std::uint64_t number = reader_->number() + 1;
    if (!has_segment(number)) return false;
    SegmentReader next = open_segment(number);
    const auto header = read_header(next);
    if (!header || header->first_lsn != log_.next_lsn || header->chain != log_.chain) return false;
    reader_.emplace(std::move(next));
    offset_ = kSegmentHeaderBytes;
    return true;
  }

  // Whether the log simply ends here, was torn by a crash, or is damaged.
  void examine_end() {
    const std::uint64_t last = reader_->number();
    const auto after = std::upper_bound(segments_.begin(), segments_.end(), last);
    if (after != segments_.end() && *after != last + 1) {
      damaged("the segment " + path(last + 1).string() + " is missing, but later ones are there");
    }
    is_torn_ = !reader_->ends_at(offset_);
    const std::string frame = "frame at byte " + std::to_string(offset_) + " of " +
                              reader_->path() + " does not match its checksum";
    look_for_proof(*reader_, offset_, frame);
    for (auto number = after; number != segments_.end(); ++number) examine_later(*number, frame);
    report_cut();
  }

  void examine_later(std::uint64_t number, const std::string& frame) {
    SegmentReader later = open_segment(number);
    const auto header = read_header(later);
    // When this segment ends well, it is the next one that is to blame.
    const bool header_is_to_blame = !header && !is_torn_ && leftovers_.empty();
    const std::string blame = header_is_to_blame
                                  ? "the header of " + later.path() + " does not match its checksum"
                                  : frame;
    const std::size_t found_before = leftovers_.size();
    look_for_proof(later, kSegmentHeaderBytes, blame);
    const bool is_spare = number == reader_->number() + 1 && header && header->first_lsn == 0 &&
                          leftovers_.size() == found_before && later.size() == segment_file_bytes_;
    if (is_spare) {
      log_.spare = std::make_shared<Segment>(number, later.size(), later.file());
    } else {
      to_remove_.push_back(number);
    }
    if (header && header->first_lsn != 0) is_torn_ = true;
  }

  // A later frame that was written when the first missing record was known to be durable shows that
  // the log is damaged, and not torn.
  void look_for_proof(SegmentReader& reader, std::uint64_t from, const std::string& blame) {
    reader.scan(from, [&](std::uint64_t offset, const FrameHeader& header) {
      if (header.durable_lsn >= log_.next_lsn) {
        damaged(blame + ", and later frames show that it had been stored");
      }
      const std::uint64_t bytes = std::min<std::uint64_t>(header.length, reader.size() - offset);
      leftovers_.push_back({reader.number(), offset, bytes});
    });
    if (!leftovers_.empty()) is_torn_ = true;
  }

  void report_cut() {
    if (!is_torn_) return;
    std::uint64_t end =
        std::min(round_up(offset_ + kFrameHeaderBytes, kBlockBytes), reader_->size());
    std::uint64_t later_bytes = 0;
    for (const Leftover& leftover : leftovers_) {
      if (leftover.segment != reader_->number()) {
        later_bytes += leftover.bytes;
      } else if (leftover.offset == offset_ || leftover.offset + leftover.bytes > end) {
        end = leftover.offset + leftover.bytes;
      }
    }
    log_.report.cut_bytes = end - offset_ + later_bytes;
    log_.report.cut_file = reader_->path();
    log_.report.cut_offset = offset_;
  }

  void clean_up() {
    // The last first, one by one: so there is never a gap, whatever a crash leaves of this.
    for (auto number = to_remove_.rbegin(); number != to_remove_.rend(); ++number) {
      files_.remove(path(*number));
      files_.sync_directory(directory_);
    }
    if (files_.exists(directory_ / kSpareTempName)) files_.remove(directory_ / kSpareTempName);
    if (is_torn_) scrub();
  }

  // Zeros where the end of the log is now, and over each header of a frame behind it.
  void scrub() {
    File& file = *reader_->file();
    const auto wipe = [&](std::uint64_t from, std::uint64_t to) {
      to = std::min(to, reader_->size());
      if (from < to) file.write(from, Bytes(to - from));
    };
    wipe(offset_, round_up(offset_ + kFrameHeaderBytes, kBlockBytes));
    for (const Leftover& leftover : leftovers_) {
      if (leftover.segment != reader_->number()) continue;
      wipe(leftover.offset, leftover.offset + kFrameHeaderBytes);
    }
    file.sync();
  }

  // What a process that was killed had written may still be in the operating system's memory only,
  // and where its sync had failed, a new one would not write it either. So the last frames are
  // written again, and are durable before anybody builds on them.
  void write_again() {
    for (const Unproven& frame : unproven_) {
      const auto file = files_.open(path(frame.segment), FileSystem::Mode::kReadWrite);
      // With the segment's header, which the first frame brings along.
      const std::uint64_t from = frame.offset == kSegmentHeaderBytes ? 0 : frame.offset;
      Bytes bytes(frame.end - from);
      bytes.resize(file->read(from, bytes));
      file->write(from, bytes);
      file->sync();
    }
  }

  void go_on() {
    log_.offset = offset_;
    log_.segment = std::make_shared<Segment>(
        reader_->number(), round_down(reader_->size(), kBlockBytes), reader_->file());
    log_.tail.resize(offset_ % kBlockBytes);
    reader_->file()->read(round_down(offset_, kBlockBytes), log_.tail);
    for (const std::uint64_t number : segments_) {
      if (number > reader_->number()) break;
      (number < start_.next.segment ? log_.below : log_.live).push_back(number);
    }
  }

  FileSystem& files_;
  const std::filesystem::path directory_;
  const std::uint64_t segment_file_bytes_;
  const std::function<void(const RecordView&)>& replay_;
  RecoveredLog log_;
  std::vector<std::uint64_t> segments_;
  bool has_checkpoint_ = false;
  Checkpoint start_;
  std::optional<SegmentReader> reader_;  // the segment that the log ends in
  std::uint64_t offset_ = 0;             // where it ends
  bool is_torn_ = false;
  std::vector<Leftover> leftovers_;
  std::vector<Unproven> unproven_;
  std::vector<std::uint64_t> to_remove_;
};

}  // namespace

RecoveredLog recover(const LogOptions& options, std::uint64_t segment_file_bytes,
                     const std::function<void(const RecordView&)>& replay) {
  return Recovery(options, segment_file_bytes, replay).run();
}

void write_checkpoint(FileSystem& files, const std::filesystem::path& directory,
                      const Checkpoint& checkpoint) {
  const auto temp = directory / kCheckpointTempName;
  {
    const auto file = files.open(temp, FileSystem::Mode::kCreate);
    file->write(0, encode_checkpoint(checkpoint));
    file->truncate(kCheckpointBytes);
    file->sync();
  }
  files.rename(temp, directory / kCheckpointName);
  files.sync_directory(directory);
  try {
    files.open(temp, FileSystem::Mode::kCreate)->preallocate(kCheckpointBytes);
  } catch (const Error&) {
    // The next checkpoint tries again, and reports it then.
  }
}

void for_each_record(std::span<const std::byte> body, std::uint64_t segment,
                     std::uint64_t body_offset, const FrameHeader& header, const std::string& path,
                     const std::function<void(const RecordView&)>& visit) {
  std::uint64_t at = 0;
  for (std::uint32_t i = 0; i < header.records; ++i) {
    const std::uint64_t offset = body_offset + at;
    std::optional<RecordView> record;
    try {
      const Entry entry = Entry::parse(body.subspan(at));
      if (entry.lsn != header.first_lsn + i) {
        throw Error(ErrorCode::kCorrupt, "The log record has a wrong number.");
      }
      record = RecordView::parse(entry.record);
      at += entry.size();
    } catch (const Error& error) {
      throw Error(error.code(), std::string(error.what()) + " It is at byte " +
                                    std::to_string(offset) + " of " + path + ".");
    }
    record->lsn = header.first_lsn + i;
    record->location = {segment, static_cast<std::uint32_t>(offset)};
    visit(*record);
  }
}

}  // namespace perdure::log
