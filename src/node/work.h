#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/stop.h"
#include "node/napi.h"
#include "node/task.h"

namespace perdure::node {

// Something long that a task does, as JavaScript sees it: how far it is, and a way to end it. The
// task and JavaScript hold it. Any thread.
struct Work {
  std::atomic<bool> is_stopped = false;
  std::atomic<std::uint64_t> done = 0;  // bytes
  std::atomic<std::uint64_t> total = 0;
};

// An argument that createWork() has made; null for undefined. Throws Error(kInvalid).
std::shared_ptr<Work> work_of(napi_env env, napi_value value);

// True when the work is to end, or its threads are. `work` may be null.
StopCheck stop_check(std::shared_ptr<Work> work, const TaskThreads& threads);

// exports.createWork() -> an argument for what may take long. For one thing at a time.
// exports.stopWork(work): ends it soon, and it fails.
// exports.workDone(work) -> [bytes that are done, bytes there are]: verifyLog() only
void define_work(napi_env env, napi_value exports);

}  // namespace perdure::node
