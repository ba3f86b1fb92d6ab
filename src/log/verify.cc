#include "log/verify.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "log/format.h"
#include "log/frame.h"
#include "log/history_file.h"
#include "log/history_format.h"
#include "log/recovery.h"
#include "log/segment_reader.h"

namespace perdure::log {
namespace {

constexpr const char* kBadHeader = "the header does not match its checksum";

// Where a record says whose it is.
constexpr std::size_t kObjectOffset = 16;

// Walks the frames of the live segments in the order of their records.
class SegmentVerifier {
 public:
  SegmentVerifier(const LiveSegments& segments, const DamageVisitor& visit)
      : segments_(segments), visit_(visit) {}

  void run() {
    for (std::size_t i = 0; i < segments_.numbers.size(); ++i) {
      if (next_lsn_ > segments_.durable_lsn) return;
      verify(i);
    }
  }

 private:
  std::optional<SegmentReader> open(std::uint64_t number) const {
    const auto path = segment_path(segments_.directory, number);
    try {
      std::shared_ptr<File> file = segments_.file_system->open(path, FileSystem::Mode::kRead);
      return SegmentReader(segments_.id, number, path, std::move(file));
    } catch (const Error& error) {
      if (segments_.is_live(number)) visit_({path.string(), std::nullopt, 0, error.what()});
      return std::nullopt;
    }
  }

  // The first record of the segment after the one at `i`; 0 when that cannot be told.
  Lsn first_lsn_after(std::size_t i) const {
    if (i + 1 >= segments_.numbers.size()) return 0;
    auto reader = open(segments_.numbers[i + 1]);
    const auto header = reader ? reader->header() : std::nullopt;
    return header ? header->first_lsn : 0;
  }

  void verify(std::size_t i) {
    reader_.reset();
    if (auto opened = open(segments_.numbers[i])) reader_.emplace(std::move(*opened));
    if (!reader_) {
      next_lsn_ = first_lsn_after(i);
      return;
    }
    const auto header = reader_->header();
    if (!header) report(0, 0, kBadHeader);
    if (next_lsn_ == 0) next_lsn_ = header ? header->first_lsn : 0;
    const Lsn end_lsn = first_lsn_after(i);
    std::uint64_t offset = kSegmentHeaderBytes;
    while (next_lsn_ <= segments_.durable_lsn && (end_lsn == 0 || next_lsn_ < end_lsn)) {
      const auto after = verify_frame(offset);
      if (!after) return;
      offset = *after;
    }
  }

  // Returns where the next frame starts; none when there is no more to be found.
  std::optional<std::uint64_t> verify_frame(std::uint64_t offset) {
    const auto header = reader_->frame_header(offset);
    const bool expected = header && (next_lsn_ == 0 || header->first_lsn == next_lsn_);
    if (!expected) {
      report(offset, 0, "the header of a frame does not match its checksum");
      return find_frame(offset + kFrameAlignment);
    }
    verify_records(offset, *header);
    next_lsn_ = header->first_lsn + header->records;
    return round_up(offset + header->length, kFrameAlignment);
  }

  std::optional<std::uint64_t> find_frame(std::uint64_t offset) {
    std::optional<std::uint64_t> found;
    reader_->scan(offset, [&](std::uint64_t at, const FrameHeader& header) {
      if (found || header.first_lsn < next_lsn_) return;
      found = at;
      next_lsn_ = header.first_lsn;
    });
    return found;
  }

