// The library for C++ as a stranger gets it: installed, found by find_package(), used by the example program.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { root, sqlite, temporaryDirectory, writeFiles, wranglerJson } from './support/files.mjs';
import { serve } from './support/perdure.mjs';

const BUILD_MS_MAX = 240_000;
const run = promisify(execFile);
const build = join(root, 'build/release');
/** Where things were installed and built, for all tests. */
let folder;
let prefix;

before(
  async () => {
    folder = mkdtempSync(join(tmpdir(), 'perdure-cpp-'));
    prefix = join(folder, 'prefix');
    await run('cmake', ['--install', build, '--prefix', prefix]);
    const example = ['-S', join(root, 'examples/cpp/inspect'), '-B', join(folder, 'inspect')];
    await run('cmake', [...example, `-DCMAKE_PREFIX_PATH=${prefix}`, '-DCMAKE_BUILD_TYPE=Release']);
    await run('cmake', ['--build', join(folder, 'inspect')]);
  },
  { timeout: BUILD_MS_MAX },
);
after(() => rmSync(folder, { recursive: true, force: true }));

test('a program may have what the library has of the standard library and of Boost', { timeout: BUILD_MS_MAX }, async (t) => {
  const source = writeFiles(temporaryDirectory(t), {
    'CMakeLists.txt': `
      cmake_minimum_required(VERSION 3.25)
      project(own LANGUAGES CXX)
      find_package(perdure REQUIRED)
      add_executable(own own.cc)
      target_link_libraries(own perdure::perdure)`,
    'own.cc': `
      #include <array>
      #include <boost/json/src.hpp>
      #include <charconv>
      #include <iostream>
      #include <memory>
      #include <string>
      #include <perdure/engine.h>
      int main(int argc, char** argv) {
        std::array<char, 8> text{};
        std::to_chars(text.data(), text.data() + text.size(), argc);
        const auto shared = std::make_shared<int>(argc);
        std::cout << text.data() << std::to_string(*shared) << boost::json::serialize(boost::json::parse("[1]"));
        if (argc > 1) perdure::Engine::open(argv[1]);
      }`,
  });
  for (const type of ['Debug', 'Release']) {
    const built = join(source, type);
    await run('cmake', ['-S', source, '-B', built, `-DCMAKE_PREFIX_PATH=${prefix}`, `-DCMAKE_BUILD_TYPE=${type}`]);
    await run('cmake', ['--build', built]);
    assert.equal((await run(join(built, 'own'))).stdout, '11[1]');
  }
});

/** Runs the example program; resolves with what it printed, without the last newline. */
async function inspect(...args) {
  const { stdout } = await run(join(folder, 'inspect/inspect'), args);
  return stdout.replace(/\n$/, '');
}

const refused = (...args) => inspect(...args).then(
  () => assert.fail('it was not refused'),
  (error) => error.stderr,
);

/** A project with a class of each kind of storage, which does what its requests say. */
function project(t) {
  return writeFiles(temporaryDirectory(t), {
    'wrangler.json': wranglerJson({
      durable_objects: {
        bindings: [
          { name: 'THING', class_name: 'Thing' },
          { name: 'KEYED', class_name: 'Keyed' },
        ],
      },
      migrations: [{ tag: 'v1', new_sqlite_classes: ['Thing'], new_classes: ['Keyed'] }],
    }),
    'index.ts': `
      import { DurableObject } from 'cloudflare:workers';
      class Base extends DurableObject {
        put(key, value) { return this.ctx.storage.put(key, value); }
        get(key) { return this.ctx.storage.get(key); }
        putDate(key) { return this.ctx.storage.put(key, new Date(86400000)); }
        async isDate(key) { return (await this.ctx.storage.get(key)) instanceof Date; }
        getAlarm() { return this.ctx.storage.getAlarm(); }
      }
      export class Keyed extends Base {}
      export class Thing extends Base {
        alarm() {}
        exec(query) { return this.ctx.storage.sql.exec(query).toArray(); }
        bookmark() { return this.ctx.storage.getCurrentBookmark(); }
        setAlarm(time) { return this.ctx.storage.setAlarm(time); }
      }
      export default {
        async fetch(request, env) {
          const [binding, name, method, ...args] = await request.json();
          return Response.json((await env[binding].getByName(name)[method](...args)) ?? null);
        },
      };`,
  });
}

