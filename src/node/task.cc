#include "node/task.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace perdure::node {
namespace {

struct Task {
  std::function<void()> run;
  std::function<napi_value(napi_env)> result;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  std::optional<std::string> failure;
};

void execute(napi_env /*env*/, void* data) {
  Task& task = *static_cast<Task*>(data);
  try {
    task.run();
  } catch (const std::exception& error) {
    task.failure = error.what();
  }
}

napi_value result_of(napi_env env, Task& task) {
  if (task.failure) return nullptr;
  try {
    const napi_value value = task.result(env);
    if (value != nullptr) return value;
    napi_value undefined = nullptr;
    check(env, napi_get_undefined(env, &undefined));
    return undefined;
  } catch (const std::exception& error) {
    task.failure = error.what();
  } catch (const PendingException&) {
    napi_value exception = nullptr;
    napi_get_and_clear_last_exception(env, &exception);
    task.failure = "JavaScript has no room for the result.";
  }
  return nullptr;
}

// Nothing may be thrown here; when even this fails, the environment is going.
void complete(napi_env env, napi_status /*status*/, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  napi_delete_async_work(env, task->work);
  const napi_value value = result_of(env, *task);
  if (!task->failure) {
    napi_resolve_deferred(env, task->deferred, value);
    return;
  }
  napi_value message = nullptr;
  napi_value error = nullptr;
  if (napi_create_string_utf8(env, task->failure->data(), task->failure->size(), &message) !=
          napi_ok ||
      napi_create_error(env, nullptr, message, &error) != napi_ok)
    return;
  napi_reject_deferred(env, task->deferred, error);
}

}  // namespace

napi_value promise_of(napi_env env, std::function<void()> run,
                      std::function<napi_value(napi_env)> result) {
  auto task = std::make_unique<Task>();
  task->run = std::move(run);
  task->result = std::move(result);
  napi_value promise = nullptr;
  check(env, napi_create_async_work(env, nullptr, make_string(env, "perdure"), execute, complete,
                                    task.get(), &task->work));
  check(env, napi_create_promise(env, &task->deferred, &promise));
  check(env, napi_queue_async_work(env, task->work));
  static_cast<void>(task.release());  // complete() has it now
  return promise;
}

}  // namespace perdure::node
