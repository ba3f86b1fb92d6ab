#include "log/verify.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "log/format.h"
#include "log/frame.h"
#include "log/history_file.h"
#include "log/history_format.h"
#include "log/record.h"
#include "log/segment_reader.h"

namespace perdure::log {
namespace {

constexpr std::size_t kObjectAt = 16;  // of the number of the object in a record
// Files of one gap that are looked for once more: those that a running log makes or gives back
// meanwhile are fewer.
constexpr std::uint64_t kSecondLooksMax = 4096;

void note_object(Damage& damage, ObjectNumber object) {
  if (damage.objects.size() == kDamagedObjectsMax) return;
  if (std::find(damage.objects.begin(), damage.objects.end(), object) == damage.objects.end()) {
    damage.objects.push_back(object);
  }
}

// One look at a segment.
class SegmentCheck {
 public:
  SegmentCheck(const LogId& id, std::uint64_t number, const std::filesystem::path& path,
               std::shared_ptr<File> file, const StopCheck& stopped)
      : id_(id), reader_(id, number, path, std::move(file)), stopped_(stopped) {}

  // `next` is the header of the segment behind it, when there is one with records in it.
  void run(const std::optional<SegmentHeader>& next) {
    const auto header = reader_.header();
    if (!header || header->id != id_ || header->number != reader_.number()) {
      add(0, "the header does not match its checksum, its log or its name");
    }
    if (header && header->first_lsn == 0) return;  // a spare
    bool is_known = header.has_value();
    Lsn lsn = header ? header->first_lsn : 0;
    std::uint64_t chain = header ? header->chain : 0;
    std::uint64_t offset = kSegmentHeaderBytes;
    for (;;) {
      throw_if_stopped(stopped_);
      const auto frame = reader_.frame_header(offset);
      if (frame && (!is_known || (frame->first_lsn == lsn && frame->previous == chain))) {
        check_body(offset, *frame);
        is_known = true;
        lsn = frame->first_lsn + frame->records;
        chain = frame->checksum;
        offset = std::min(round_up(offset + frame->length, kFrameAlignment), reader_.size());
        continue;
      }
      // What follows was written when the missing record was known to be durable: damage.
      const auto found = find_later(offset, lsn);
      if (!found) break;
      add(offset, "the frame does not match its checksum");
      offset = *found;
      is_known = false;
    }
    if (is_known && next && lsn < next->first_lsn) {
      add(offset, "records from LSN " + std::to_string(lsn) + " to " +
                      std::to_string(next->first_lsn - 1) + " are missing");
    }
  }

  [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return reader_.size(); }
  [[nodiscard]] std::vector<Damage>& damages() noexcept { return damages_; }

 private:
  void add(std::uint64_t offset, const std::string& problem) {
    damages_.push_back({reader_.path(), offset, {}, problem});
  }

  std::optional<std::uint64_t> find_later(std::uint64_t from, Lsn due) {
    std::optional<std::uint64_t> found;
    const auto visit = [&](std::uint64_t offset, const FrameHeader& header) {
      if (!found && header.durable_lsn >= due && header.first_lsn > due) found = offset;
    };
    reader_.scan(from + kFrameAlignment, visit, stopped_);
    return found;
  }

  void check_body(std::uint64_t offset, const FrameHeader& frame) {
    if (const auto body = reader_.frame_body(offset, frame)) {
      records_ += frame.records;
      return;
    }
    add(offset, "the records of the frame do not match its checksum");
    name_objects(offset, frame, damages_.back());
  }

  // Which records of a damaged frame are damaged.
  void name_objects(std::uint64_t offset, const FrameHeader& frame, Damage& damage) {
    Bytes body(frame.length - kFrameHeaderBytes);
    body.resize(reader_.file()->read(offset + kFrameHeaderBytes, body));
    std::span<const std::byte> rest(body);
    for (std::uint32_t i = 0; i < frame.records; ++i) {
      Entry entry;
      try {
        entry = Entry::parse(rest);
      } catch (const Error&) {
        return;  // where the next ones are is not known
      }
      try {
        (void)RecordView::parse(entry.record);
        ++records_;
      } catch (const Error&) {
        if (entry.record.size() >= kObjectAt + sizeof(ObjectNumber)) {
          note_object(damage, load<ObjectNumber>(entry.record.data() + kObjectAt));
        }
      }
      rest = rest.subspan(entry.size());
    }
  }

