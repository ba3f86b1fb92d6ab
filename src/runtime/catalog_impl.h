#pragma once

// The inside of the catalog, for the files that it is made of: catalog.cc, catalog_alarms.cc,
// catalog_restores.cc.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "runtime/catalog.h"
#include "sqlite3.h"
#include "store/database.h"
#include "store/shared_key_value.h"
#include "store/store.h"

namespace perdure::runtime {

// The map of objects without a row is not swept below this size.
inline constexpr std::size_t kSweepMin = 1024;

// A row of `objects`.
struct KnownObject {
  ObjectNumber number = 0;
  NamespaceNumber ns = 0;
  store::Head head;
  std::uint64_t bytes = 0;  // of its file, as the last checkpoint that wrote it left it
  bool has_name = false;
};

struct IdHash {
  // An id is the output of an HMAC: any eight bytes of it are a good hash.
  std::size_t operator()(const ObjectId& id) const noexcept {
    std::size_t hash;
    std::memcpy(&hash, id.bytes().data(), sizeof hash);
    return hash;
  }
};

// Also what the store's checkpoint calls, so it lives until the store has closed.
struct Catalog::Impl : store::CheckpointHooks, std::enable_shared_from_this<Catalog::Impl> {
  explicit Impl(store::Store& store_of_catalog);

  std::string path(ObjectNumber number) override;
  void save_heads(std::span<const store::HeadUpdate> updates) override;
  void closing() noexcept override;

  // With the mutex held, except for insert_object(), name_object() and the three above, which take
  // it.
  void open();
  void upgrade();
  void require_open();
  NamespaceNumber open_namespace(std::string_view key, StorageKind kind);
  std::shared_ptr<store::SharedKeyValue> open_key_values();
  std::shared_ptr<store::DatabaseFile> object(NamespaceNumber ns, const ObjectId& id,
                                              std::string_view name);
  bool contains(NamespaceNumber ns, const ObjectId& id);
  std::optional<StoredAlarm> find_alarm(NamespaceNumber ns, const ObjectId& id);
  void put_alarm(NamespaceNumber ns, const ObjectId& id, std::string_view name,
                 const object::Alarm& alarm);
  void remove_alarm(NamespaceNumber ns, const ObjectId& id);
  void remove_restore(const ObjectId& id);
  void save_checksums(ObjectNumber number, std::uint32_t pages,
                      std::span<const store::PageChecksum> written);
  void checksums_are_up_to_date();
  void drop_outdated_checksums();
  std::vector<std::uint32_t> checksums(ObjectNumber number, std::uint32_t chunk);
  void give_checksums(store::DatabaseFile& file);
  void forget_checksums(store::DatabaseFile& file, std::span<const std::uint32_t> pages);
  void put_checksums(ObjectNumber number, std::uint32_t pages,
                     std::span<const store::PageChecksum> written);
  void note_adoptions(std::span<const Adoption> adoptions);
  void finish_adoptions(std::span<const Adoption> adoptions);
  std::vector<store::KeyOwner> unfinished_adoptions();
  [[nodiscard]] bool is_key_value(NamespaceNumber ns) const {
    return find_namespace(ns).kind == StorageKind::kKeyValue;
  }
  void insert_object(ObjectNumber number, NamespaceNumber ns, const ObjectId& id,
                     const std::string& name);
  void name_object(ObjectNumber number, const std::string& name);

  store::Statement& prepared(store::Statement& statement, const char* sql);
  template <typename Body>
  void transaction(Body&& body);
  void require_in_log(const store::Head& head, const std::string& path) const;
  std::optional<KnownObject> find(const ObjectId& id);
  std::shared_ptr<store::DatabaseFile> new_object(NamespaceNumber ns, const ObjectId& id,
                                                  std::string_view name);
  void name_later(store::DatabaseFile& file, std::string_view name);
  void sweep_rowless();
  [[nodiscard]] const Namespace& find_namespace(NamespaceNumber ns) const;
  [[nodiscard]] const std::string& key_of(NamespaceNumber ns) const {
    return find_namespace(ns).key;
  }

