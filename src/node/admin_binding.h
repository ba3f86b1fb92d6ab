#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "node/engine_binding.h"

namespace perdure::node {

// What operators look at in an open data directory: views of committed states, read on threads of
// their own (node/task.h), so that neither the objects nor the event loop wait, nor the project's
// files, names and fetch(). What they show is durable.
//
// engine.namespaces() -> [number, key, whether its objects have key-value storage, …]
// engine.openView(namespace or -1, hexId or "", bookmark or "", whether values may be of any size)
// -> Promise<[view, page size, pages]>
//   The object's own database or, with key-value storage, the shared file, without an id that of
//   the namespace's kind; -1: the catalog. With a bookmark: in the state that it names.
// engine.viewQuery(view, sql, parameters: (string | number)[]) -> Promise<column names>
//   Runs all statements but the last one, and starts that.
// engine.viewRows(view, most) -> Promise<values, row by row>; none at the end.
//   null, number, bigint (beyond what a number has exactly), string, ArrayBuffer
// engine.viewPages(view, first, count) -> Promise<ArrayBuffer>
// engine.viewPairs(view, namespace, hexId, file) -> Promise: see store/pair_export.h
// engine.interruptView(view): what it does now fails; closeView(view) must follow.
// engine.closeView(view): after what it does now has ended, and before engine.close().
//   One thing at a time on one view.
// engine.objectPath(namespace, hexId) -> the file of its database, relative to the data directory
// engine.currentHeads(numbers of databases) -> [bytes, ms of the last commit, …]; -1 for both where
//   the catalog knows it all. engine.whenDurable() -> Promise: what was committed until now is.
// Of an object with SQLite storage (runtime/point_in_time.h), all as promises:
// engine.bookmark(namespace, hexId, milliseconds since 1970, NaN: now) -> text
// engine.planRestore(namespace, hexId, bookmark) -> [LSN, commits, pages that it would change]
// engine.past(namespace, hexId, most) -> [how the list ends: 0 there are more, 1 with the first
//   commit, 2 the rest is not kept; then bookmark, ms, changed pages, bytes, pages of the database,
//   page size, number of the restore or 0, of each commit]
// What may take long (these three, openView with a bookmark) has a last argument more: work.
// engine.counters() -> { … } of log and store
void define_admin(napi_env env, napi_value object, Engine* engine);

// exports.verifyLog(data directory, work?)
//   -> Promise<[file, offset, problem, numbers of databases, …]>: what of log and history is
//   damaged (log/verify.h). Nobody needs to have the directory open.
void define_verify(napi_env env, napi_value exports);

}  // namespace perdure::node