  const LogId id_;
  SegmentReader reader_;
  const StopCheck& stopped_;
  std::uint64_t records_ = 0;
  std::vector<Damage> damages_;
};

// One look at a history file.
class HistoryCheck {
 public:
  HistoryCheck(FileSystem& files, std::filesystem::path path, const LogId& id, std::uint64_t number,
               const StopCheck& stopped)
      : files_(files), path_(std::move(path)), id_(id), number_(number), stopped_(stopped) {}

  void run() {
    std::shared_ptr<const HistoryFile> file;
    std::uint64_t offset = 0;
    try {
      const auto bytes = files_.open(path_, FileSystem::Mode::kRead);
      offset =
          HistoryFile::read_header(*bytes, path_.string(), id_, number_).header.directory_offset;
      file = std::make_shared<HistoryFile>(files_, path_, id_, number_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt) throw;
      return add(offset, error.what());
    }
    check_blocks(*file);
    check_objects(file);
  }

  [[nodiscard]] std::uint64_t commits() const noexcept { return commits_; }
  [[nodiscard]] std::vector<Damage>& damages() noexcept { return damages_; }

 private:
  void add(std::uint64_t offset, const std::string& problem) {
    damages_.push_back({path_.string(), offset, {}, problem});
  }

  void check_blocks(const HistoryFile& file) {
    Bytes content;
    for (std::uint32_t i = 0; i < file.header().blocks; ++i) {
      throw_if_stopped(stopped_);
      try {
        file.read_block(i, content);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kCorrupt) throw;
        damaged_blocks_[i] = damages_.size();
        add(file.block_offset(i), "the block does not match its checksum");
      }
    }
  }

  void check_objects(const std::shared_ptr<const HistoryFile>& file) {
    const auto table = damaged_blocks_.lower_bound(file->header().table_block);
    if (table != damaged_blocks_.end()) {
      damages_[table->second].problem += "; it says where the objects are";
      return;
    }
    HistoryFile::Reader reader(file);
    std::uint64_t from = 0;
    reader.for_each_entry([&](const HistoryFile::TableEntry& entry) {
      throw_if_stopped(stopped_);
      const std::uint64_t end = entry.address + entry.bytes;
      if (!note_damage(entry.object, from, end)) check_object(reader, entry);
      from = end;
    });
  }

  // Whether part of the stream from one address to another is in damaged blocks.
  bool note_damage(ObjectNumber object, std::uint64_t from, std::uint64_t end) {
    bool found = false;
    const auto first = static_cast<std::uint32_t>(from / kHistoryBlockBytes);
    for (auto block = damaged_blocks_.lower_bound(first);
         block != damaged_blocks_.end() && block->first * kHistoryBlockBytes < end; ++block) {
      note_object(damages_[block->second], object);
      found = true;
    }
    return found;
  }

  void check_object(HistoryFile::Reader& reader, const HistoryFile::TableEntry& entry) {
    try {
      const SealedObject object = reader.read_index(entry);
      for (const SealedObject::Chunk& chunk : object.chunks) {
        commits_ += reader.commits(chunk).size();
      }
      reader.for_each_summary_page(object, [](std::uint32_t, std::span<const std::byte>) {});
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt) throw;
      add(reader.offset_of(entry.address), error.what());
      note_object(damages_.back(), entry.object);
    }
  }

  FileSystem& files_;
  const std::filesystem::path path_;
  const LogId id_;
  const std::uint64_t number_;
  const StopCheck& stopped_;
  std::uint64_t commits_ = 0;
  std::map<std::uint32_t, std::size_t> damaged_blocks_;  // and the index of their damage
  std::vector<Damage> damages_;
};

class Verifier {
 public:
  Verifier(FileSystem& files, const std::filesystem::path& directory,
           const VerifyProgress& progress, const StopCheck& stopped)
      : files_(files),
        directory_(directory),
        history_(directory.parent_path() / kHistoryDirectory),
        progress_(progress),
        stopped_(stopped) {}

  VerifyReport run() {
    const bool has_checkpoint = files_.exists(directory_ / kCheckpointName);
    if (has_checkpoint) checkpoint_ = read_checkpoint(true);
    // In this order: a segment goes when its history file is there.
    segments_ = list(directory_, parse_segment_name, segment_path);
    histories_ = list(history_, parse_history_name, history_path);
    find_id();
    if (!has_checkpoint) look_for_checkpoint();
    if (progress_) progress_(report_.bytes, total_);
    for (const auto& [number, bytes] : segments_) check_segment(number, bytes);
    look_for_missing_segments();
    look_for_missing_histories();
    for (const auto& [number, bytes] : histories_) check_history(number, bytes);
    return std::move(report_);
  }

