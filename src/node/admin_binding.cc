#include "node/admin_binding.h"

#include <cmath>
#include <exception>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "log/verify.h"
#include "node/task.h"
#include "node/work.h"
#include "runtime/point_in_time.h"
#include "sqlite3.h"
#include "store/database_file.h"
#include "store/pair_export.h"
#include "store/read_view.h"
#include "store/shared_key_value.h"
#include "store/view_database.h"

namespace perdure::node {
namespace {

// A batch of rows ends when its values have so many bytes.
constexpr std::size_t kBatchBytesMax = std::size_t{256} << 10;
// A row of a query on an object's database may have so many: all of them are in memory several
// times on their way out.
constexpr std::size_t kRowBytesMax = std::size_t{16} << 20;
// Pages that are read at once, in bytes.
constexpr std::size_t kPagesBytesMax = std::size_t{1} << 20;
// Views of one environment at one time.
constexpr std::size_t kViewsMax = 256;
// Whole numbers up to here a JavaScript number has exactly.
constexpr std::int64_t kExactMax = (std::int64_t{1} << 53) - 1;

using Blob = std::vector<std::byte>;
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;

// One view, and the query that runs on it. Used by one task at a time.
struct OpenView {
  std::shared_ptr<DataDirectory> directory;  // the store must not go before
  std::shared_ptr<store::ReadView> view;
  std::optional<store::ViewDatabase> database;  // from the start: interruptView() uses it
  std::exception_ptr unreadable;                // … unless its first page is damaged: so it says
  store::Statement statement;
  bool ended = true;
  bool is_shared =
      false;  // the file of the objects with key-value storage, whose values are larger
  ~OpenView() {
    statement = {};
    database.reset();
    view.reset();
  }
};

struct Admin {
  explicit Admin(Engine& owner) : engine(owner) {}
  // The environment goes, whatever its operators wait for: a query may have no end of its own.
  ~Admin() {
    for (const auto& [number, open] : views)
      if (open->database) open->database->interrupt();
    threads.stop();
  }
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  std::shared_ptr<OpenView> find(std::uint32_t number) const {
    const auto it = views.find(number);
    if (it == views.end())
      throw Error(ErrorCode::kInvalid, "there is no view " + std::to_string(number));
    return it->second;
  }

  Engine& engine;
  std::uint32_t last = 0;
  std::unordered_map<std::uint32_t, std::shared_ptr<OpenView>> views;
  TaskThreads threads;
};

napi_value make_array(napi_env env, std::size_t size) {
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, size, &out));
  return out;
}

napi_value namespaces(napi_env env, napi_callback_info info) {
  Call<Admin, 0> call(env, info);
  napi_value out = make_array(env, 0);
  std::uint32_t i = 0;
  for (const auto& [number, known] : call.self->engine.open_catalog().namespaces()) {
    const bool keyed = known.kind == runtime::StorageKind::kKeyValue;
    check(env, napi_set_element(env, out, i++, make_number(env, number)));
    check(env, napi_set_element(env, out, i++, make_string(env, known.key)));
    check(env, napi_set_element(env, out, i++, make_bool(env, keyed)));
  }
  return out;
}

std::unique_ptr<store::ReadView> view_of(runtime::Catalog& catalog, std::int64_t ns,
                                         const std::optional<runtime::ObjectId>& id) {
  if (ns < 0) return catalog.view_catalog();
  if (!id) return catalog.view_key_values();
  return catalog.view(static_cast<runtime::NamespaceNumber>(ns), *id);
}

// The past of an object with SQLite storage.
struct ObjectPast {
  const std::shared_ptr<DataDirectory> directory;
  const runtime::NamespaceNumber ns;
  const runtime::ObjectId id;
  const StopCheck stopped;
  runtime::PointInTime point_in_time{*directory->store, *directory->catalog, stopped};

  [[nodiscard]] runtime::PastOf object() const { return {ns, id, {}}; }
  // The one that is asked for must be there: whatever asks would make it otherwise.
  [[nodiscard]] std::unique_ptr<store::ReadView> view(const std::string& bookmark) {
    return point_in_time.view(object(), bookmark);
  }
};

