// The parts of the code use each other in one direction only.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findViolations } from './support/architecture.mjs';
import { root, temporaryDirectory, writeFiles } from './support/files.mjs';

test('no include and no import goes against the arrows', () => {
  assert.deepEqual(findViolations(root), []);
});

test('the check finds what it is there for', (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'src/base/good.h': '#include <mutex>\n#include "base/other.h"\n#include "perdure/error.h"\n',
    'src/base/bad.h': '#pragma once\n#include "log/log.h"\n#include "perdure/engine.h"\n',
    'src/log/bad.cc': '  #  include <store/store.h>\n',
    'src/log/good.cc': '#include "log/log.h"\n\n#include "base/good.h"\n',
    'src/store/bad.cc': '#include <node_api.h>\n#include <boost/asio.hpp>\n',
    'src/object/bad.cc': '#include <thread>\n#include "store/store.h"\n',
    'src/front/good.cc': '#include <boost/asio.hpp>\n#include "front/server.h"\n',
    'src/front/bad.cc': '#include "runtime/shard.h"\n',
    'src/runtime/bad.cc': '#include "front/server.h"\n#include "node/addon.h"\n',
    'src/native/good.cc': '#include "perdure/perdure.h"\n#include "runtime/shard.h"\n',
    'src/node/good.cc': '#include "runtime/shard.h"\n#include "front/server.h"\n',
    'src/node/bad.cc': '#include "native/host.h"\n',
    'src/extra/lost.cc': '',
    'include/perdure/bad.h': '#include "perdure/other.h"\n#include "base/error.h"\n#include <string>\n#include <sqlite3.h>\n#include <boost/json.hpp>\n',
    'js/src/cli.ts': "import { a } from './config/a.js';\n",
    'js/src/config/bad.ts': "import { b } from '../bundle/b.js';\n",
    'js/src/bundle/good.ts': "import { a } from '../config/a.js';\nimport { b } from './b.js';\n",
    'js/src/runtime/bad.ts': "import type { P } from '../project.js';\nawait import('../../../x.js');\n",
  });
  assert.deepEqual(findViolations(directory), [
    'src/base/bad.h:2: base may not include "log/log.h"',
    'src/base/bad.h:3: base may not include "perdure/engine.h"',
    'src/extra/lost.cc: the folder src/extra has no place in the architecture',
    'src/front/bad.cc:1: front may not include "runtime/shard.h"',
    'src/log/bad.cc:1: log may not include "store/store.h"',
    'src/node/bad.cc:1: node may not include "native/host.h"',
    'src/object/bad.cc:1: object may not include <thread>: object/ has no threads and does no I/O',
    'src/object/bad.cc:2: object may not include "store/store.h"',
    'src/runtime/bad.cc:1: runtime may not include "front/server.h"',
    'src/runtime/bad.cc:2: runtime may not include "node/addon.h"',
    'src/store/bad.cc:1: store may not include <node_api.h>: nothing below the hosts knows JavaScript',
    'src/store/bad.cc:2: store may not include <boost/asio.hpp>: the network is the front and the native host',
    'include/perdure/bad.h:2: a public header may not include "base/error.h"',
    'include/perdure/bad.h:4: a public header may include the standard library alone, not <sqlite3.h>',
    'include/perdure/bad.h:5: a public header may include the standard library alone, not <boost/json.hpp>',
    'js/src/config/bad.ts:1: config may not import "../bundle/b.js"',
    'js/src/runtime/bad.ts:1: runtime may not import "../project.js"',
    'js/src/runtime/bad.ts:2: "../../../x.js" is outside js/src',
  ]);
});
