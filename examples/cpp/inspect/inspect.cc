// Looks into a data directory of Perdure, and changes what is in it.
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <perdure/perdure.h>

namespace {

constexpr std::string_view kUsage =
    "usage: inspect DATA list\n"
    "       inspect DATA sql NAMESPACE NAME QUERY\n"
    "       inspect DATA get NAMESPACE NAME KEY\n"
    "       inspect DATA put NAMESPACE NAME KEY JSON\n"
    "       inspect DATA bookmark NAMESPACE NAME\n"
    "       inspect DATA history NAMESPACE NAME\n"
    "       inspect DATA restore NAMESPACE NAME BOOKMARK\n"
    "       inspect DATA export NAMESPACE NAME FILE\n";

constexpr int kWrongUsage = 64;  // EX_USAGE

using Arguments = std::vector<std::string>;

// One line for each object: where it is, its name or id, how large it is.
void list(perdure::Engine& engine) {
  for (const perdure::Namespace& objects : engine.namespaces()) {
    objects.for_each_object([&](const perdure::ObjectInfo& object) {
      const std::string& name = object.id.name();
      std::cout << objects.key() << '\t' << (name.empty() ? object.id.to_string() : name) << '\t'
                << object.bytes << " bytes\n";
      return true;
    });
  }
}

struct Printer {
  void operator()(std::monostate) const { std::cout << "NULL"; }
  void operator()(const perdure::Blob& blob) const { std::cout << blob.size() << " bytes"; }
  void operator()(const auto& value) const { std::cout << value; }
};

void run_sql(perdure::Storage& storage, const std::string& query) {
  for (const perdure::Row row : storage.sql().exec(query)) {
    for (int i = 0; i < row.size(); ++i) {
      if (i > 0) std::cout << '|';
      std::visit(Printer(), row.value(i));
    }
    std::cout << '\n';
  }
}

void get(perdure::Storage& storage, const std::string& key) {
  const auto value = storage.kv().get(key);
  if (!value) {
    std::cout << "there is no key " << key << '\n';
  } else if (value->format() == perdure::KvValue::Format::kJson) {
    std::cout << value->json() << '\n';
  } else {
    std::cout << "a structured clone of " << value->bytes().size() << " bytes\n";
  }
}

void print_history(perdure::Storage& storage) {
  constexpr std::size_t kCommitsMax = 20;
  for (const perdure::PastCommit& commit : storage.past(kCommitsMax).commits) {
    const auto seconds = commit.time.time_since_epoch().count() / 1000;
    std::cout << commit.bookmark << '\t' << seconds << '\t' << commit.changed_pages << " pages"
              << (commit.is_restore ? "\trestore" : "") << '\n';
  }
}

void run_on_object(perdure::Engine& engine, const Arguments& arguments) {
  const std::string& command = arguments[1];
  const perdure::Namespace objects = engine.get_namespace(arguments[2]);
  const std::string& name = arguments[3];
  if (command == "export") {
    objects.export_object(objects.id_from_name(name), arguments[4]);
    return;
  }
  perdure::Storage storage = objects.open(name);
  if (command == "sql") run_sql(storage, arguments[4]);
  if (command == "get") get(storage, arguments[4]);
  if (command == "put") storage.kv().put(arguments[4], perdure::KvValue::json(arguments[5]));
  if (command == "bookmark") std::cout << storage.get_current_bookmark() << '\n';
  if (command == "history") print_history(storage);
  if (command == "restore") std::cout << storage.restore(arguments[4]) << '\n';
  storage.sync();  // before anybody is told, by the end of this program
}

int run(const Arguments& arguments) {
  static const std::map<std::string, std::size_t> kArguments = {
      {"list", 2},     {"sql", 5},     {"get", 5},     {"put", 6},
      {"bookmark", 4}, {"history", 4}, {"restore", 5}, {"export", 5}};
  const auto known = arguments.size() < 2 ? kArguments.end() : kArguments.find(arguments[1]);
  if (known == kArguments.end() || known->second != arguments.size()) {
    std::cerr << kUsage;
    return kWrongUsage;
  }
  perdure::Engine engine = perdure::Engine::open(arguments[0]);
  if (arguments[1] == "list") {
    list(engine);
  } else {
    run_on_object(engine, arguments);
  }
  engine.close();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(Arguments(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::cerr << "inspect: " << error.what() << '\n';
    return 1;
  }
}