ObjectPast past_of(const std::shared_ptr<DataDirectory>& directory, std::int64_t ns,
                   const runtime::ObjectId& id, StopCheck stopped) {
  const auto number = static_cast<runtime::NamespaceNumber>(ns);
  static_cast<void>(directory->catalog->view(number, id));  // throws when it is not there
  return {directory, number, id, std::move(stopped)};
}

void wait_for_all(const DataDirectory& directory) {
  log::Log& log = directory.store->log();
  log.wait_durable(log.appended_lsn());
}

napi_value open_view(napi_env env, napi_callback_info info) {
  Call<Admin, 5> call(env, info);
  Admin& admin = *call.self;
  if (admin.views.size() >= kViewsMax)
    throw Error(ErrorCode::kFull, "Too much is being read at one time. Try again.");
  const auto ns = static_cast<std::int64_t>(call.number(0));
  std::optional<runtime::ObjectId> id;
  if (const std::string hex = call.latin1(1); !hex.empty()) {
    id = admin.engine.id_factory(static_cast<std::uint32_t>(ns)).from_string(hex);
    if (!id) throw Error(ErrorCode::kInvalid, "this id is not of the namespace");
  }
  runtime::Catalog& catalog = admin.engine.open_catalog();
  const auto open = std::make_shared<OpenView>();
  open->directory = admin.engine.directory;
  open->is_shared =
      ns >= 0 && catalog.find_namespace(static_cast<runtime::NamespaceNumber>(ns)).kind ==
                     runtime::StorageKind::kKeyValue;
  // What an import has brought may be larger than what objects write.
  const int value_bytes_max = call.boolean(3)   ? std::numeric_limits<int>::max()
                              : open->is_shared ? store::SharedKeyValue::kRowBytesMax
                                                : store::ViewDatabase::kValueBytesMax;
  return admin.threads.promise_of(
      env,
      [open, &catalog, ns, id, value_bytes_max, bookmark = call.utf8(2),
       stopped = stop_check(work_of(env, call.args[4]), admin.threads)] {
        open->view = bookmark.empty() ? view_of(catalog, ns, id)
                                      : past_of(open->directory, ns, *id, stopped).view(bookmark);
        try {
          open->database.emplace(open->view, value_bytes_max);
        } catch (const Error& error) {
          if (error.code() != ErrorCode::kCorrupt) throw;
          open->unreadable = std::current_exception();  // its file can be checked all the same
        }
        open->directory->store->log().wait_durable(open->view->lsn());
      },
      [open, &admin](napi_env on) {
        const std::uint32_t number = ++admin.last;
        admin.views[number] = open;
        napi_value out = make_array(on, 3);
        check(on, napi_set_element(on, out, 0, make_number(on, number)));
        check(on, napi_set_element(on, out, 1, make_number(on, open->view->page_size())));
        check(on, napi_set_element(on, out, 2, make_number(on, open->view->page_count())));
        return out;
      });
}

using Parameter = std::variant<std::int64_t, std::string>;

std::vector<Parameter> parameters_of(napi_env env, napi_value array) {
  std::vector<Parameter> parameters;
  std::uint32_t count = 0;
  check(env, napi_get_array_length(env, array, &count));
  for (std::uint32_t i = 0; i < count; ++i) {
    napi_value value = nullptr;
    napi_valuetype type = napi_undefined;
    check(env, napi_get_element(env, array, i, &value));
    check(env, napi_typeof(env, value, &type));
    if (type == napi_number) {
      std::int64_t number = 0;
      check(env, napi_get_value_int64(env, value, &number));
      parameters.emplace_back(number);
    } else {
      std::string text;
      append_utf8(env, value, text);
      parameters.emplace_back(std::move(text));
    }
  }
  return parameters;
}

void bind_all(const store::Statement& statement, const std::vector<Parameter>& parameters) {
  int index = 0;
  for (const Parameter& parameter : parameters) {
    ++index;
    if (const auto* number = std::get_if<std::int64_t>(&parameter)) {
      sqlite3_bind_int64(statement.handle(), index, *number);
    } else {
      const auto& text = std::get<std::string>(parameter);
      sqlite3_bind_text(statement.handle(), index, text.data(), static_cast<int>(text.size()),
                        SQLITE_TRANSIENT);
    }
  }
}

