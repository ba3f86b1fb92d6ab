#include "log/log_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "log/format.h"

namespace perdure::log {
namespace {

// What is fetched first of a record: most are smaller. In bytes.
constexpr std::size_t kReadAheadBytes = 4096;
// What is fetched at once where an object's records are close to each other, in bytes; close is a
// quarter of it.
constexpr std::uint32_t kReadBackBytes = 256 << 10;

}  // namespace

RecordView LogReader::read(RecordLocation location, ReadWindow& window) {
  const auto path = [&] { return segment_path(source_.directory, location.segment).string(); };
  const auto gone = [&] {
    return Error(ErrorCode::kNotFound, "The log segment " + path() + " is not kept any more.");
  };
  if (!source_.is_live(location.segment)) throw gone();
  try {
    const Entry entry = read_entry(location, window);
    if (!entry.belongs_at(source_.id, location)) {
      throw Error(ErrorCode::kCorrupt, "There is no log record, or it is damaged.");
    }
    RecordView view = RecordView::parse(entry.record);
    view.lsn = entry.lsn;
    view.location = location;
    return view;
  } catch (const Error& error) {
    window.start = {};
    // A checkpoint may have freed the segment under our hands.
    if (!source_.is_live(location.segment)) throw gone();
    if (error.code() == ErrorCode::kIo) throw;
    throw Error(error.code(), std::string(error.what()) + " It is at byte " +
                                  std::to_string(location.offset) + " of " + path() + ".");
  }
}

Entry LogReader::read_entry(RecordLocation location, ReadWindow& window) {
  const RecordLocation last = std::exchange(window.last, location);
  const bool is_neighbour = window.start.segment == location.segment &&
                            location.offset < last.offset &&
                            last.offset - location.offset <= kReadBackBytes / 4;
  if (is_neighbour && location.offset < window.start.offset) read_before(last, window);
  if (is_neighbour) {
    const std::size_t at = location.offset - window.start.offset;
    return Entry::parse(std::span(window.bytes).subspan(std::min(at, window.bytes.size())));
  }
  window.start = {};
  if (source_.copy_unwritten(location, window.bytes)) return Entry::parse(window.bytes);
  // What is in front of a record that is in the file is in the file as well.
  window.start = location;
  return read_alone(location, window.bytes);
}

// Fetches the bytes that end where a record begins.
void LogReader::read_before(RecordLocation record, ReadWindow& window) {
  const std::uint32_t start = record.offset - std::min(record.offset, kReadBackBytes);
  window.start = {record.segment, start};
  window.bytes.resize(record.offset - start);
  window.bytes.resize(open(record.segment)->read(start, window.bytes));
}

Entry LogReader::read_alone(RecordLocation location, Bytes& buffer) {
  const std::shared_ptr<File> file = open(location.segment);
  buffer.resize(kReadAheadBytes);
  buffer.resize(file->read(location.offset, buffer));
  ByteReader reader(buffer, "log segment");
  reader.bytes(kEntryHeaderBytes);
  const std::uint64_t needed = kEntryHeaderBytes + std::uint64_t{reader.fixed<std::uint32_t>()};
  if (needed > buffer.size()) {
    // Checked first, so that a damaged length asks for no more memory than the file has bytes.
    if (location.offset + needed > file->size()) {
      throw Error(ErrorCode::kCorrupt, "The log record has a wrong length.");
    }
    const std::size_t have = buffer.size();
    buffer.resize(needed);
    buffer.resize(have + file->read(location.offset + have, std::span(buffer).subspan(have)));
  }
  return Entry::parse(buffer);
}

std::shared_ptr<File> LogReader::open(std::uint64_t segment) {
  const std::lock_guard lock(mutex_);
  if (auto file = open_.find(segment)) return file;
  const auto path = segment_path(source_.directory, segment);
  std::shared_ptr<File> file = source_.file_system->open(path, FileSystem::Mode::kRead);
  open_.put(segment, file);
  return file;
}

void LogReader::forget(std::uint64_t segment) {
  const std::lock_guard lock(mutex_);
  open_.forget(segment);
}

}  // namespace perdure::log