async function start(t, directory, data) {
  const server = await serve(t, directory, { data });
  const call = async (...body) => JSON.parse(await server.text('/', { method: 'POST', body: JSON.stringify(body) }));
  return { server, call };
}

test('C++ reads what a server has written, and JavaScript what C++ has', async (t) => {
  const directory = project(t);
  const data = join(temporaryDirectory(t), 'data');
  const first = await start(t, directory, data);
  await first.call('THING', 'a', 'exec', 'CREATE TABLE t (a INTEGER PRIMARY KEY, b)');
  await first.call('THING', 'a', 'exec', "INSERT INTO t VALUES (1, 'one'), (2, NULL), (3, 2.5), (4, x'0102')");
  for (const binding of ['THING', 'KEYED']) {
    await first.call(binding, 'a', 'put', 'json', { list: [1, 'zwei'], 'n': null });
    await first.call(binding, 'a', 'putDate', 'date');
  }
  const bookmark = await first.call('THING', 'a', 'bookmark');

  const locked = await refused(data, 'list');
  assert.match(locked, /^inspect: The data directory \S+ is in use by another process, or open in this one\. Stop or close that/);

  await first.server.stop('SIGKILL');

  const listed = (await inspect(data, 'list')).split('\n').map((line) => line.split('\t').slice(0, 2));
  assert.equal(listed.length, 2);
  assert.deepEqual(listed[1], ['test-Thing', 'a']);
  assert.equal(listed[0][0], 'test-Keyed');
  const sql = (query) => inspect(data, 'sql', 'test-Thing', 'a', query);
  assert.equal(await sql('SELECT * FROM t'), '1|one\n2|NULL\n3|2.5\n4|2 bytes');
  for (const namespace of ['test-Thing', 'test-Keyed']) {
    assert.equal(await inspect(data, 'get', namespace, 'a', 'json'), '{"list":[1,"zwei"],"n":null}');
    assert.match(await inspect(data, 'get', namespace, 'a', 'date'), /^a structured clone of \d+ bytes$/);
    await inspect(data, 'put', namespace, 'a', 'from C++', '{"text": "Grüße", "list": [true, 1e3]}');
  }
  assert.equal(await inspect(data, 'bookmark', 'test-Thing', 'a') > bookmark, true);
  await sql('UPDATE t SET b = b || b WHERE a = 1; DELETE FROM t WHERE a > 2');

  const second = await start(t, directory, data);
  assert.deepEqual(await second.call('THING', 'a', 'exec', 'SELECT * FROM t'), [{ a: 1, b: 'oneone' }, { a: 2, b: null }]);
  for (const binding of ['THING', 'KEYED']) {
    assert.deepEqual(await second.call(binding, 'a', 'get', 'from C++'), { text: 'Grüße', list: [true, 1000] });
    assert.equal(await second.call(binding, 'a', 'isDate', 'date'), true);
  }
  await second.server.stop();

  const undo = await inspect(data, 'restore', 'test-Thing', 'a', bookmark);
  assert.match(undo, /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/);
  assert.match((await inspect(data, 'history', 'test-Thing', 'a')).split('\n')[0], /^[-0-9a-f]{59}\t\d+\t\d+ pages\trestore$/);
  const third = await start(t, directory, data);
  assert.equal((await third.call('THING', 'a', 'exec', 'SELECT * FROM t')).length, 4);
  assert.equal(await third.call('THING', 'a', 'get', 'from C++'), null);
  await third.server.stop();

  const copy = join(temporaryDirectory(t), 'copy.sqlite');
  await inspect(data, 'export', 'test-Thing', 'a', copy);
  assert.equal(sqlite(copy, 'SELECT count(*) FROM t'), '4');
  await inspect(data, 'restore', 'test-Thing', 'a', undo);
  assert.equal(await sql('SELECT count(*) FROM t'), '2');
});