void require_readable(const OpenView& open) {
  if (open.unreadable) std::rethrow_exception(open.unreadable);
}

// Runs all statements of `sql` but the last one, which becomes the view's.
void start(OpenView& open, std::string_view sql, const std::vector<Parameter>& parameters) {
  require_readable(open);
  store::ViewDatabase& database = *open.database;
  open.statement = {};
  for (;;) {
    std::size_t tail = 0;
    store::Statement next = database.prepare(sql, &tail);
    sql.remove_prefix(tail);
    if (!next) {  // blanks and comments
      if (!sql.empty()) continue;
      break;
    }
    if (open.statement) {
      while (database.step(open.statement)) {
      }
    }
    open.statement = std::move(next);
  }
  if (!open.statement) throw store::SqlError(SQLITE_ERROR, "SQL code did not contain a statement.");
  bind_all(open.statement, parameters);
  open.ended = false;
}

napi_value view_query(napi_env env, napi_callback_info info) {
  Call<Admin, 3> call(env, info);
  const auto open = call.self->find(call.uint(0));
  return call.self->threads.promise_of(
      env,
      [open, sql = call.utf8(1), parameters = parameters_of(env, call.args[2])] {
        start(*open, sql, parameters);
      },
      [open](napi_env on) {
        sqlite3_stmt* statement = open->statement.handle();
        const int columns = sqlite3_column_count(statement);
        napi_value out = make_array(on, static_cast<std::size_t>(columns));
        for (int i = 0; i < columns; ++i) {
          const char* name = sqlite3_column_name(statement, i);
          check(on, napi_set_element(on, out, static_cast<std::uint32_t>(i),
                                     make_string(on, name == nullptr ? "" : name)));
        }
        return out;
      });
}

Value value_of(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return sqlite3_column_int64(statement, column);
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, column);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      return std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column)));
    }
    case SQLITE_BLOB: {
      const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement, column));
      return Blob(data, data + sqlite3_column_bytes(statement, column));
    }
    default:
      return {};
  }
}

std::size_t bytes_of_value(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->size();
  if (const auto* blob = std::get_if<Blob>(&value)) return blob->size();
  return sizeof(double);
}

napi_value javascript_of(napi_env env, const Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    if (*number >= -kExactMax && *number <= kExactMax)
      return make_number(env, static_cast<double>(*number));
    napi_value out = nullptr;
    check(env, napi_create_bigint_int64(env, *number, &out));
    return out;
  }
  if (const auto* number = std::get_if<double>(&value)) return make_number(env, *number);
  if (const auto* text = std::get_if<std::string>(&value))
    return text_value(env, text->data(), text->size());
  if (const auto* blob = std::get_if<Blob>(&value)) return make_array_buffer(env, *blob);
  napi_value out = nullptr;
  check(env, napi_get_null(env, &out));
  return out;
}

[[noreturn]] void throw_row_too_large(std::size_t bytes_max) {
  throw Error(ErrorCode::kFull, "A row of the result has more than " +
                                    std::to_string(bytes_max >> 20) +
                                    " MiB. Read fewer columns, or parts of them: substr().");
}

std::vector<Value> read_rows(OpenView& open, std::uint32_t most) {
  const std::size_t row_bytes_max =
      open.is_shared ? store::SharedKeyValue::kRowBytesMax : kRowBytesMax;
  std::vector<Value> values;
  std::size_t bytes = 0;
  const int columns = sqlite3_column_count(open.statement.handle());
  for (std::uint32_t row = 0; row < most && bytes < kBatchBytesMax && !open.ended; ++row) {
    if (!open.database->step(open.statement)) {
      open.ended = true;
      break;
    }
    std::size_t row_bytes = 0;
    for (int i = 0; i < columns; ++i) {
      values.push_back(value_of(open.statement.handle(), i));
      row_bytes += bytes_of_value(values.back());
      if (row_bytes > row_bytes_max) throw_row_too_large(row_bytes_max);
    }
    bytes += row_bytes;
  }
  return values;
}

