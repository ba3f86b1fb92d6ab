#pragma once

#include "node/napi.h"

namespace perdure::node {

// shard.startServer(host, port) -> server
//   The shard's onWake() is called when there is something to take.
//   server.take() -> flat array [kind, id, head or error, body, …]: kind 0 request, 1 body, 2 gone,
//     3 writable, +8 when the body ends with it
//   server.respond(kind, id, status, lsn, head, body), kinds as in front::ResponseEvent; and
//   server.consumed(id, bytes): queued until server.flush()
//   server.stop(graceMs): onWake() is called once server.stopped() is true
//   server.close(): joins the front's thread; before the engine is closed
napi_value start_server(napi_env env, napi_callback_info info);

}  // namespace perdure::node
