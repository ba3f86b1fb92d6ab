#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/export.h"
#include "perdure/object_id.h"
#include "perdure/storage.h"
#include "perdure/types.h"

namespace perdure {

namespace native {
struct EngineState;
}

struct PERDURE_API Options {
  // Make a data directory where there is none.
  bool create_if_missing = false;
  // How long the past of objects is kept for restores, while this engine is open. None: nothing
  // expires, which is right for a tool that does not know what the server of the directory keeps
  // (30 days, unless it was told otherwise). 0: nothing is added to what is kept, and nothing
  // expires.
  std::optional<std::chrono::milliseconds> history_retention = {};
  // The disk space that takes at most, in bytes; past it the oldest is given up. None: no limit but
  // the disk, where the oldest makes room for new commits.
  std::optional<std::uint64_t> history_bytes_max = {};
  // Called once when the log or a checkpoint could not be written, on a thread of the engine: it
  // must be short, and must not throw or use the engine. From then on every write throws
  // Error(kPoisoned) with this message, and so does waiting for what is not durable; what was
  // durable stays so. The program should end, and open the directory again when the disk is well.
  std::function<void(const std::string& message)> on_failure = {};
};

// What is known of an object without opening it.
struct PERDURE_API ObjectInfo {
  ObjectId id;
  // Of its database, in bytes; of its keys and values with key-value storage.
  std::uint64_t bytes = 0;
  // Its last commit; none with key-value storage, and where it was before this was kept.
  std::optional<Time> changed = {};
  // When its alarm is to ring.
  std::optional<Time> alarm = {};
};

// The objects of one class. A light handle, copied freely; any thread. It keeps the engine open.
// (`get()` is not taken: it will return stubs, as in JavaScript, once classes can be written in
// C++.)
class PERDURE_API Namespace {
 public:
  // "<script name>-<class name>" for what `perdure serve` has made.
  [[nodiscard]] const std::string& key() const noexcept { return key_; }
  [[nodiscard]] StorageKind kind() const noexcept { return kind_; }

  // The id of the object with this name, whether it exists or not. The same in JavaScript.
  [[nodiscard]] ObjectId id_from_name(std::string_view name) const;
  // Error(kInvalid) when the text is not 64 hexadecimal digits, or was not made for this namespace.
  [[nodiscard]] ObjectId id_from_string(std::string_view hex) const;
  // A new one, at random.
  [[nodiscard]] ObjectId new_unique_id() const;

  // Whether the object has ever committed anything; with key-value storage, whether it has keys.
  [[nodiscard]] bool contains(const ObjectId& id) const;

  enum class OpenMode : std::uint8_t {
    kExisting,         // Error(kNotFound) when contains() is false
    kCreateIfMissing,  // its first commit makes it; before that it leaves no trace
  };
  // Error(kLocked) while another Storage has the object open; kInvalid for an id of another
  // namespace, or when the engine is closed; kCorrupt, kIo.
  [[nodiscard]] Storage open(const ObjectId& id, OpenMode mode = OpenMode::kExisting) const;
  [[nodiscard]] Storage open(std::string_view name, OpenMode mode = OpenMode::kExisting) const {
    return open(id_from_name(name), mode);
  }

  // Calls `visit` for each object that has committed something, in no order, until it returns
  // false. It sees the state when it was called, and may use the engine.
  void for_each_object(const std::function<bool(const ObjectInfo&)>& visit) const;

  // Writes what the object has committed into a SQLite file of its own: the database, or a table
  // `_cf_KV (key, value)` with its pairs. With a bookmark: in the state that it names (SQLite
  // storage only; Storage::restore() says what it throws). Whoever has the object open goes on
  // meanwhile. The file is complete and on the disk when this returns; when it throws, there is
  // none. Error: kNotFound, kInvalid when the file exists, kIo, kFull, kPoisoned.
  void export_object(const ObjectId& id, const std::filesystem::path& file,
                     std::string_view bookmark = {}) const;

 private:
  friend class Engine;
  Namespace(std::shared_ptr<native::EngineState> engine, std::uint32_t number, std::string key,
            StorageKind kind);
  void check(const ObjectId& id) const;
  void for_each_owner(const std::function<bool(const ObjectInfo&)>& visit) const;

  std::shared_ptr<native::EngineState> engine_;
  std::uint32_t number_;
  std::string key_;
  StorageKind kind_;
};

// An open data directory: the engine of `perdure serve` in a program of your own. Any thread.
//
//   perdure::Engine engine = perdure::Engine::open("/srv/app/.perdure");
//   perdure::Namespace counters = engine.get_namespace("counter-Counter");
//   perdure::Storage storage = counters.open("a");
//   auto count = storage.sql().exec("SELECT value FROM data").one<std::int64_t>();
//
// A handle that was moved from, here and elsewhere, may be destroyed or assigned to, and nothing
// else.
//
// One owner at a time: a directory that a server or another program has open is Error(kLocked). The
// operating system releases it when the process ends in whatever way.
class PERDURE_API Engine {
 public:
  // Recovers what the log has and the files do not. Error: kNotFound when there is no data
  // directory (Options::create_if_missing), kLocked, kVersion (a newer Perdure wrote it), kCorrupt
  // (a damaged log, or a directory of something else; nothing is changed), kIo, kFull, kInvalid for
  // an option.
  [[nodiscard]] static Engine open(const std::filesystem::path& directory, Options options = {});

  Engine(Engine&& other) noexcept;
  Engine& operator=(Engine&& other) noexcept;
  // As close(); when there are Namespaces or Storages still, the last of them that goes closes it.
  // What goes wrong is printed to stderr. Nothing durable is lost by that.
  ~Engine();

  // All that there have ever been, ordered by their keys.
  [[nodiscard]] std::vector<Namespace> namespaces() const;
  // Error(kNotFound), with the keys that there are.
  [[nodiscard]] Namespace get_namespace(std::string_view key) const;
  // The same, but made when it is missing. Error(kInvalid) when it has the other kind of storage.
  [[nodiscard]] Namespace open_namespace(std::string_view key,
                                         StorageKind kind = StorageKind::kSqlite) const;

  // See Storage on what commits promise. Waits until `lsn`, which a commit returned, is durable.
  // Error(kPoisoned) when the log has failed, kInvalid for what no commit has returned.
  void wait_durable(Lsn lsn) const;
  // Never goes back. Cheap.
  [[nodiscard]] Lsn durable_lsn() const;
  // Waits until every commit so far is durable.
  void sync() const;

  // Writes all commits to the objects' files; the log starts after them. It happens by itself, too.
  // Error: kFull, kIo, kPoisoned.
  void checkpoint() const;

  // Checkpoints, so that every object is a plain SQLite file, and releases the directory.
  // Error(kInvalid), with nothing done, while a Storage is open or another call runs; otherwise
  // what checkpoint() throws, and the directory is released all the same. Does nothing the second
  // time.
  void close();

 private:
  friend struct native::EngineState;
  explicit Engine(std::shared_ptr<native::EngineState> state) noexcept;
  std::shared_ptr<native::EngineState> state_;
};

}  // namespace perdure