napi_value view_rows(napi_env env, napi_callback_info info) {
  Call<Admin, 2> call(env, info);
  const auto open = call.self->find(call.uint(0));
  const auto values = std::make_shared<std::vector<Value>>();
  return call.self->threads.promise_of(
      env, [open, values, most = call.uint(1)] { *values = read_rows(*open, most); },
      [values](napi_env on) {
        napi_value out = make_array(on, values->size());
        for (std::uint32_t i = 0; i < values->size(); ++i)
          check(on, napi_set_element(on, out, i, javascript_of(on, (*values)[i])));
        return out;
      });
}

napi_value view_pages(napi_env env, napi_callback_info info) {
  Call<Admin, 3> call(env, info);
  const auto open = call.self->find(call.uint(0));
  const auto content = std::make_shared<std::vector<std::byte>>();
  return call.self->threads.promise_of(
      env,
      [open, content, first = call.uint(1), count = call.uint(2)] {
        const std::size_t size = open->view->page_size();
        if (count > kPagesBytesMax / size)
          throw Error(ErrorCode::kInvalid, "too many pages at once");
        content->resize(count * size);
        for (std::uint32_t i = 0; i < count; ++i)
          open->view->read(first + i, std::span(*content).subspan(i * size, size));
      },
      [content](napi_env on) { return make_array_buffer(on, *content); });
}

napi_value check_pages(napi_env env, napi_callback_info info) {
  Call<Admin, 3> call(env, info);
  const auto open = call.self->find(call.uint(0));
  const auto found = std::make_shared<store::FileCheck>();
  return call.self->threads.promise_of(
      env,
      [open, found, first = call.uint(1), count = call.uint(2)] {
        open->directory->catalog->check_pages(*open->view->file(), first, count, *found);
      },
      [found](napi_env on) {
        napi_value out = make_array(on, 0);
        std::uint32_t i = 0;
        const auto add = [&](double value) {
          check(on, napi_set_element(on, out, i++, make_number(on, value)));
        };
        add(found->reached_end ? 1 : 0);
        add(static_cast<double>(found->unknown_count));
        add(static_cast<double>(found->damaged_count));
        for (const std::uint32_t page : found->damaged) add(page);
        return out;
      });
}

napi_value accept_pages(napi_env env, napi_callback_info info) {
  Call<Admin, 1> call(env, info);
  const auto open = call.self->find(call.uint(0));
  const auto accepted = std::make_shared<std::uint64_t>();
  return call.self->threads.promise_of(
      env,
      [open, accepted] {
        *accepted = open->directory->catalog->accept_pages(*open->view->file());
        wait_for_all(*open->directory);
      },
      [accepted](napi_env on) { return make_number(on, static_cast<double>(*accepted)); });
}

napi_value view_pairs(napi_env env, napi_callback_info info) {
  Call<Admin, 4> call(env, info);
  const auto open = call.self->find(call.uint(0));
  const store::KeyOwner owner{call.self->engine.open_catalog().find_namespace(call.uint(1)).key,
                              call.latin1(2)};
  return call.self->threads.promise_of(
      env,
      [open, owner, file = call.utf8(3)] {
        require_readable(*open);
        store::export_pairs(*open->database, owner, file);
      },
      [](napi_env) { return napi_value{}; });
}

napi_value interrupt_view(napi_env env, napi_callback_info info) {
  Call<Admin, 1> call(env, info);
  const auto open = call.self->find(call.uint(0));
  if (open->database) open->database->interrupt();
  return nullptr;
}

napi_value close_view(napi_env env, napi_callback_info info) {
  Call<Admin, 1> call(env, info);
  call.self->views.erase(call.uint(0));
  return nullptr;
}

napi_value current_heads(napi_env env, napi_callback_info info) {
  Call<Admin, 1> call(env, info);
  std::uint32_t count = 0;
  check(env, napi_get_array_length(env, call.args[0], &count));
  napi_value out = make_array(env, std::size_t{count} * 2);
  store::Store& store = call.self->engine.open_store();
  for (std::uint32_t i = 0; i < count; ++i) {
    napi_value element = nullptr;
    std::int64_t number = 0;
    check(env, napi_get_element(env, call.args[0], i, &element));
    check(env, napi_get_value_int64(env, element, &number));
    double bytes = -1;
    double time_ms = -1;
    if (const auto file = store.find(static_cast<ObjectNumber>(number))) {
      bytes = static_cast<double>(std::uint64_t{file->page_count()} * file->page_size());
      time_ms = static_cast<double>(file->head().time_ms);
    }
    check(env, napi_set_element(env, out, 2 * i, make_number(env, bytes)));
    check(env, napi_set_element(env, out, 2 * i + 1, make_number(env, time_ms)));
  }
  return out;
}

