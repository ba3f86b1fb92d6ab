#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/lsn.h"
#include "runtime/object_id.h"

namespace perdure::runtime {

// A state that an object had: the one that its commit with this LSN has left (0: before the first).
// With `restore`, the one immediately before the restore with that number, which comes after the
// LSN.
//
// As text, `LLLLLLLL-LLLLLLLL-RRRRRRRR-OOOOOOOOOOOOOOOOCCCCCCCCCCCCCCCC` in lower-case hexadecimal
// digits: LSN, restore, the object, and a checksum of what stands before it. So texts are ordered
// as the bookmarks were handed out.
struct Bookmark {
  Lsn lsn = 0;
  std::uint32_t restore = 0;
  std::uint64_t object = 0;  // bookmark_object()

  friend bool operator==(const Bookmark&, const Bookmark&) = default;

  [[nodiscard]] std::string text() const;
  // Throws Error(kInvalid) when it is not a bookmark's text, unchanged.
  [[nodiscard]] static Bookmark parse(std::string_view text);
};

// What a bookmark knows its object by: a hash over the log (its id, two numbers), the key of the
// namespace and the id. LSNs of another data directory mean nothing here.
[[nodiscard]] std::uint64_t bookmark_object(std::uint64_t log_high, std::uint64_t log_low,
                                            std::string_view key, const ObjectId& id);

// A text that should be a bookmark, for an error: in quotes, and cut when it is too long for one.
[[nodiscard]] std::string quoted_bookmark(std::string_view text);

}  // namespace perdure::runtime
