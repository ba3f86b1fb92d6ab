#include "node/engine_binding.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "base/memory.h"
#include "node/admin_binding.h"
#include "node/http_binding.h"
#include "node/shard_binding.h"
#include "node/work.h"
#include "store/foreign_database.h"

namespace perdure::node {

DataDirectory::DataDirectory() : http(std::make_unique<HttpFront>()) {}
DataDirectory::~DataDirectory() = default;

store::Store& Engine::open_store() const {
  if (directory->store == nullptr)
    throw Error(ErrorCode::kInvalid, "The data directory has been closed.");
  return *directory->store;
}

runtime::Catalog& Engine::open_catalog() const {
  open_store();
  return *directory->catalog;
}

const runtime::ObjectIdFactory& Engine::id_factory(std::uint32_t ns) const {
  if (ns >= ids.size() || ids[ns] == nullptr)
    throw Error(ErrorCode::kInvalid, "there is no namespace " + std::to_string(ns));
  return *ids[ns];
}

namespace {

// A data directory in memory: the log gives its room back early, as it is the memory of a test.
constexpr char kMemoryDirectory[] = "/memory";
constexpr std::uint64_t kMemorySegmentBytes = 4 << 20;

// What such a directory keeps of the past, which is memory as well.
constexpr std::uint64_t kMemoryHistoryBytesMax = 64 << 20;

// Committed pages that wait for the checkpoint may take this part of the process's memory; commits
// wait for it at twice that (store::StoreOptions::dirty_bytes_max).
constexpr std::uint64_t kDirtyPartOfMemory = 16;

// openNamespace(key, whether its objects have key-value storage)
napi_value open_namespace(napi_env env, napi_callback_info info) {
  Call<Engine, 2> call(env, info);
  const std::string key = call.utf8(0);
  const runtime::NamespaceNumber number = call.self->open_catalog().open_namespace(
      key, call.boolean(1) ? runtime::StorageKind::kKeyValue : runtime::StorageKind::kSqlite);
  auto& ids = call.self->ids;
  if (ids.size() <= number) ids.resize(number + 1);
  if (ids[number] == nullptr) ids[number] = std::make_unique<runtime::ObjectIdFactory>(key);
  return make_number(env, number);
}

napi_value id_from_name(napi_env env, napi_callback_info info) {
  Call<Engine, 2> call(env, info);
  return make_latin1(env, call.self->id_factory(call.uint(0)).from_name(call.utf8(1)).hex());
}

napi_value unique_id(napi_env env, napi_callback_info info) {
  Call<Engine, 1> call(env, info);
  return make_latin1(env, call.self->id_factory(call.uint(0)).unique().hex());
}

// -> true when the text is an id of the namespace
napi_value is_id(napi_env env, napi_callback_info info) {
  Call<Engine, 2> call(env, info);
  return make_bool(env, call.self->id_factory(call.uint(0)).from_string(call.utf8(1)).has_value());
}

runtime::ObjectId id_of(Engine& engine, std::uint32_t ns, const std::string& hex) {
  const auto id = engine.id_factory(ns).from_string(hex);
  if (!id) throw Error(ErrorCode::kInvalid, "The id " + hex + " was not made for this namespace.");
  return *id;
}

// (namespace, hex id) -> whether there is such an object
napi_value has_object(napi_env env, napi_callback_info info) {
  Call<Engine, 2> call(env, info);
  const std::uint32_t ns = call.uint(0);
  return make_bool(env,
                   call.self->open_catalog().contains(ns, id_of(*call.self, ns, call.utf8(1))));
}

// ([{ namespace, id, file, alarmMs (0: none), name }])
napi_value adopt(napi_env env, napi_callback_info info) {
  Call<Engine, 1> call(env, info);
  runtime::Catalog& catalog = call.self->open_catalog();
  std::vector<runtime::Adoption> adoptions;
  std::uint32_t count = 0;
  check(env, napi_get_array_length(env, call.args[0], &count));
  for (std::uint32_t i = 0; i < count; ++i) {
    napi_value each = nullptr;
    check(env, napi_get_element(env, call.args[0], i, &each));
    const auto text = [&](const char* name) {
      napi_value value = nullptr;
      check(env, napi_get_named_property(env, each, name, &value));
      std::string out;
      append_utf8(env, value, out);
      return out;
    };
    const auto number = [&](const char* name) {
      napi_value value = nullptr;
      check(env, napi_get_named_property(env, each, name, &value));
      double out = 0;
      check(env, napi_get_value_double(env, value, &out));
      return out;
    };
    const auto ns = static_cast<std::uint32_t>(number("namespace"));
    const double alarm_ms = number("alarmMs");
    adoptions.push_back(
        {ns, id_of(*call.self, ns, text("id")), text("file"),
         alarm_ms > 0 ? std::optional(static_cast<std::uint64_t>(alarm_ms)) : std::nullopt,
         text("name")});
  }
  catalog.adopt(adoptions);
  return nullptr;
}

// (source, target, whether its object has key-value storage) -> when the object's alarm is due, or
// undefined
napi_value copy_database(napi_env env, napi_callback_info info) {
  Call<void, 3> call(env, info);
  const auto found = store::copy_foreign_database(
      call.utf8(0), call.utf8(1),
      call.boolean(2) ? store::ForeignUse::kKeyValue : store::ForeignUse::kDatabase);
  return found.alarm_ms ? make_number(env, static_cast<double>(*found.alarm_ms)) : nullptr;
}

// (copy of workerd's metadata.sqlite) -> [id, time, name or "", …]
napi_value foreign_alarms(napi_env env, napi_callback_info info) {
  Call<void, 1> call(env, info);
  napi_value out = nullptr;
  check(env, napi_create_array(env, &out));
  std::uint32_t i = 0;
  for (const auto& [id, time_ms, name] : store::foreign_alarms(call.utf8(0))) {
    check(env, napi_set_element(env, out, i++, make_string(env, id)));
    check(env, napi_set_element(env, out, i++, make_number(env, static_cast<double>(time_ms))));
    check(env, napi_set_element(env, out, i++, make_string(env, name)));
  }
  return out;
}

// -> the keys of the namespaces that have alarms
napi_value keys_with_alarms(napi_env env, napi_callback_info info) {
  Call<Engine, 0> call(env, info);
  call.self->open_store();
  napi_value out = nullptr;
  check(env, napi_create_array(env, &out));
  std::uint32_t i = 0;
  for (const std::string& key : call.self->open_catalog().keys_with_alarms())
    check(env, napi_set_element(env, out, i++, make_string(env, key)));
  return out;
}

// -> [expression, last run, …]
napi_value cron_runs(napi_env env, napi_callback_info info) {
  Call<Engine, 0> call(env, info);
  call.self->open_store();
  napi_value out = nullptr;
  check(env, napi_create_array(env, &out));
  std::uint32_t i = 0;
  for (const auto& [expression, last_ms] : call.self->open_catalog().cron_runs()) {
    check(env, napi_set_element(env, out, i++, make_string(env, expression)));
    check(env, napi_set_element(env, out, i++, make_number(env, static_cast<double>(last_ms))));
  }
  return out;
}

// keepCronRuns([expression, last run, …])
napi_value keep_cron_runs(napi_env env, napi_callback_info info) {
  Call<Engine, 1> call(env, info);
  call.self->open_store();
  std::vector<runtime::Catalog::CronRun> runs;
  std::uint32_t count = 0;
  check(env, napi_get_array_length(env, call.args[0], &count));
  for (std::uint32_t i = 0; i + 1 < count; i += 2) {
    napi_value expression = nullptr;
    napi_value last = nullptr;
    check(env, napi_get_element(env, call.args[0], i, &expression));
    check(env, napi_get_element(env, call.args[0], i + 1, &last));
    runtime::Catalog::CronRun run;
    append_utf8(env, expression, run.expression);
    double last_ms = 0;
    check(env, napi_get_value_double(env, last, &last_ms));
    run.last_ms = static_cast<std::uint64_t>(last_ms);
    runs.push_back(std::move(run));
  }
  call.self->open_catalog().keep_cron_runs(runs);
  call.self->open_store().log().flush();
  return nullptr;
}

napi_value checkpoint(napi_env env, napi_callback_info info) {
  Call<Engine, 0> call(env, info);
  call.self->open_store().checkpoint();
  return nullptr;
}

// The checkpoint frees the memory of committed pages; it goes on beside this.
napi_value request_checkpoint(napi_env env, napi_callback_info info) {
  Call<Engine, 0> call(env, info);
  call.self->open_store().request_checkpoint();
  return nullptr;
}

napi_value release_memory(napi_env /*env*/, napi_callback_info /*info*/) {
  release_free_memory();
  return nullptr;
}

napi_value close_engine(napi_env env, napi_callback_info info) {
  Call<Engine, 0> call(env, info);
  call.self->open_store();
  DataDirectory& directory = *call.self->directory;
  directory.catalog.reset();
  const auto store = std::move(directory.store);
  store->close();
  directory.memory.reset();
  return nullptr;
}

napi_value recovery(napi_env env, const log::RecoveryReport& report) {
  napi_value out = make_object(env);
  set(env, out, "records", make_number(env, static_cast<double>(report.records)));
  set(env, out, "cutBytes", make_number(env, static_cast<double>(report.cut_bytes)));
  set(env, out, "cutFile", make_string(env, report.cut_file));
  set(env, out, "cutOffset", make_number(env, static_cast<double>(report.cut_offset)));
  return out;
}

// The data directories that other environments can attach to.
class OpenDirectories {
 public:
  std::uint32_t add(const std::shared_ptr<DataDirectory>& directory) {
    const std::lock_guard lock(mutex_);
    std::erase_if(directories_, [](const auto& entry) { return entry.second.expired(); });
    directories_[++last_] = directory;
    return last_;
  }