 private:
  using Numbers = std::map<std::uint64_t, std::uint64_t>;  // and the sizes of the files

  void add(const std::filesystem::path& path, const std::string& problem) {
    report_.damages.push_back({path.string(), 0, {}, problem});
  }

  std::optional<Checkpoint> read_checkpoint(bool is_first_look) {
    const auto path = directory_ / kCheckpointName;
    Bytes bytes(kCheckpointBytes + 1);
    bytes.resize(files_.open(path, FileSystem::Mode::kRead)->read(0, bytes));
    if (is_first_look) total_ += report_.bytes += bytes.size();
    try {
      return decode_checkpoint(bytes, path.string());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt) throw;
      if (is_first_look) add(path, "the checkpoint does not match its checksum");
      return std::nullopt;
    }
  }

  // Only a log that is just being created has none.
  void look_for_checkpoint() {
    if (segments_.empty()) return add(directory_, "the log is missing");
    const auto header = read_header(segments_.begin()->first);
    if (segments_.size() == 1 && header && header->first_lsn == 0) return;
    const auto path = directory_ / kCheckpointName;
    if (!files_.exists(path)) add(path, "the file is missing");
  }

  // What is in a directory, as it is now.
  template <typename Parse, typename Path>
  Numbers list(const std::filesystem::path& directory, Parse parse, Path path) {
    Numbers numbers;
    if (!files_.exists(directory)) return numbers;
    for (const std::string& name : files_.list(directory)) {
      const auto number = parse(name);
      const auto file = number ? open(path(directory, *number)) : nullptr;
      if (!file) continue;
      total_ += numbers[*number] = file->size();
    }
    return numbers;
  }

  // Null when it is not there any more, or not yet.
  std::shared_ptr<File> open(const std::filesystem::path& path) {
    for (bool is_retry = false;; is_retry = true) {
      try {
        return files_.open(path, FileSystem::Mode::kRead);
      } catch (const Error&) {
        // It may have come just now.
        if (!files_.exists(path)) return nullptr;
        if (is_retry) throw;
      }
    }
  }

  std::optional<SegmentHeader> read_header(std::uint64_t number) {
    const auto path = segment_path(directory_, number);
    const auto file = open(path);
    if (!file) return std::nullopt;
    return SegmentReader(id_, number, path, file).header();
  }

  std::optional<HistoryHeader> read_history_header(std::uint64_t number) {
    const auto path = history_path(history_, number);
    const auto file = open(path);
    if (!file) return std::nullopt;
    Bytes bytes(kHistoryHeaderBytes);
    bytes.resize(file->read(0, bytes));
    try {
      return decode_history_header(bytes, path.string());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt) throw;
      return std::nullopt;
    }
  }

  // A checkpoint that is damaged or missing does not say which log it is, but the other files do.
  void find_id() {
    std::optional<LogId> id;
    if (checkpoint_) id = checkpoint_->id;
    for (auto at = segments_.begin(); !id && at != segments_.end(); ++at) {
      if (const auto header = read_header(at->first)) id = header->id;
    }
    for (auto at = histories_.begin(); !id && at != histories_.end(); ++at) {
      if (const auto header = read_history_header(at->first)) id = header->id;
    }
    id_ = id.value_or(LogId{});
  }

  // Beside a running log, what looks like damage may be a write or a removal that was under way: it
  // counts when a second look finds it again.
  void check_segment(std::uint64_t number, std::uint64_t bytes) {
    std::vector<Damage> damages;
    std::uint64_t records = 0;
    for (int look = 0; look < 2; ++look) {
      const auto path = segment_path(directory_, number);
      const auto file = open(path);
      if (!file) return;
      SegmentCheck check(id_, number, path, file, stopped_);
      auto next = read_header(number + 1);
      if (next && next->first_lsn == 0) next.reset();
      check.run(next);
      damages = std::move(check.damages());
      records = check.records();
      if (damages.empty()) break;
    }
    ++report_.segments;
    report_.records += records;
    done(bytes, damages);
  }

  void check_history(std::uint64_t number, std::uint64_t bytes) {
    const auto path = history_path(history_, number);
    HistoryCheck check(files_, path, id_, number, stopped_);
    try {
      check.run();
    } catch (const Error& error) {
      // It may have expired meanwhile.
      if (error.code() != ErrorCode::kIo || files_.exists(path)) throw;
      return;
    }
    ++report_.history_files;
    report_.commits += check.commits();
    done(bytes, check.damages());
  }

  void done(std::uint64_t bytes, std::vector<Damage>& damages) {
    std::move(damages.begin(), damages.end(), std::back_inserter(report_.damages));
    report_.bytes += bytes;
    if (progress_) progress_(report_.bytes, total_);
  }

  // From the checkpoint on no segment may be missing.
  void look_for_missing_segments() {
    if (!checkpoint_) return;
    std::uint64_t due = checkpoint_->next.segment;
    const auto from = segments_.lower_bound(due);
    if (from == segments_.end()) look_for_segments(due, due + 1);
    for (auto at = from; at != segments_.end(); ++at) {
      look_for_segments(due, at->first);
      due = at->first + 1;
    }
  }

  void look_for_segments(std::uint64_t from, std::uint64_t end) {
    const auto missing = find_missing(
        from, end, [&](std::uint64_t n) { return files_.exists(segment_path(directory_, n)); });
    if (!missing) return;
    // What a later checkpoint has given back is gone for good.
    const auto now = read_checkpoint(false);
    if (!now || now->next.segment > *missing) return;
    add(segment_path(directory_, *missing), "the segment is missing" + and_others(*missing, end));
  }

  // History goes from its old end: what follows a history file is there up to the checkpoint, as a
  // history file or as a segment that waits to become one. A segment that has become history may
  // still be there and proves nothing about what follows.
  void look_for_missing_histories() {
    if (histories_.empty()) return;
    std::set<std::uint64_t> there;
    for (const auto& [number, bytes] : histories_) there.insert(number);
    for (const auto& [number, bytes] : segments_) there.insert(number);
    if (checkpoint_) there.insert(checkpoint_->next.segment);
    std::uint64_t due = histories_.begin()->first;
    for (auto at = there.find(due); at != there.end(); ++at) {
      look_for_histories(due, *at);
      due = *at + 1;
      if (checkpoint_ && due > checkpoint_->next.segment) return;
    }
  }

  void look_for_histories(std::uint64_t from, std::uint64_t end) {
    // In this order: see HistoryKeeper.
    const auto is_there = [&](std::uint64_t n) {
      return files_.exists(segment_path(directory_, n)) || files_.exists(history_path(history_, n));
    };
    auto missing = find_missing(from, end, is_there);
    for (std::uint64_t last = 0; missing && *missing <= (last = unsealed_until());) {
      missing = find_missing(last + 1, end, is_there);
    }
    if (!missing) return;
    // It may have expired, but the older ones did so before.
    const std::uint64_t older = std::prev(histories_.lower_bound(*missing))->first;
    if (!files_.exists(history_path(history_, older))) return;
    add(history_path(history_, *missing),
        "the file is missing, and so is its segment" + and_others(*missing, end));
  }

  // The first number that is still missing now.
  template <typename IsThere>
  static std::optional<std::uint64_t> find_missing(std::uint64_t from, std::uint64_t end,
                                                   IsThere is_there) {
    end = std::min(end, from + kSecondLooksMax);
    for (std::uint64_t number = from; number < end; ++number) {
      if (!is_there(number)) return number;
    }
    return std::nullopt;
  }

  static std::string and_others(std::uint64_t missing, std::uint64_t end) {
    if (end - missing == 1) return "";
    return ", with those that follow it up to number " + std::to_string(end - 1);
  }

  // Up to this segment some may have been given back without becoming history; said before it is
  // done.
  std::uint64_t unsealed_until() {
    std::uint64_t last = 0;
    for (const std::string& name : files_.list(history_)) {
      last = std::max(last, parse_unsealed_name(name).value_or(0));
    }
    return last;
  }

  FileSystem& files_;
  const std::filesystem::path directory_;
  const std::filesystem::path history_;
  const VerifyProgress& progress_;
  const StopCheck& stopped_;
  std::optional<Checkpoint> checkpoint_;
  LogId id_;
  Numbers segments_;
  Numbers histories_;
  std::uint64_t total_ = 0;
  VerifyReport report_;
};

}  // namespace

VerifyReport verify_log(FileSystem& files, const std::filesystem::path& directory,
                        const VerifyProgress& progress, const StopCheck& stopped) {
  return Verifier(files, directory, progress, stopped).run();
}

}  // namespace perdure::log