test("what the example's README says that it prints", async (t) => {
  const data = join(temporaryDirectory(t), 'data');
  const server = await serve(t, join(root, 'examples/counter'), { data });
  for (const count of ['1', '2']) assert.equal((await server.text('/increment?name=a', { method: 'POST' })).trim(), count);
  await server.stop();
  const readme = readFileSync(join(root, 'examples/cpp/inspect/README.md'), 'utf8');
  const said = (command) => readme.split('\n').find((line, i, lines) => lines[i - 1] === `build/inspect ../../counter/.perdure ${command}`).replace(/^# /, '');
  assert.equal(await inspect(data, 'list'), said('list'));
  assert.equal(await inspect(data, 'sql', 'counter-Counter', 'a', 'SELECT * FROM data'), said("sql counter-Counter a 'SELECT * FROM data'"));
  const stem = said('bookmark counter-Counter a').split('-').slice(0, 3).join('-');
  assert.equal((await inspect(data, 'bookmark', 'counter-Counter', 'a')).split('-').slice(0, 3).join('-'), stem);
});

test('the example says what is wrong', async (t) => {
  const missing = join(temporaryDirectory(t), 'data');
  assert.match(await refused(missing, 'list'), /^inspect: There is no data directory \S+\/data\. Name the folder/);
  assert.match(await refused(), /^usage: inspect DATA list\n/);
  assert.match(await refused(missing, 'sql', 'x'), /^usage: /);
});

test('each public header compiles alone, without a warning', async (t) => {
  const headers = readdirSync(join(prefix, 'include/perdure'));
  assert.deepEqual(headers, readdirSync(join(root, 'include/perdure')));
  assert.ok(headers.includes('perdure.h'));
  for (const header of headers) {
    const source = join(temporaryDirectory(t), 'alone.cc');
    writeFiles(join(source, '..'), { 'alone.cc': `#include <perdure/${header}>\n#include <perdure/${header}>\nint main() {}\n` });
    const warnings = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wnon-virtual-dtor', '-Werror'];
    await run('c++', ['-std=c++20', '-fsyntax-only', ...warnings, '-I', join(prefix, 'include'), source]);
  }
});

test('perdure.h is all of the headers', () => {
  const all = readFileSync(join(prefix, 'include/perdure/perdure.h'), 'utf8');
  for (const header of readdirSync(join(prefix, 'include/perdure'))) {
    if (header !== 'perdure.h') assert.ok(all.includes(`#include "perdure/${header}"`), header);
  }
});

test('the installed library has no names but those of its headers, so a program may have a SQLite of its own', async () => {
  const { stdout } = await run('nm', ['--demangle', '--extern-only', '--defined-only', join(prefix, 'lib/libperdure.a')], { maxBuffer: 1 << 26 });
  // Weak ones and unique ones (V, W, u: inline functions) collide with nothing.
  const names = stdout.split('\n').filter((line) => /^[0-9a-f]+ [A-TX-Z] /.test(line)).map((line) => line.slice(19));
  assert.ok(names.some((name) => name.startsWith('perdure::Engine::open(')));
  const others = names.filter((name) => !/^perdure::(?!store::|log::|runtime::|object::)/.test(name));
  assert.deepEqual(others, []);
});

test('a program with another version is told', async (t) => {
  const directory = writeFiles(temporaryDirectory(t), {
    'CMakeLists.txt': 'cmake_minimum_required(VERSION 3.25)\nproject(p LANGUAGES CXX)\nfind_package(perdure 0.2 REQUIRED)\n',
  });
  mkdirSync(join(directory, 'build'));
  await assert.rejects(run('cmake', ['-S', directory, '-B', join(directory, 'build'), `-DCMAKE_PREFIX_PATH=${prefix}`]), (error) => {
    assert.match(error.stderr, /compatible with requested\s+version "0\.2"/);
    return true;
  });
});
