#include "log/verify.h"

#include <algorithm>
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
               std::shared_ptr<File> file)
      : id_(id), reader_(id, number, path, std::move(file)) {}

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
    reader_.scan(from + kFrameAlignment, [&](std::uint64_t offset, const FrameHeader& header) {
      if (!found && header.durable_lsn >= due && header.first_lsn > due) found = offset;
    });
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
  std::uint64_t records_ = 0;
  std::vector<Damage> damages_;
};

// One look at a history file.
class HistoryCheck {
 public:
  HistoryCheck(FileSystem& files, std::filesystem::path path, const LogId& id, std::uint64_t number)
      : files_(files), path_(std::move(path)), id_(id), number_(number) {}

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
  std::uint64_t commits_ = 0;
  std::map<std::uint32_t, std::size_t> damaged_blocks_;  // and the index of their damage
  std::vector<Damage> damages_;
};

class Verifier {
 public:
  Verifier(FileSystem& files, const std::filesystem::path& directory,
           const std::function<void(std::uint64_t, std::uint64_t)>& progress)
      : files_(files),
        directory_(directory),
        history_(directory.parent_path() / kHistoryDirectory),
        progress_(progress) {}

  VerifyReport run() {
    read_checkpoint();
    segments_ = list(directory_, parse_segment_name, segment_path);
    const auto histories = list(history_, parse_history_name, history_path);
    find_id();
    for (const auto& [number, bytes] : segments_) check_segment(number, bytes);
    look_for_gaps();
    for (const auto& [number, bytes] : histories) check_history(number, bytes);
    return std::move(report_);
  }

 private:
  using Numbers = std::map<std::uint64_t, std::uint64_t>;  // and the sizes of the files

  void add(const std::filesystem::path& path, const std::string& problem) {
    report_.damages.push_back({path.string(), 0, {}, problem});
  }

  void read_checkpoint() {
    const auto path = directory_ / kCheckpointName;
    if (!files_.exists(path)) {
      throw Error(ErrorCode::kNotFound, "There is no log in " + directory_.string() + ".");
    }
    Bytes bytes(kCheckpointBytes + 1);
    bytes.resize(files_.open(path, FileSystem::Mode::kRead)->read(0, bytes));
    total_ += report_.bytes += bytes.size();
    try {
      checkpoint_ = decode_checkpoint(bytes, path.string());
      id_ = checkpoint_->id;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt) throw;
      add(path, "the checkpoint does not match its checksum");
    }
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

  // A damaged checkpoint does not say which log it is, but the segments do.
  void find_id() {
    for (auto at = segments_.begin(); !checkpoint_ && at != segments_.end(); ++at) {
      const auto header = read_header(at->first);
      if (!header) continue;
      id_ = header->id;
      return;
    }
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
      SegmentCheck check(id_, number, path, file);
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
    HistoryCheck check(files_, path, id_, number);
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
  void look_for_gaps() {
    if (!checkpoint_ || segments_.empty()) return;
    for (std::uint64_t n = checkpoint_->next.segment; n < segments_.rbegin()->first; ++n) {
      const auto path = segment_path(directory_, n);
      if (segments_.contains(n) || files_.exists(path)) continue;
      // A later checkpoint may have freed it.
      if (const auto now = read_header(n + 1); !now) continue;
      add(path, "the segment is missing");
    }
  }

  FileSystem& files_;
  const std::filesystem::path directory_;
  const std::filesystem::path history_;
  const std::function<void(std::uint64_t, std::uint64_t)>& progress_;
  std::optional<Checkpoint> checkpoint_;
  LogId id_;
  Numbers segments_;
  std::uint64_t total_ = 0;
  VerifyReport report_;
};

}  // namespace

VerifyReport verify_log(
    FileSystem& files, const std::filesystem::path& directory,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
  return Verifier(files, directory, progress).run();
}

}  // namespace perdure::log
