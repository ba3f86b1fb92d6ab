#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>

#include <benchmark/benchmark.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/file.h"
#include "log/log.h"
#include "log/page_delta.h"
#include "log/record.h"

// Commits a second through the log, against raw pwrite and fdatasync of the same bytes.

namespace perdure::log {
namespace {

constexpr std::size_t kPageSize = 4096;
// Commits that wait for the disk at once, as 32 connections would.
constexpr std::uint64_t kOutstanding = 32;
constexpr std::uint64_t kFileBytes = 64 << 20;

class Directory {
 public:
  Directory() {
    // Where the benchmark was started: /tmp may be in memory.
    std::string name = (std::filesystem::current_path() / "log_bench.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A database whose commits change a counter and a few bytes of a second page.
class Object {
 public:
  explicit Object(ObjectNumber number) : number_(number), header_(kPageSize), leaf_(kPageSize) {}

  void encode(Bytes& record) {
    const Bytes old_header = header_;
    const Bytes old_leaf = leaf_;
    ++commits_;
    store(header_.data() + 24, commits_);
    store(leaf_.data() + 4000, commits_ * 0x9e3779b97f4a7c15);
    const PageChange changes[] = {{.page = 1, .before = old_header, .after = header_},
                                  {.page = 2, .before = old_leaf, .after = leaf_}};
    record.clear();
    encode_record({.object = number_,
                   .number = commits_,
                   .previous_lsn = last_.lsn,
                   .previous = last_.location,
                   .page_size = kPageSize,
                   .pages_before = 2,
                   .pages_after = 2,
                   .changes = changes},
                  record);
  }
  Appended& last() { return last_; }

 private:
  const ObjectNumber number_;
  std::uint64_t commits_ = 0;
  Appended last_;
  Bytes header_;
  Bytes leaf_;
};

// One thread appends for so many objects; `kOutstanding` commits wait for the disk at most.
void BM_Commit(benchmark::State& state) {
  const Directory directory;
  const auto log = Log::open({.file_system = &real_file_system(), .directory = directory.path()},
                             [](const RecordView&) {});
  std::vector<Object> objects;
  for (std::int64_t i = 0; i < state.range(0); ++i) objects.emplace_back(i + 1);
  const auto outstanding = static_cast<std::uint64_t>(state.range(1));
  std::mt19937_64 random(1);
  Bytes record;
  for (auto _ : state) {
    Object& object = objects[random() % objects.size()];
    object.encode(record);
    const std::span<const std::byte> span(record);
    if (!log->append({&span, 1}, log->epoch(), {&object.last(), 1})) std::abort();
    const Lsn lsn = object.last().lsn;
    if (lsn >= outstanding) log->wait_durable(lsn - outstanding + 1);
    if (log->bytes_since_checkpoint() > kFileBytes) {
      log->complete_checkpoint(log->begin_checkpoint());
    }
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["record_bytes"] = static_cast<double>(record.size());
}
BENCHMARK(BM_Commit)
    ->ArgNames({"objects", "outstanding"})
    ->Args({1, 1})
    ->Args({1, kOutstanding})
    ->Args({32, kOutstanding})
    ->Args({1000, kOutstanding})
    ->Args({1000, 1000})
    ->UseRealTime();

// The same bytes without a log: a sync after each `batch` of them, in a preallocated file.
void BM_RawSync(benchmark::State& state) {
  const Directory directory;
  const auto file = real_file_system().open(directory.path() / "raw", FileSystem::Mode::kCreateNew);
  file->preallocate(kFileBytes);
  Bytes record;
  Object(1).encode(record);
  Object(1).encode(record);
  const auto batch = static_cast<std::size_t>(state.range(0));
  const Bytes bytes(record.size() * batch, std::byte{1});
  std::uint64_t offset = 0;
  for (auto _ : state) {
    if (offset + bytes.size() > kFileBytes) offset = 0;
    file->write(offset, bytes);
    file->sync();
    offset += bytes.size();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_RawSync)
    ->ArgName("batch")
    ->Arg(1)
    ->Arg(static_cast<std::int64_t>(kOutstanding))
    ->UseRealTime();

// What a commit costs before it is appended, with the copies that this benchmark makes.
void BM_EncodeRecord(benchmark::State& state) {
  Object object(1);
  Bytes record;
  for (auto _ : state) {
    object.encode(record);
    benchmark::DoNotOptimize(record.data());
  }
}
BENCHMARK(BM_EncodeRecord);

void BM_PageDelta(benchmark::State& state) {
  std::mt19937_64 random(1);
  Bytes before(kPageSize);
  for (std::byte& byte : before) byte = static_cast<std::byte>(random());
  Bytes after = before;
  for (std::int64_t i = 0; i < state.range(0); ++i) after[random() % kPageSize] ^= std::byte{1};
  Bytes delta;
  for (auto _ : state) {
    delta.clear();
    append_delta(before, after, delta);
    benchmark::DoNotOptimize(delta.data());
  }
  state.counters["delta_bytes"] = static_cast<double>(delta.size());
}
BENCHMARK(BM_PageDelta)->ArgName("changed_bytes")->Arg(0)->Arg(3)->Arg(30)->Arg(300)->Arg(4000);

void BM_PackRandomPage(benchmark::State& state) {
  std::mt19937_64 random(1);
  Bytes page(kPageSize);
  for (std::byte& byte : page) byte = static_cast<std::byte>(random());
  Bytes packed;
  for (auto _ : state) {
    packed.clear();
    pack_page(page, packed);
    benchmark::DoNotOptimize(packed.data());
  }
}
BENCHMARK(BM_PackRandomPage);

void BM_UnpackPage(benchmark::State& state) {
  std::mt19937_64 random(1);
  Bytes page(kPageSize);
  for (std::size_t at = 3000; at < kPageSize; ++at) page[at] = static_cast<std::byte>(random());
  Bytes packed;
  pack_page(page, packed);
  for (auto _ : state) {
    unpack_page(packed, page);
    benchmark::DoNotOptimize(page.data());
  }
}
BENCHMARK(BM_UnpackPage);

}  // namespace
}  // namespace perdure::log
