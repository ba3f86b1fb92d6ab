// Point-in-time recovery from JavaScript (runtime/point_in_time.h). Bookmarks are their texts.
#include "node/shard_binding.h"

namespace perdure::node {
namespace {

// beginSession(slot) -> whether the object was taken back to an older state. Before its
// constructor.
napi_value begin_session(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  return make_bool(env, call.self->shard.begin_session(call.uint(0)));
}

// -> the last committed state
napi_value current_bookmark(napi_env env, napi_callback_info info) {
  Call<ShardHost, 1> call(env, info);
  return make_latin1(env, call.self->shard.current_bookmark(call.uint(0)).text());
}

// bookmarkForTime(slot, milliseconds since 1970). Throws a RangeError.
napi_value bookmark_for_time(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  const auto time_ms = static_cast<std::int64_t>(call.number(1));
  return make_latin1(env, call.self->shard.bookmark_at(call.uint(0), time_ms).text());
}

// restoreAtNextSession(slot, bookmark) -> the bookmark that takes it back
napi_value restore_at_next_session(napi_env env, napi_callback_info info) {
  Call<ShardHost, 2> call(env, info);
  const auto undo = call.self->shard.restore_at_next_session(call.uint(0), call.utf8(1));
  return make_latin1(env, undo.text());
}

}  // namespace

void define_bookmarks(napi_env env, napi_value shard, ShardHost* host) {
  method<begin_session>(env, shard, "beginSession", host);
  method<current_bookmark>(env, shard, "currentBookmark", host);
  method<bookmark_for_time>(env, shard, "bookmarkForTime", host);
  method<restore_at_next_session>(env, shard, "restoreAtNextSession", host);
}

}  // namespace perdure::node
