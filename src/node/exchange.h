#pragma once

#include <cstddef>
#include <cstdint>

namespace perdure::node {

// The memory that one JavaScript environment and the addon share: an ArrayBuffer that JavaScript
// makes. Numbers, and short texts on the way in, cross the border as plain stores and loads, where
// a Node-API call for each would cost more than SQLite's own work. Its twin is
// js/src/runtime/exchange.ts; the two must agree.
struct Exchange {
  static constexpr std::size_t kCellsMax = 1024;
  static constexpr std::size_t kTextBytesMax = 16384;
  static constexpr std::size_t kRowsMax = 256;

  std::int32_t header[16];
  double numbers[kCellsMax];
  std::int32_t lengths[kCellsMax];
  // Out of `run`: how many rows the statement had read when it came to each row of the batch.
  std::uint32_t rows_read[kRowsMax];
  std::uint8_t kinds[kCellsMax];
  char text[kTextBytesMax];  // texts one after the other, each `lengths[i]` long
};

// What a cell is.
enum class CellKind : std::uint8_t {
  kNull = 0,
  kNumber = 1,  // numbers[i]
  kText = 2,    // ASCII; in: lengths[i] bytes of `text`; out: of the batch's one string
  kExtra = 3,   // the next element of the array of extra values
};

// header[]: in and out of `run`.
enum HeaderIn : std::size_t { kStatement = 0, kParameters = 1, kRowsMax = 2 };
// header[] into `kvGetInline` and `kvPutInline`: key and value stand in `text`, one behind the
// other.
enum HeaderKeyValue : std::size_t { kSlot = 0, kKeyBytes = 1, kValueBytes = 3 };
enum HeaderOut : std::size_t {
  kRows = 0,
  kStatus = 1,
  kBegan = 2,
  kGotExtras = 3,
  kReprepared = 8,    // how often SQLite has prepared the statement anew, for a changed schema
  kRowsRead = 9,      // by the statement since it was started, and
  kRowsWritten = 10,  // written
};
// header[]: which turn runs, written at its beginning and read by the watchdog (shard_watch.h).
enum HeaderTurn : std::size_t {
  kTurn = 11,       // another number for each turn
  kTurnSlot = 12,   // of the object whose code it is, plus one; 0: code outside the objects
  kTurnLabel = 13,  // the method (see ShardWatch::label()); negative: what was called last, and the
                    // code has waited since; 0: not known
};
enum RunStatus : std::int32_t { kMore = 0, kDone = 1, kFailed = 2 };

}  // namespace perdure::node