// The arguments of a function of an object's past: a namespace, an id, one more, and what can be
// stopped.
struct PastCall : Call<Admin, 4> {
  using Call::Call;

  const std::shared_ptr<DataDirectory> directory = self->engine.directory;
  const std::uint32_t ns = uint(0);
  const runtime::ObjectId id = checked_id();
  const StopCheck stopped = stop_check(work_of(env, args[3]), self->threads);

 private:
  [[nodiscard]] runtime::ObjectId checked_id() const {
    self->engine.open_store();
    const auto found = self->engine.id_factory(ns).from_string(latin1(1));
    if (!found) throw Error(ErrorCode::kInvalid, "this id is not of the namespace");
    return *found;
  }
};

napi_value bookmark(napi_env env, napi_callback_info info) {
  PastCall call(env, info);
  const auto text = std::make_shared<std::string>();
  return call.self->threads.promise_of(
      env,
      [text, directory = call.directory, ns = call.ns, id = call.id, stopped = call.stopped,
       time_ms = call.number(2)] {
        ObjectPast past = past_of(directory, ns, id, stopped);
        const auto found = std::isnan(time_ms)
                               ? past.point_in_time.current(past.object())
                               : past.point_in_time.at_time(past.object(), std::int64_t(time_ms));
        *text = found.text();
        wait_for_all(*directory);
      },
      [text](napi_env on) { return make_latin1(on, *text); });
}

napi_value plan_restore(napi_env env, napi_callback_info info) {
  PastCall call(env, info);
  const auto plan = std::make_shared<runtime::PointInTime::Plan>();
  return call.self->threads.promise_of(
      env,
      [plan, directory = call.directory, ns = call.ns, id = call.id, stopped = call.stopped,
       target = call.utf8(2)] {
        ObjectPast past = past_of(directory, ns, id, stopped);
        *plan = past.point_in_time.plan(past.object(), target);
        wait_for_all(*directory);
      },
      [plan](napi_env on) {
        napi_value out = make_array(on, 3);
        std::uint32_t i = 0;
        for (const std::uint64_t value : {plan->target_lsn, plan->commits, plan->changed_pages})
          check(on, napi_set_element(on, out, i++, make_number(on, static_cast<double>(value))));
        return out;
      });
}

napi_value past_as_array(napi_env env, const runtime::PointInTime::Past& past) {
  napi_value out = make_array(env, 1 + past.commits.size() * 7);
  std::uint32_t i = 0;
  const auto add = [&](napi_value value) { check(env, napi_set_element(env, out, i++, value)); };
  add(make_number(env, static_cast<double>(past.end)));
  for (const auto& [state, commit] : past.commits) {
    const bool is_restore = (commit.flags & store::kRestoreFlag) != 0;
    add(make_latin1(env, state.text()));
    add(make_number(env, static_cast<double>(commit.time_ms)));
    add(make_number(env, commit.changed_pages));
    add(make_number(env, static_cast<double>(commit.bytes)));
    add(make_number(env, commit.pages_after));
    add(make_number(env, commit.page_size));
    add(make_number(env, is_restore ? commit.flags >> store::kFlagsNumberShift : 0));
  }
  return out;
}

napi_value past(napi_env env, napi_callback_info info) {
  PastCall call(env, info);
  const auto found = std::make_shared<runtime::PointInTime::Past>();
  return call.self->threads.promise_of(
      env,
      [found, directory = call.directory, ns = call.ns, id = call.id, stopped = call.stopped,
       most = call.uint(2)] {
        ObjectPast of = past_of(directory, ns, id, stopped);
        *found = of.point_in_time.past(of.object(), most);
        wait_for_all(*directory);
      },
      [found](napi_env on) { return past_as_array(on, *found); });
}

