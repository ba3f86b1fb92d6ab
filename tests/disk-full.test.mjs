// A full disk: commits are refused, reads go on, and commits are taken again once there is room.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory, wranglerJson, writeFiles } from './support/files.mjs';
import { serve } from './support/perdure.mjs';
import { until } from './support/until.mjs';

// The log's first segment and its spare take 128 MiB. With the filler there is no room for a third.
const diskMiB = 200;
const fillerMiB = 40;
const blobMiB = 1;
/** Enough for more than one segment, and for less than two. */
const writesMax = 120;

/** Larger than what the filler leaves of the disk, the spare segment counted in. */
const manyMiB = 120;

/** Runs a command with an empty disk of `diskMiB` at its first argument, which only it sees. */
const withSmallDisk = [
  'unshare', '--user', '--map-root-user', '--mount', 'sh', '-c',
  `mount -t tmpfs -o size=${diskMiB}m tmpfs "$1" && shift && exec "$@"`, 'sh',
];
const canMount = spawnSync(withSmallDisk[0], [...withSmallDisk.slice(1), '/mnt', 'true']).status === 0;
const NOT_TESTED = 'a full disk is not tested: no small file system can be mounted here';

const source = `
import { DurableObject } from 'cloudflare:workers';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';

let setDiskFull;
const diskFull = new Promise((resolve) => (setDiskFull = resolve));

export class Thing extends DurableObject {
  write() {
    const { sql } = this.ctx.storage;
    sql.exec('CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, count INTEGER, blob BLOB)');
    const blob = randomBytes(${blobMiB} << 20);
    return sql.exec(
      'INSERT INTO t VALUES (1, 1, ?) ON CONFLICT DO UPDATE SET count = count + 1, blob = excluded.blob RETURNING count',
      blob,
    ).one().count;
  }
  /** In one transaction, larger than a segment of the log. */
  writeMany(mebibytes) {
    const { sql } = this.ctx.storage;
    sql.exec('CREATE TABLE IF NOT EXISTS many(blob BLOB)');
    for (let i = 0; i < mebibytes; i++) sql.exec('INSERT INTO many VALUES (?)', randomBytes(1 << 20));
  }
  countMany() {
    return this.ctx.storage.sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name = 'many'").one().n;
  }
  async setAlarm() {
    await this.ctx.storage.setAlarm(Date.now());
  }
  async alarm() {
    await diskFull;
    this.write();
  }
  read() {
    return this.ctx.storage.sql.exec('SELECT count FROM t').one().count;
  }
}
export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname;
    if (path === '/fill') writeFileSync(env.FILLER, Buffer.alloc(${fillerMiB} << 20));
    if (path === '/free') rmSync(env.FILLER);
    const thing = env.THING.getByName('a');
    try {
      if (path === '/write') return new Response(String(await thing.write()));
      if (path === '/write-many') return new Response(String(await thing.writeMany(${manyMiB})));
      if (path === '/count-many') return new Response(String(await thing.countMany()));
      if (path === '/set-alarm') await thing.setAlarm();
      if (path === '/disk-full') setDiskFull();
      if (path === '/read') return new Response(String(await thing.read()));
    } catch (error) {
      return new Response(error.message, { status: 507 });
    }
    return new Response('ok');
  },
};`;

/** Serves `source` with its data on a disk that is nearly full. */
async function serveOnSmallDisk(t, args = []) {
  const directory = temporaryDirectory(t);
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  writeFiles(directory, {
    'wrangler.jsonc': wranglerJson({ vars: { FILLER: join(disk, 'filler') } }),
    'index.ts': source,
  });
  const data = join(disk, 'data');
  const server = await serve(t, directory, {
    data,
    args,
    wrapper: [...withSmallDisk, disk],
    temporary: join(directory, 'tmp'),
  });
  assert.equal(await server.text('/fill'), 'ok');
  return server;
}

test('a full disk refuses commits until there is room', { skip: !canMount && NOT_TESTED }, async (t) => {
  const server = await serveOnSmallDisk(t);

  let written = 0;
  let refused;
  while (written < writesMax && refused === undefined) {
    const response = await fetch(`${server.url}/write`);
    const text = await response.text();
    if (response.status === 200) assert.equal(text, String(++written));
    else refused = text;
  }
  assert.match(refused ?? 'no write was refused', /SQLITE_FULL/);
  assert.ok(written > 1, `${written} writes before the disk was full`);
  assert.equal(await server.text('/read'), String(written), 'reads go on, without what was refused');
  assert.equal((await fetch(`${server.url}/write`)).status, 507);

  assert.equal(await server.text('/free'), 'ok');
  const deadline = Date.now() + 10_000;
  let response;
  do {
    response = await fetch(`${server.url}/write`);
  } while (response.status !== 200 && Date.now() < deadline);
  assert.equal(await response.text(), String(written + 1), 'commits are taken again');
  assert.equal((await server.stop()).code, 0);
});

test('a commit that is larger than the rest of the disk is refused, and the object goes on without it', { skip: !canMount && NOT_TESTED }, async (t) => {
  const server = await serveOnSmallDisk(t);
  assert.equal(await server.text('/write'), '1');
  for (let attempt = 0; attempt < 2; attempt++) {
    const response = await fetch(`${server.url}/write-many`);
    assert.deepEqual([response.status, await response.text()], [507, 'database or disk is full: SQLITE_FULL']);
    assert.equal(await server.text('/count-many'), '0');
    assert.equal(await server.text('/write'), String(attempt + 2));
  }
  assert.equal(await server.text('/free'), 'ok');
  assert.equal((await server.stop()).code, 0);
});

test('an alarm is not dropped however often a full disk refuses what its handler has written', { skip: !canMount && NOT_TESTED }, async (t) => {
  // One thread: the handler waits for a variable of the module, which each thread has for itself.
  const server = await serveOnSmallDisk(t, ['--alarm-retry-ms', '10', '--threads', '1']);
  await server.text('/set-alarm');
  let written = 0;
  while (written < writesMax && (await fetch(`${server.url}/write`)).status === 200) written++;
  await server.text('/disk-full');
  await until(() => server.output.stderr.split('it will be tried again').length > 8, 'the eighth failure'); // a handler that throws has seven
  assert.equal(await server.text('/read'), String(written));
  await server.text('/free');
  await until(async () => (await server.text('/read')) === String(written + 1), 'the attempt that succeeds');
  assert.equal((await server.stop()).code, 0);
});
