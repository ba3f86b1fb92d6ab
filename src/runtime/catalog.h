#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/lsn.h"
#include "object/alarm.h"
#include "runtime/object_id.h"
#include "store/database.h"

namespace perdure::store {
class DatabaseFile;
struct FileCheck;
class ReadView;
class SharedKeyValue;
class Store;
}  // namespace perdure::store

namespace perdure::runtime {

using NamespaceNumber = std::uint32_t;

// Where the objects of a namespace keep what they store.
enum class StorageKind : std::uint8_t {
  kSqlite,    // each in a database of its own
  kKeyValue,  // all in the shared key-value file, `data.sqlite`
};

// An object that was written elsewhere, as a whole SQLite file. It becomes the object's database
// (it is on the data directory's file system then), or its pairs go to the shared key-value file
// (it is a copy made for store::ForeignUse::kKeyValue), as the namespace's kind has it.
struct Adoption {
  NamespaceNumber ns = 0;
  ObjectId id;
  std::filesystem::path file;
  // Its alarm, in milliseconds since 1970, and its name, if that is known (with key-value storage
  // it is kept with an alarm alone).
  std::optional<std::uint64_t> alarm_ms = {};
  std::string name = {};
};

// What objects there are, and where their storage is: `catalog.sqlite`, a database on the same log
// (object number 1), with the namespaces, the objects that have databases and where the chain of
// records of each ends, and the alarms of all objects. Any thread (one mutex inside).
class Catalog {
  struct Impl;

 public:
  // Opens or creates it, and becomes what the store's checkpoint asks (set_checkpoint_hooks). The
  // store must outlive it. Once the store is closed, every call throws Error(kInvalid).
  explicit Catalog(store::Store& store);
  ~Catalog();

  // The namespace with this key, created when missing. The key names the folder of its objects,
  // `objects/<key>/<id>.sqlite`, or their rows in `data.sqlite`. Throws Error(kInvalid) when it was
  // created with the other kind of storage: that is for good.
  NamespaceNumber open_namespace(std::string_view key, StorageKind kind = StorageKind::kSqlite);

  struct Namespace {
    std::string key;
    StorageKind kind = StorageKind::kSqlite;
  };
  // Throws Error(kNotFound).
  [[nodiscard]] Namespace find_namespace(NamespaceNumber ns);
  // All that have ever been opened.
  [[nodiscard]] std::vector<std::pair<NamespaceNumber, Namespace>> namespaces();

  // The shared key-value file (number 2). Closed with the catalog's own database, when the store
  // closes.
  std::shared_ptr<store::SharedKeyValue> key_values();

  // The database of an object. A new object gets a number at once and its row in the catalog
  // immediately before its first commit, so that an object that never writes leaves no trace and a
  // commit of an object in the log always comes after its row. `name` is kept with the row ("" when
  // the id has none).
  std::shared_ptr<store::DatabaseFile> object(NamespaceNumber ns, const ObjectId& id,
                                              std::string_view name);

  // The committed state of the file that has what the object stores: its own database, or the
  // shared key-value file. Throws Error(kNotFound) when contains() is false.
  std::unique_ptr<store::ReadView> view(NamespaceNumber ns, const ObjectId& id);
  // Where the object's database is, or would be, relative to the data directory.
  [[nodiscard]] std::string path(NamespaceNumber ns, const ObjectId& id);
  // Of the shared key-value file, and of the catalog itself.
  std::unique_ptr<store::ReadView> view_key_values();
  std::unique_ptr<store::ReadView> view_catalog();

  // Compares up to `count` pages of the file of a database, from `first` on, with the checksums
  // that are kept of them, and adds to `found`. Waits for a checkpoint that runs. Throws
  // Error(kIo).
  void check_pages(store::DatabaseFile& file, std::uint32_t first, std::uint32_t count,
                   store::FileCheck& found);

  // Pages of the file that do not match their checksums count from now on as they are: for who has
  // nothing better. -> how many. Throws Error.
  std::uint64_t accept_pages(store::DatabaseFile& file);

