#include "node/task.h"

#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <sys/resource.h>

#include "base/error.h"

namespace perdure::node {

struct TaskThreads::Task {
  std::function<void()> run;
  std::function<napi_value(napi_env)> result;
  napi_deferred deferred = nullptr;
  struct Failure {
    std::string message;
    const char* code = nullptr;  // javascript_code()
  };
  std::optional<Failure> failure;

  void run_here() noexcept;
  void complete(napi_env env);

 private:
  static Failure failure_of(const std::exception& error);
  napi_value make_result(napi_env env);
  napi_status reject(napi_env env);
};

namespace {

// The objects' threads come first: on Linux this is of a thread, not of the process.
constexpr int kNiceness = 10;

}  // namespace

TaskThreads::TaskThreads() = default;
TaskThreads::~TaskThreads() { stop(); }

TaskThreads::Task::Failure TaskThreads::Task::failure_of(const std::exception& error) {
  const auto* own = dynamic_cast<const Error*>(&error);
  return {error.what(), own == nullptr ? nullptr : javascript_code(own->code())};
}

void TaskThreads::Task::run_here() noexcept {
  try {
    run();
  } catch (const std::exception& error) {
    failure = failure_of(error);
  }
}

napi_value TaskThreads::Task::make_result(napi_env env) {
  if (failure) return nullptr;
  try {
    const napi_value value = result(env);
    if (value != nullptr) return value;
    napi_value undefined = nullptr;
    check(env, napi_get_undefined(env, &undefined));
    return undefined;
  } catch (const std::exception& error) {
    failure = failure_of(error);
  } catch (const PendingException&) {
    napi_value exception = nullptr;
    napi_get_and_clear_last_exception(env, &exception);
    failure = Failure{"JavaScript has no room for the result."};
  }
  return nullptr;
}

// Nothing may be thrown here. What fails even so can only mean that the environment is going, where
// nobody waits for the promise any more.
void TaskThreads::Task::complete(napi_env env) {
  const napi_value value = make_result(env);
  const napi_status status = failure ? reject(env) : napi_resolve_deferred(env, deferred, value);
  if (status != napi_pending_exception) return;
  // It would keep the promise from being settled, and everything after it from being called.
  napi_value exception = nullptr;
  napi_get_and_clear_last_exception(env, &exception);
  failure = failure.value_or(Failure{"JavaScript has not taken the result."});
  reject(env);
}

napi_status TaskThreads::Task::reject(napi_env env) {
  const auto& [text, name] = *failure;
  napi_value message = nullptr;
  napi_value code = nullptr;
  napi_value error = nullptr;
  const bool is_made =
      napi_create_string_utf8(env, text.data(), text.size(), &message) == napi_ok &&
      (name == nullptr || napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) == napi_ok) &&
      napi_create_error(env, code, message, &error) == napi_ok;
  // Without room for an error it is rejected with nothing, rather than never.
  if (!is_made) napi_get_undefined(env, &error);
  return napi_reject_deferred(env, deferred, error);
}

napi_value TaskThreads::promise_of(napi_env env, std::function<void()> run,
                                   std::function<napi_value(napi_env)> result) {
  if (!call_.is_open())
    call_.open(env, "perdure operators", nullptr, this,
               [](napi_env on, napi_value, void* context, void*) {
                 if (on != nullptr) static_cast<TaskThreads*>(context)->complete_all(on);
               });
  auto task = std::make_unique<Task>();
  task->run = std::move(run);
  task->result = std::move(result);
  const std::scoped_lock lock(mutex_);
  if (waiting_.size() >= kWaitingMax)
    throw Error(ErrorCode::kFull, "Operators ask for too much at one time. Try again.");
  napi_value promise = nullptr;
  check(env, napi_create_promise(env, &task->deferred, &promise));
  waiting_.push_back(std::move(task));
  try {
    start_thread_if_needed();
  } catch (const std::system_error&) {
    waiting_.pop_back();
    throw Error(ErrorCode::kFull, "The operating system has no thread for this. Try again.");
  }
  if (unfinished_++ == 0) call_.keep(env);
  work_to_do_.notify_one();
  return promise;
}

void TaskThreads::start_thread_if_needed() {
  if (waiting_.size() <= idle_ || threads_.size() == kThreadsMax) return;
  try {
    threads_.emplace_back([this] { work(); });
  } catch (const std::system_error&) {
    if (threads_.empty()) throw;  // otherwise one of them will do it
  }
}

void TaskThreads::work() noexcept {
  ::setpriority(PRIO_PROCESS, 0, kNiceness);
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_to_do_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    --idle_;
    if (stopping_) return;
    std::unique_ptr<Task> task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task->run_here();
    lock.lock();
    done_.push_back(std::move(task));
    call_.call();
  }
}

void TaskThreads::complete_all(napi_env env) {
  std::vector<std::unique_ptr<Task>> done;
  {
    const std::scoped_lock lock(mutex_);
    done.swap(done_);
  }
  for (const std::unique_ptr<Task>& task : done) {
    napi_handle_scope scope = nullptr;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;  // the environment is going
    task->complete(env);
    napi_close_handle_scope(env, scope);
  }
  unfinished_ -= done.size();
  if (unfinished_ == 0 && !done.empty()) call_.unkeep(env);
}

void TaskThreads::stop() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  work_to_do_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace perdure::node
