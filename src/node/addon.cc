// The addon's entry: what JavaScript sees of the engine. js/src/runtime/native.ts has the types.
#include "node/engine_binding.h"

NAPI_MODULE_INIT() {
  try {
    perdure::node::define_engine(env, exports);
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
  } catch (const perdure::node::PendingException&) {
  }
  return exports;
}