  struct Statements {
    store::Statement find;
    store::Statement insert;
    store::Statement save_head;
    store::Statement count_checkpoint;
    store::Statement find_path;
    store::Statement put_alarm;
    store::Statement remove_alarm;
    store::Statement find_alarm;
    store::Statement put_restore;
    store::Statement find_restore;
    store::Statement remove_restore;
    store::Statement has_restores;
    store::Statement find_checksums;
    store::Statement list_checksums;
    store::Statement put_checksums;
    store::Statement drop_checksums;
    store::Statement date_checksums;
  };

  store::Store& store;
  std::mutex mutex;
  std::unique_ptr<store::Database> database;
  Statements statements;
  boost::unordered_flat_map<NamespaceNumber, Namespace> namespaces;
  std::shared_ptr<store::SharedKeyValue> key_values;  // once asked for
  ObjectNumber next_number = 0;
  // False: no restore waits. Becomes true with the mutex held; read without it.
  std::atomic<bool> restores_wait{true};
  // Objects that have a number and no row yet. An entry goes with the row; those that were let go
  // without a commit are swept when the map has doubled.
  boost::unordered_flat_map<ObjectId, std::weak_ptr<store::DatabaseFile>, IdHash> rowless;
  std::size_t sweep_at = kSweepMin;
};

template <typename Body>
void Catalog::Impl::transaction(Body&& body) {
  database->begin();
  try {
    body();
  } catch (...) {
    database->rollback();
    throw;
  }
  database->commit();
}

// Runs a statement that returns nothing.
inline void run(store::Database& database, store::Statement& statement) {
  database.step(statement);
  const int code = sqlite3_reset(statement.handle());
  if (code != SQLITE_OK) throw database.error(code);
}

// Steps to the first row; the statement is reset when the guard goes.
class Row {
 public:
  Row(store::Database& database, store::Statement& statement) : handle_(statement.handle()) {
    const int code = database.step(statement);
    found_ = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
      const store::SqlError error = database.error(code);
      sqlite3_reset(handle_);
      throw error;
    }
  }
  ~Row() { sqlite3_reset(handle_); }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  explicit operator bool() const noexcept { return found_; }
  [[nodiscard]] std::int64_t integer(int column) const {
    return sqlite3_column_int64(handle_, column);
  }
  [[nodiscard]] std::string_view bytes(int column) const {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(handle_, column));
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
  }

 private:
  sqlite3_stmt* handle_;
  bool found_ = false;
};

inline void bind_id(store::Statement& statement, int index, const ObjectId& id) {
  sqlite3_bind_blob(statement.handle(), index, id.bytes().data(),
                    static_cast<int>(id.bytes().size()), SQLITE_STATIC);
}

inline void bind_text(store::Statement& statement, int index, std::string_view text) {
  sqlite3_bind_text(statement.handle(), index, text.data(), static_cast<int>(text.size()),
                    SQLITE_STATIC);
}

// An id without a name has NULL.
inline void bind_name(store::Statement& statement, int index, std::string_view name) {
  if (name.empty()) {
    sqlite3_bind_null(statement.handle(), index);
  } else {
    bind_text(statement, index, name);
  }
}

inline void bind_integer(store::Statement& statement, int index, std::uint64_t value) {
  sqlite3_bind_int64(statement.handle(), index, static_cast<std::int64_t>(value));
}

// Until the statement's next step.
inline std::string_view column_bytes(const store::Statement& statement, int column) {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement.handle(), column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement.handle(), column))};
}

inline std::string column_text(const store::Statement& statement, int column) {
  return std::string(column_bytes(statement, column));
}

// From the column `id`.
inline ObjectId object_id(std::string_view column) {
  ObjectId::Bytes bytes{};
  std::memcpy(bytes.data(), column.data(), std::min(column.size(), bytes.size()));
  return ObjectId(bytes);
}

}  // namespace perdure::runtime