  std::shared_ptr<DataDirectory> find(std::uint32_t token) {
    const std::lock_guard lock(mutex_);
    const auto found = directories_.find(token);
    auto directory = found == directories_.end() ? nullptr : found->second.lock();
    if (directory == nullptr)
      throw Error(ErrorCode::kNotFound, "There is no open data directory with this token.");
    return directory;
  }

 private:
  std::mutex mutex_;
  std::uint32_t last_ = 0;
  std::map<std::uint32_t, std::weak_ptr<DataDirectory>> directories_;
};

OpenDirectories& open_directories() {
  static OpenDirectories directories;
  return directories;
}

napi_value make_engine(napi_env env, std::shared_ptr<DataDirectory> directory) {
  auto owner = std::make_unique<Engine>();
  owner->directory = std::move(directory);
  Engine* engine = owned_by_environment(env, std::move(owner));
  napi_value out = make_object(env);
  set(env, out, "recovery", recovery(env, engine->open_store().recovery()));
  method<open_namespace>(env, out, "openNamespace", engine);
  method<id_from_name>(env, out, "idFromName", engine);
  method<unique_id>(env, out, "uniqueId", engine);
  method<is_id>(env, out, "isId", engine);
  method<has_object>(env, out, "hasObject", engine);
  method<adopt>(env, out, "adopt", engine);
  method<keys_with_alarms>(env, out, "keysWithAlarms", engine);
  method<cron_runs>(env, out, "cronRuns", engine);
  method<keep_cron_runs>(env, out, "keepCronRuns", engine);
  method<checkpoint>(env, out, "checkpoint", engine);
  method<request_checkpoint>(env, out, "requestCheckpoint", engine);
  method<close_engine>(env, out, "close", engine);
  method<create_shard>(env, out, "createShard", engine);
  define_http_front(env, out, engine);
  define_admin(env, out, engine);
  return out;
}

napi_value open_engine(napi_env env, napi_callback_info info) {
  Call<void, 4> call(env, info);
  auto directory = std::make_shared<DataDirectory>();
  store::StoreOptions options;
  if (call.type(0) == napi_undefined) {
    directory->memory = std::make_unique<SimulatedFileSystem>(
        SimulatedFileSystem::Options{.tracks_unsynced = false});
    options.file_system = directory->memory.get();
    options.directory = kMemoryDirectory;
    options.segment_bytes = kMemorySegmentBytes;
    options.checkpoint_log_bytes = 2 * kMemorySegmentBytes;
    options.history.bytes_max = kMemoryHistoryBytesMax;
  } else {
    options.directory = call.utf8(0);
  }
  if (call.type(1) != napi_undefined)
    options.dirty_bytes_max = std::min(options.dirty_bytes_max, call.u64(1) / kDirtyPartOfMemory);
  if (call.type(2) != napi_undefined) {
    options.history.retention_ms = static_cast<std::int64_t>(call.number(2));
    options.history.enabled = options.history.retention_ms > 0;
  }
  if (call.type(3) != napi_undefined) options.history.bytes_max = call.u64(3);
  options.flush_on_append = false;  // the shard knows where a batch ends: Shard.flush()
  directory->store = store::Store::open(std::move(options));
  directory->catalog = std::make_unique<runtime::Catalog>(*directory->store);
  const std::uint32_t token = open_directories().add(directory);
  napi_value out = make_engine(env, std::move(directory));
  set(env, out, "token", make_number(env, token));
  return out;
}

napi_value attach_engine(napi_env env, napi_callback_info info) {
  Call<void, 1> call(env, info);
  return make_engine(env, open_directories().find(call.uint(0)));
}

}  // namespace

void define_engine(napi_env env, napi_value exports) {
  method<open_engine>(env, exports, "openEngine", nullptr);
  method<attach_engine>(env, exports, "attachEngine", nullptr);
  method<release_memory>(env, exports, "releaseFreeMemory", nullptr);
  method<copy_database>(env, exports, "copyDatabase", nullptr);
  method<foreign_alarms>(env, exports, "foreignAlarms", nullptr);
  define_verify(env, exports);
  define_work(env, exports);
}

}  // namespace perdure::node
