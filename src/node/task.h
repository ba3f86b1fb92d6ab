#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "node/napi.h"
#include "node/thread_call.h"

namespace perdure::node {

// Threads of one environment's operators, so that what they ask for, which may take for ever, keeps
// nobody waiting: libuv's few threads are those of the project's own files, names and fetch().
// They start when there is work for them, and stay. Used on the environment's thread.
class TaskThreads {
 public:
  // Tasks that run at one time: as many as operations of the admin socket, so that none of them
  // waits for another one. The rest waits its turn.
  static constexpr std::size_t kThreadsMax = 16;
  // Tasks that wait; what comes on top is refused.
  static constexpr std::size_t kWaitingMax = 1024;

  TaskThreads();
  ~TaskThreads();
  TaskThreads(const TaskThreads&) = delete;
  TaskThreads& operator=(const TaskThreads&) = delete;

  // Has `run` called on one of the threads and then, on this one, `result`, which makes what the
  // promise resolves with. What either throws rejects it. -> the promise. Throws Error: kFull.
  napi_value promise_of(napi_env env, std::function<void()> run,
                        std::function<napi_value(napi_env)> result);

  // Ends the threads: what waits never runs, what runs is waited for. Promises stay as they are.
  void stop() noexcept;
  // Any thread: whether what takes long is to give up.
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_; }

 private:
  struct Task;

  void start_thread_if_needed();
  void work() noexcept;
  void complete_all(napi_env env);

  ThreadCall call_;             // completes what is done
  std::size_t unfinished_ = 0;  // promises; they keep the environment alive
  std::vector<std::thread> threads_;

  std::mutex mutex_;  // of what follows
  std::condition_variable work_to_do_;
  std::deque<std::unique_ptr<Task>> waiting_;
  std::vector<std::unique_ptr<Task>> done_;
  std::size_t idle_ = 0;
  std::atomic<bool> stopping_{false};
};

}  // namespace perdure::node