  // Makes objects of all of them in one commit, once the files are where the objects' databases
  // belong and the pairs are in the shared file. Pairs take many commits, so their objects are
  // noted first: what a crash leaves of them is deleted when the catalog is opened next. When it
  // throws there is nothing of them, or there will not be after that: close the catalog then. Error
  // (kInvalid), with nothing changed, when an object exists already. Nobody may use the objects
  // meanwhile.
  void adopt(std::span<const Adoption> adoptions);

  // An object's alarm, as it is kept. The name is empty when the object's id has none.
  struct StoredAlarm {
    std::string name;
    object::Alarm alarm;
  };
  [[nodiscard]] std::optional<StoredAlarm> find_alarm(NamespaceNumber ns, const ObjectId& id);
  // Calls `visit` for each alarm of the namespace with the object and the time when it is due. It
  // must not use the catalog.
  void for_each_alarm(NamespaceNumber ns,
                      const std::function<void(const ObjectId&, std::uint64_t due_ms)>& visit);
  // The keys of the namespaces that have alarms.
  [[nodiscard]] std::vector<std::string> keys_with_alarms();
  // The LSN of the last commit: what an alarm that is read now depends on.
  [[nodiscard]] Lsn last_lsn();

  // A change of an object's alarm (none: it has none any more), to be committed together with what
  // the object commits, or by itself. The catalog is locked from stage() until this goes. One
  // thread.
  class AlarmChange : public store::Companion {
   public:
    AlarmChange(Catalog& catalog, NamespaceNumber ns, const ObjectId& id, std::string_view name,
                const std::optional<object::Alarm>& alarm);
    ~AlarmChange() override;
    AlarmChange(const AlarmChange&) = delete;
    AlarmChange& operator=(const AlarmChange&) = delete;

    store::Database& stage() override;
    Lsn commit_alone();

   protected:
    // Makes the change, in the open transaction.
    virtual void make();

    const std::shared_ptr<Impl> impl_;
    const NamespaceNumber ns_;
    const ObjectId id_;

   private:
    const std::string_view name_;
    const std::optional<object::Alarm> alarm_;
    std::unique_lock<std::mutex> lock_;
  };

  // A restore that waits for the next session of its object: see runtime/point_in_time.h.
  struct ScheduledRestore {
    std::uint32_t number = 0;       // 1 to kRestoreNumberMax
    std::optional<Lsn> target_lsn;  // none: nothing is to be taken back
  };
  // What a record's flags have room for. Numbers begin anew after it.
  static constexpr std::uint32_t kRestoreNumberMax = (1u << 24) - 1;
  // Notes it, in place of the one that waited. Returns its number and what knowing it depends on.
  struct NotedRestore {
    std::uint32_t number = 0;
    Lsn lsn = 0;
  };
  NotedRestore schedule_restore(NamespaceNumber ns, const ObjectId& id,
                                std::optional<Lsn> target_lsn);
  // Costs next to nothing while no object has one.
  [[nodiscard]] std::optional<ScheduledRestore> find_restore(NamespaceNumber ns,
                                                             const ObjectId& id);
  // Returns what the object's state depends on now.
  Lsn give_up_restore(const ObjectId& id);

  // The restore is done, and this is the alarm of the restored state.
  class RestoreChange final : public AlarmChange {
   public:
    using AlarmChange::AlarmChange;

   private:
    void make() override;
  };

  // Cron triggers: by expression, when its last run was due (or when it was there first), in
  // milliseconds since 1970. What is kept replaces all that was.
  struct CronRun {
    std::string expression;
    std::uint64_t last_ms = 0;
  };
  [[nodiscard]] std::vector<CronRun> cron_runs();
  void keep_cron_runs(std::span<const CronRun> runs);

  // True when the object has ever committed anything; with key-value storage, when it has keys.
  bool contains(NamespaceNumber ns, const ObjectId& id);

 private:
  void discard_unfinished_adoptions();

  std::shared_ptr<Impl> impl_;  // shared with the store, whose last checkpoint needs it
};

}  // namespace perdure::runtime
