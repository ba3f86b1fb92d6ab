#pragma once

#include <functional>

#include "node/napi.h"

namespace perdure::node {

// Has `run` called on one of the threads that Node.js keeps for such work, and then, on this one,
// `result`, which makes what the promise resolves with. What either throws rejects it. -> the
// promise
napi_value promise_of(napi_env env, std::function<void()> run,
                      std::function<napi_value(napi_env)> result);

}  // namespace perdure::node