napi_value damages_as_array(napi_env env, const std::vector<log::Damage>& damages) {
  napi_value out = make_array(env, damages.size() * 4);
  std::uint32_t i = 0;
  const auto add = [&](napi_value value) { check(env, napi_set_element(env, out, i++, value)); };
  for (const log::Damage& damage : damages) {
    napi_value objects = make_array(env, damage.objects.size());
    for (std::uint32_t at = 0; at < damage.objects.size(); ++at) {
      const napi_value number = make_number(env, static_cast<double>(damage.objects[at]));
      check(env, napi_set_element(env, objects, at, number));
    }
    add(make_string(env, damage.file));
    add(make_number(env, static_cast<double>(damage.offset)));
    add(make_string(env, damage.problem));
    add(objects);
  }
  return out;
}

napi_value verify_log(napi_env env, napi_callback_info info) {
  Call<TaskThreads, 2> call(env, info);
  const auto report = std::make_shared<log::VerifyReport>();
  const auto work = work_of(env, call.args[1]);
  return call.self->promise_of(
      env,
      [report, directory = call.utf8(0), work, stopped = stop_check(work, *call.self)] {
        const auto progress = [&work](std::uint64_t done, std::uint64_t total) {
          work->total = total;
          work->done = done;
        };
        *report = log::verify_log(real_file_system(), std::filesystem::path(directory) / "log",
                                  progress, stopped);
      },
      [report](napi_env on) { return damages_as_array(on, report->damages); });
}

napi_value object_path(napi_env env, napi_callback_info info) {
  Call<Admin, 2> call(env, info);
  const std::uint32_t ns = call.uint(0);
  const auto id = call.self->engine.id_factory(ns).from_string(call.latin1(1));
  if (!id) throw Error(ErrorCode::kInvalid, "this id is not of the namespace");
  return make_string(env, call.self->engine.open_catalog().path(ns, *id));
}

napi_value when_durable(napi_env env, napi_callback_info info) {
  Call<Admin, 0> call(env, info);
  log::Log& log = call.self->engine.open_store().log();
  return call.self->threads.promise_of(
      env, [&log, lsn = log.appended_lsn()] { log.wait_durable(lsn); },
      [](napi_env) { return napi_value{}; });
}

napi_value counters(napi_env env, napi_callback_info info) {
  Call<Admin, 0> call(env, info);
  store::Store& store = call.self->engine.open_store();
  const log::Log& log = store.log();
  napi_value out = make_object(env);
  const auto number = [&](const char* name, std::uint64_t value) {
    set(env, out, name, make_number(env, static_cast<double>(value)));
  };
  number("appendedLsn", log.appended_lsn());
  number("durableLsn", log.durable_lsn());
  number("logBytesSinceCheckpoint", log.bytes_since_checkpoint());
  number("dirtyBytes", store.dirty_bytes());
  set(env, out, "hasRoom", make_bool(env, log.has_room()));
  return out;
}

}  // namespace

void define_admin(napi_env env, napi_value object, Engine* engine) {
  Admin* admin = owned_by_environment(env, std::make_unique<Admin>(*engine));
  method<namespaces>(env, object, "namespaces", admin);
  method<open_view>(env, object, "openView", admin);
  method<view_query>(env, object, "viewQuery", admin);
  method<view_rows>(env, object, "viewRows", admin);
  method<view_pages>(env, object, "viewPages", admin);
  method<view_pairs>(env, object, "viewPairs", admin);
  method<check_pages>(env, object, "checkPages", admin);
  method<accept_pages>(env, object, "acceptPages", admin);
  method<interrupt_view>(env, object, "interruptView", admin);
  method<close_view>(env, object, "closeView", admin);
  method<current_heads>(env, object, "currentHeads", admin);
  method<bookmark>(env, object, "bookmark", admin);
  method<plan_restore>(env, object, "planRestore", admin);
  method<past>(env, object, "past", admin);
  method<object_path>(env, object, "objectPath", admin);
  method<when_durable>(env, object, "whenDurable", admin);
  method<counters>(env, object, "counters", admin);
}

void define_verify(napi_env env, napi_value exports) {
  method<verify_log>(env, exports, "verifyLog",
                     owned_by_environment(env, std::make_unique<TaskThreads>()));
}

}  // namespace perdure::node