  void verify_records(std::uint64_t offset, const FrameHeader& header) {
    const std::uint64_t start = offset + kFrameHeaderBytes;
    if (const auto body = reader_->frame_body(offset, header)) return;
    Bytes body(header.length - kFrameHeaderBytes);
    body.resize(reader_->file()->read(start, body));
    std::size_t at = 0;
    for (std::uint32_t i = 0; i < header.records; ++i) {
      const auto rest = std::span<const std::byte>(body).subspan(at);
      ObjectNumber object = 0;
      try {
        const Entry entry = Entry::parse(rest);
        object = object_of(entry.record);
        const bool whole = entry.lsn == header.first_lsn + i &&
                           entry.belongs_at(segments_.id, {reader_->number(),
                                                           static_cast<std::uint32_t>(start + at)});
        static_cast<void>(RecordView::parse(entry.record));
        if (!whole) throw Error(ErrorCode::kCorrupt, "");
        at += entry.size();
      } catch (const Error&) {
        report(start + at, object, "a record does not match its checksum");
        return;
      }
    }
    report(offset, 0, "a frame does not match its checksum");
  }

  // What the record says, whether it is whole or not.
  static ObjectNumber object_of(std::span<const std::byte> record) {
    if (record.size() < kObjectOffset + sizeof(ObjectNumber)) return 0;
    ByteReader reader(record.subspan(kObjectOffset), "log record");
    return reader.fixed<std::uint64_t>();
  }

  void report(std::uint64_t offset, ObjectNumber object, const std::string& what) {
    if (segments_.is_live(reader_->number())) visit_({reader_->path(), offset, object, what});
  }

  const LiveSegments& segments_;
  const DamageVisitor& visit_;
  std::optional<SegmentReader> reader_;
  Lsn next_lsn_ = 0;  // of the next record; 0: not known
};

// Reads all that belongs to an object.
void read_object(HistoryFile::Reader& reader, const SealedObject& object) {
  for (const SealedObject::Chunk& chunk : object.chunks) static_cast<void>(reader.commits(chunk));
  if (object.summary_bytes > 0)
    reader.for_each_summary_page(object, [](std::uint32_t, std::span<const std::byte>) {});
}

class HistoryVerifier {
 public:
  HistoryVerifier(FileSystem& files, const LogId& id, const DamageVisitor& visit)
      : files_(files), id_(id), visit_(visit) {}

  void verify(const std::filesystem::path& path, std::uint64_t number) {
    path_ = path.string();
    checked(0, [&] {
      const auto file = std::make_shared<const HistoryFile>(files_, path, id_, number);
      Bytes block;
      // Blocks hold parts of many objects and of the table: the objects are read to tell whose.
      const bool whole = checked_blocks(*file, block);
      if (!whole) name_objects(file);
    });
  }

 private:
  bool checked_blocks(const HistoryFile& file, Bytes& block) {
    bool whole = true;
    for (std::uint32_t i = 0; i < file.header().blocks; ++i) {
      try {
        file.read_block(i, block);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kCorrupt) throw;
        whole = false;
        report(file.block_offset(i), 0, error);
      }
    }
    return whole;
  }

  void name_objects(const std::shared_ptr<const HistoryFile>& file) {
    HistoryFile::Reader reader(file);
    for (auto object = reader.next(0); object; object = reader.next(object->object))
      checked(object->object, [&] { read_object(reader, *object); });
  }

  template <typename Body>
  void checked(ObjectNumber object, Body&& body) {
    try {
      body();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kCorrupt && files_.exists(path_)) throw;
      if (files_.exists(path_)) report(std::nullopt, object, error);
    }
  }

  // The error names the file, and mostly the offset.
  void report(std::optional<std::uint64_t> offset, ObjectNumber object, const Error& error) {
    visit_({path_, offset, object, error.what()});
  }

  FileSystem& files_;
  const LogId& id_;
  const DamageVisitor& visit_;
  std::string path_;
};

}  // namespace

void verify_segments(const LiveSegments& segments, const DamageVisitor& visit) {
  SegmentVerifier(segments, visit).run();
}

void verify_history(FileSystem& file_system, const std::filesystem::path& directory,
                    const LogId& id, const DamageVisitor& visit) {
  if (!file_system.exists(directory)) return;
  HistoryVerifier verifier(file_system, id, visit);
  for (const std::string& name : file_system.list(directory)) {
    if (const auto number = parse_history_name(name)) verifier.verify(directory / name, *number);
  }
}

}  // namespace perdure::log
