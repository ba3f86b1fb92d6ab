#include "perdure/engine.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "native/engine_state.h"

namespace perdure {
namespace native {
namespace {

// Longer than there has been anything to keep.
constexpr std::chrono::milliseconds kNothingExpires = std::chrono::hours(24 * 365 * 100);

}  // namespace

store::StoreOptions store_options(const std::filesystem::path& directory, const Options& options) {
  const auto retention = options.history_retention.value_or(kNothingExpires);
  if (retention.count() < 0)
    throw Error(ErrorCode::kInvalid, "Options::history_retention must not be negative.");
  store::StoreOptions out;
  out.directory = directory;
  out.history.enabled = retention.count() > 0;
  // What is there stays when nothing is added.
  out.history.retention_ms =
      (out.history.enabled ? std::min(retention, kNothingExpires) : kNothingExpires).count();
  out.history.bytes_max =
      options.history_bytes_max.value_or(std::numeric_limits<std::uint64_t>::max());
  return out;
}

std::shared_ptr<EngineState> EngineState::open(store::StoreOptions options,
                                               std::function<void(const std::string&)> on_failure) {
  auto state = std::make_shared<EngineState>();
  // The log and the checkpointer may both fail, each once. The store's threads end before the
  // state.
  options.on_poisoned = [engine = state.get(), on_failure = std::move(on_failure),
                         once = std::make_shared<std::once_flag>()](const std::string& message) {
    std::call_once(*once, [&] {
      engine->failure_ = message;
      engine->failed_.store(true, std::memory_order_release);
      if (on_failure) on_failure(message);
    });
  };
  state->store_ = store::Store::open(std::move(options));
  state->catalog_ = std::make_unique<runtime::Catalog>(*state->store_);
  return state;
}

EngineState::Use::Use(EngineState& engine) : engine_(engine) {
  const std::scoped_lock lock(engine.mutex_);
  if (engine.store_ == nullptr) throw Error(ErrorCode::kInvalid, "The engine has been closed.");
  ++engine.uses_;
}

EngineState::Use::~Use() {
  const std::scoped_lock lock(engine_.mutex_);
  --engine_.uses_;
}

void EngineState::throw_failure() const {
  throw Error(ErrorCode::kPoisoned,
              failure_ +
                  " Nothing can be written any more: end the program, and open the data "
                  "directory again when the disk is well.");
}

void EngineState::claim(const runtime::ObjectId& id) {
  const std::scoped_lock lock(mutex_);
  if (!open_.insert(id.bytes()).second) {
    throw Error(ErrorCode::kLocked, "The object " + id.hex() +
                                        " is open already in this process. Close its Storage "
                                        "first, or use that one.");
  }
}

void EngineState::give_back(const runtime::ObjectId& id) noexcept {
  const std::scoped_lock lock(mutex_);
  open_.erase(id.bytes());
}

void EngineState::close() {
  std::unique_ptr<store::Store> closing;
  {
    const std::scoped_lock lock(mutex_);
    if (store_ == nullptr) return;
    if (!open_.empty() || uses_ > 0) {
      throw Error(ErrorCode::kInvalid,
                  "The engine cannot be closed while " +
                      (open_.empty() ? "another thread uses it."
                                     : std::to_string(open_.size()) +
                                           " of its objects are open. Close each Storage first."));
    }
    catalog_.reset();
    closing = std::move(store_);
  }
  closing->close();
}

}  // namespace native

namespace {

// The file that makes a folder a data directory (store/data_directory.h).
constexpr char kFormatFile[] = "format";

StorageKind public_kind(runtime::StorageKind kind) {
  return kind == runtime::StorageKind::kKeyValue ? StorageKind::kKeyValue : StorageKind::kSqlite;
}

runtime::StorageKind runtime_kind(StorageKind kind) {
  return kind == StorageKind::kKeyValue ? runtime::StorageKind::kKeyValue
                                        : runtime::StorageKind::kSqlite;
}

// Of the keys that an error names.
constexpr std::size_t kKeysNamedMax = 20;

std::string listed(const std::vector<Namespace>& namespaces) {
  if (namespaces.empty()) return "It has none.";
  std::string text = "It has:";
  for (std::size_t i = 0; i < std::min(namespaces.size(), kKeysNamedMax); ++i)
    text += (i == 0 ? " \"" : ", \"") + namespaces[i].key() + '"';
  return text + (namespaces.size() > kKeysNamedMax ? ", …" : ".");
}

void replace(std::string& text, std::string_view old, std::string_view with) {
  if (const auto at = text.find(old); at != std::string::npos) text.replace(at, old.size(), with);
}

// The store speaks of processes and of the command line.
Error in_words_of_programs(const Error& error) {
  std::string message = error.what();
  replace(message, " with --data", "");
  replace(message, "in use by another process. Stop that one",
          "in use by another process, or open in this one. Stop or close that");
  return Error(error.code(), message);
}

}  // namespace

Engine Engine::open(const std::filesystem::path& directory, Options options) {
  if (!options.create_if_missing && !real_file_system().exists(directory / kFormatFile)) {
    throw Error(ErrorCode::kNotFound,
                "There is no data directory " + directory.string() +
                    ". Name the folder that holds the file \"format\", or set "
                    "Options::create_if_missing.");
  }
  auto store_options = native::store_options(directory, options);
  try {
    return Engine(
        native::EngineState::open(std::move(store_options), std::move(options.on_failure)));
  } catch (const SqlError&) {
    throw;
  } catch (const Error& error) {
    throw in_words_of_programs(error);
  }
}

Engine::Engine(std::shared_ptr<native::EngineState> state) noexcept : state_(std::move(state)) {}
Engine::Engine(Engine&& other) noexcept = default;
Engine& Engine::operator=(Engine&& other) noexcept = default;
Engine::~Engine() = default;

std::vector<Namespace> Engine::namespaces() const {
  const native::EngineState::Use use(*state_);
  std::vector<Namespace> found;
  for (const auto& [number, known] : use.catalog().namespaces())
    found.push_back(Namespace(state_, number, known.key, public_kind(known.kind)));
  std::sort(found.begin(), found.end(),
            [](const Namespace& a, const Namespace& b) { return a.key() < b.key(); });
  return found;
}

Namespace Engine::get_namespace(std::string_view key) const {
  const auto all = namespaces();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Namespace& each) { return each.key() == key; });
  if (found == all.end()) {
    throw Error(ErrorCode::kNotFound,
                "The data directory has no namespace \"" + std::string(key) + "\". " + listed(all));
  }
  return *found;
}

Namespace Engine::open_namespace(std::string_view key, StorageKind kind) const {
  if (key.empty()) throw Error(ErrorCode::kInvalid, "A namespace needs a key that is not empty.");
  const native::EngineState::Use use(*state_);
  state_->check_writable();
  const auto number = use.catalog().open_namespace(key, runtime_kind(kind));
  return Namespace(state_, number, std::string(key), kind);
}

void Engine::wait_durable(Lsn lsn) const {
  const native::EngineState::Use use(*state_);
  use.store().log().wait_durable(lsn);
}

Lsn Engine::durable_lsn() const {
  const native::EngineState::Use use(*state_);
  return use.store().log().durable_lsn();
}

void Engine::sync() const {
  const native::EngineState::Use use(*state_);
  use.store().log().wait_durable(use.store().log().appended_lsn());
}

void Engine::checkpoint() const {
  const native::EngineState::Use use(*state_);
  state_->check_writable();
  use.store().checkpoint();
}

void Engine::close() {
  if (state_ != nullptr) state_->close();
}

}  // namespace perdure
