#include "node/work.h"

#include <utility>

namespace perdure::node {
namespace {

using Held = std::shared_ptr<Work>;

napi_value create_work(napi_env env, napi_callback_info) {
  auto held = std::make_unique<Held>(std::make_shared<Work>());
  napi_value out = nullptr;
  check(env,
        napi_create_external(
            env, held.get(), [](napi_env, void* data, void*) { delete static_cast<Held*>(data); },
            nullptr, &out));
  static_cast<void>(held.release());
  return out;
}

napi_value stop_work(napi_env env, napi_callback_info info) {
  Call<void, 1> call(env, info);
  work_of(env, call.args[0])->is_stopped = true;
  return nullptr;
}

napi_value work_done(napi_env env, napi_callback_info info) {
  Call<void, 1> call(env, info);
  const Held work = work_of(env, call.args[0]);
  napi_value out = nullptr;
  check(env, napi_create_array_with_length(env, 2, &out));
  check(env, napi_set_element(env, out, 0, make_number(env, static_cast<double>(work->done))));
  check(env, napi_set_element(env, out, 1, make_number(env, static_cast<double>(work->total))));
  return out;
}

}  // namespace

std::shared_ptr<Work> work_of(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  check(env, napi_typeof(env, value, &type));
  if (type == napi_undefined) return nullptr;
  void* held = nullptr;
  check(env, napi_get_value_external(env, value, &held));
  return *static_cast<Held*>(held);
}

StopCheck stop_check(std::shared_ptr<Work> work, const TaskThreads& threads) {
  return [work = std::move(work), &threads] {
    return threads.is_stopping() || (work != nullptr && work->is_stopped);
  };
}

void define_work(napi_env env, napi_value exports) {
  method<create_work>(env, exports, "createWork", nullptr);
  method<stop_work>(env, exports, "stopWork", nullptr);
  method<work_done>(env, exports, "workDone", nullptr);
}

}  // namespace perdure::node
