// Every mistake in a configuration file has an exact message with its place.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory, writeFiles } from './support/files.mjs';
import { runPerdure } from './support/perdure.mjs';

const served =
  'served are $schema, name, main, compatibility_date, compatibility_flags, durable_objects, migrations, vars, triggers';

/** A valid file with `lines` in front: the mistakes in them stand on known lines. */
const jsonc = (...lines) => `{\n${lines.map((line) => `  ${line}\n`).join('')}}\n`;
const basics = ['"name": "test",', '"main": "index.ts",', '"compatibility_date": "2026-01-01",'];
/** The steps stand on the lines from 6 on. */
const migrations = (...steps) =>
  jsonc(...basics, '"migrations": [', ...steps.map((step) => `${JSON.stringify(step)},`), ']');

/** Title, file name, content, message with $DIR for the project's folder. */
const cases = [
  // Broken text.
  ['a missing comma', 'wrangler.jsonc', '{\n  "name": "a"\n  "main": "b"\n}', '$DIR/wrangler.jsonc:3:3: a comma is expected here'],
  ['a missing brace', 'wrangler.jsonc', '{ "name": "a"', '$DIR/wrangler.jsonc:1:14: a closing brace "}" is missing'],
  ['a bare word', 'wrangler.jsonc', '{\n  "name": yes\n}', '$DIR/wrangler.jsonc:2:11: this is no JSON value'],
  ['a string without end', 'wrangler.jsonc', '{\n  "name": "a\n}', '$DIR/wrangler.jsonc:2:11: this string does not end'],
  ['a comment without end', 'wrangler.jsonc', '{\n  /* "name": "a"\n}', '$DIR/wrangler.jsonc:2:3: this comment does not end'],
  ['an empty file', 'wrangler.jsonc', '', '$DIR/wrangler.jsonc:1:1: the file is empty'],
  ['a list instead of an object', 'wrangler.json', '[]', '$DIR/wrangler.json:1:1: the file must be an object, not a list'],
  ['a key that is there twice', 'wrangler.jsonc', jsonc(...basics, '"name": "b"'), '$DIR/wrangler.jsonc:5:3: the key "name" is there twice'],
  ['broken TOML', 'wrangler.toml', 'name = "a"\nmain = \n', '$DIR/wrangler.toml:2:8: invalid value'],
  ['a TOML key that is there twice', 'wrangler.toml', 'name = "a"\nname = "b"\n', '$DIR/wrangler.toml:2:1: trying to redefine an already defined table or value'],

  // Keys.
  ['an unknown key', 'wrangler.jsonc', jsonc(...basics, '"kv_namespaces": []'), `$DIR/wrangler.jsonc:5:3: the key "kv_namespaces" is not served by Perdure; remove it (${served})`],
  ['an unknown key in TOML', 'wrangler.toml', 'name = "a"\n\n[observability]\nenabled = true\n', `$DIR/wrangler.toml:3:1: the key "observability" is not served by Perdure; remove it (${served})`],
  ['an unknown key of durable_objects', 'wrangler.jsonc', jsonc(...basics, '"durable_objects": { "binding": [] }'), '$DIR/wrangler.jsonc:5:24: the key "durable_objects.binding" is not served by Perdure; remove it (only bindings is)'],
  ['an unknown key of a binding', 'wrangler.jsonc', jsonc(...basics, '"durable_objects": { "bindings": [{ "environment": "x" }] }'), '$DIR/wrangler.jsonc:5:39: the key "durable_objects.bindings[0].environment" is not served by Perdure; remove it (served are name, class_name)'],
  ['an unknown key of a binding in TOML', 'wrangler.toml', 'name = "a"\nmain = "index.ts"\ncompatibility_date = "2026-01-01"\n[[durable_objects.bindings]]\nname = "A"\nclass_name = "A"\nenvironment = "x"\n', '$DIR/wrangler.toml:7:1: the key "durable_objects.bindings[0].environment" is not served by Perdure; remove it (served are name, class_name)'],
  ['script_name', 'wrangler.jsonc', jsonc(...basics, '"durable_objects": { "bindings": [', '  { "name": "A", "class_name": "A", "script_name": "other" } ] }'), '$DIR/wrangler.jsonc:6:39: the key "script_name" is not served by Perdure: a project is served alone, so a binding can only name a class of its own; remove it'],
  ['an unknown key of a migration', 'wrangler.jsonc', migrations({ tag: 'v1', transferred_classes: [] }), '$DIR/wrangler.jsonc:6:15: the key "migrations[0].transferred_classes" is not served by Perdure; remove it (served are tag, new_sqlite_classes, new_classes, renamed_classes, deleted_classes)'],

  // Missing and wrong values.
  ['no name', 'wrangler.jsonc', jsonc('"main": "index.ts"'), '$DIR/wrangler.jsonc:1:1: the key "name" is missing; add it, for example "name": "my-project"'],
  ['no name in TOML', 'wrangler.toml', 'main = "index.ts"\n', '$DIR/wrangler.toml: the key "name" is missing; add it, for example "name": "my-project"'],
  ['a number as name', 'wrangler.jsonc', jsonc('"name": 1'), '$DIR/wrangler.jsonc:2:11: "name" must be a string that is not empty, not a number'],
  ['an empty name', 'wrangler.jsonc', jsonc('"name": ""'), '$DIR/wrangler.jsonc:2:11: "name" must be a string that is not empty, not an empty one'],
  ['a name that no host can have', 'wrangler.jsonc', jsonc('"name": "My App"'), '$DIR/wrangler.jsonc:2:11: the name "My App" may hold only lower-case letters, digits, "_" and "-", and may not begin with "-"'],
  ['no main', 'wrangler.jsonc', jsonc('"name": "a"'), '$DIR/wrangler.jsonc:1:1: the key "main" is missing; add it, for example "main": "src/index.ts"'],
  ['a main that is not there', 'wrangler.jsonc', jsonc('"name": "a",', '"main": "src/index.ts"'), '$DIR/wrangler.jsonc:3:11: "main" names $DIR/src/index.ts, and there is no such file'],
  ['a main in TOML that is not there', 'wrangler.toml', 'name = "a"\n# the entry\nmain = "src/index.ts"\n', '$DIR/wrangler.toml:3:1: "main" names $DIR/src/index.ts, and there is no such file'],
  ['no compatibility date', 'wrangler.jsonc', jsonc('"name": "a",', '"main": "index.ts"'), '$DIR/wrangler.jsonc:1:1: the key "compatibility_date" is missing; add it, for example "compatibility_date": "2026-01-01"'],
  ['a day that does not exist', 'wrangler.jsonc', jsonc('"name": "a",', '"main": "index.ts",', '"compatibility_date": "2026-02-30"'), '$DIR/wrangler.jsonc:4:25: the compatibility date "2026-02-30" is not a day written as YYYY-MM-DD'],
  ['an unknown flag', 'wrangler.jsonc', jsonc(...basics, '"compatibility_flags": ["nodejs_compat", "no_such_flag"]'), '$DIR/wrangler.jsonc:5:44: the compatibility flag "no_such_flag" is not served by Perdure; remove it (served are nodejs_compat, nodejs_compat_v2, nodejs_als, rpc, global_navigator, delete_all_deletes_alarm, delete_all_preserves_alarm)'],
  ['a flag that is there twice', 'wrangler.jsonc', jsonc(...basics, '"compatibility_flags": ["rpc", "rpc"]'), '$DIR/wrangler.jsonc:5:34: the compatibility flag "rpc" is there twice'],
  ['flags that are no list', 'wrangler.jsonc', jsonc(...basics, '"compatibility_flags": "rpc"'), '$DIR/wrangler.jsonc:5:26: "compatibility_flags" must be a list, not a string'],
  ['vars that are no object', 'wrangler.jsonc', jsonc(...basics, '"vars": ["A"]'), '$DIR/wrangler.jsonc:5:11: "vars" must be an object, not a list'],
  ['a date as a variable', 'wrangler.toml', 'name = "a"\nmain = "index.ts"\ncompatibility_date = 2026-01-01\n[vars]\nSINCE = 2026-01-01\n', '$DIR/wrangler.toml:5:1: "vars.SINCE" is a date, and a variable can only be what JSON holds; put it in quotes'],
  ['a cron expression with a wrong minute', 'wrangler.jsonc', jsonc(...basics, '"triggers": { "crons": ["0 * * * *",', '"60 * * * *"] }'), '$DIR/wrangler.jsonc:6:3: the cron expression "60 * * * *" is wrong: Invalid value for minute: 60'],
  ['a cron expression with seconds', 'wrangler.toml', 'name = "a"\nmain = "index.ts"\ncompatibility_date = "2026-01-01"\n[triggers]\ncrons = ["* * * * * *"]\n', '$DIR/wrangler.toml:5:1: the cron expression "* * * * * *" is wrong: it must have 5 fields: minute, hour, day of the month, month, day of the week'],
  ['a cron expression that never occurs', 'wrangler.jsonc', jsonc(...basics, '"triggers": { "crons": ["0 0 31 2 *"] }'), '$DIR/wrangler.jsonc:5:27: the cron expression "0 0 31 2 *" is wrong: it never occurs'],
  ['a cron expression with day 0', 'wrangler.jsonc', jsonc(...basics, '"triggers": { "crons": ["0 0 * * 0"] }'), '$DIR/wrangler.jsonc:5:27: the cron expression "0 0 * * 0" is wrong: the day of the week goes from 1 (Sunday) to 7 (Saturday)'],
  ['a cron expression with day 8', 'wrangler.jsonc', jsonc(...basics, '"triggers": { "crons": ["0 0 * * 1-8"] }'), '$DIR/wrangler.jsonc:5:27: the cron expression "0 0 * * 1-8" is wrong: the day of the week goes from 1 (Sunday) to 7 (Saturday)'],
  ['a cron expression with month 13', 'wrangler.jsonc', jsonc(...basics, '"triggers": { "crons": ["0 0 1 13 *"] }'), '$DIR/wrangler.jsonc:5:27: the cron expression "0 0 1 13 *" is wrong: the month goes from 1 to 12'],
  ['a cron expression that is there twice', 'wrangler.jsonc', jsonc(...basics, '"triggers": { "crons": ["0 * * * *", "0 * * * *"] }'), '$DIR/wrangler.jsonc:5:40: the cron expression "0 * * * *" is there twice'],

  // Bindings.
  ['a binding without a name', 'wrangler.jsonc', jsonc(...basics, '"durable_objects": { "bindings": [{ "class_name": "A" }] }'), '$DIR/wrangler.jsonc:5:37: the key "durable_objects.bindings[0].name" is missing; add it, for example "name": "COUNTER"'],
  ['a binding without a class', 'wrangler.jsonc', jsonc(...basics, '"durable_objects": { "bindings": [{ "name": "A" }] }'), '$DIR/wrangler.jsonc:5:37: the key "durable_objects.bindings[0].class_name" is missing; add it, for example "class_name": "Counter"'],
  ['a binding of a class that no migration creates', 'wrangler.jsonc', jsonc(...basics, '"durable_objects": { "bindings": [{ "name": "COUNTER", "class_name": "Counter" }] }'), '$DIR/wrangler.jsonc:5:72: the class "Counter" (bound as COUNTER) is in no migration; add one, for example "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Counter"] }]'],
  ['two bindings of one name', 'wrangler.jsonc', jsonc(...basics, '"migrations": [{ "tag": "v1", "new_classes": ["A"] }],', '"durable_objects": { "bindings": [{ "name": "A", "class_name": "A" },', '{ "name": "A", "class_name": "A" }] }'), '$DIR/wrangler.jsonc:7:13: two bindings or variables have the name "A"'],
  ['a binding named as a variable', 'wrangler.jsonc', jsonc(...basics, '"vars": { "A": 1 },', '"durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }] }'), '$DIR/wrangler.jsonc:6:47: two bindings or variables have the name "A"'],

  // Migrations.
  ['a migration without a tag', 'wrangler.jsonc', migrations({ new_classes: ['A'] }), '$DIR/wrangler.jsonc:6:3: the key "migrations[0].tag" is missing; add it, for example "tag": "v1"'],
  ['a tag that is there twice', 'wrangler.jsonc', migrations({ tag: 'v1' }, { tag: 'v1' }), '$DIR/wrangler.jsonc:7:10: the migration tag "v1" is there twice'],
  ['a class that is created twice', 'wrangler.jsonc', migrations({ tag: 'v1', new_classes: ['A'] }, { tag: 'v2', new_sqlite_classes: ['A'] }), '$DIR/wrangler.jsonc:7:37: the class "A" is created by an earlier migration'],
  ['a rename of nothing', 'wrangler.jsonc', migrations({ tag: 'v1', renamed_classes: [{ from: 'A', to: 'B' }] }), '$DIR/wrangler.jsonc:6:34: the class "A" cannot be renamed: no migration creates it'],
  ['a rename to a class that exists', 'wrangler.jsonc', migrations({ tag: 'v1', new_classes: ['A', 'B'] }, { tag: 'v2', renamed_classes: [{ from: 'A', to: 'B' }] }), '$DIR/wrangler.jsonc:7:34: the class "A" cannot be renamed to "B": it exists'],
  ['a deletion of nothing', 'wrangler.jsonc', migrations({ tag: 'v1', deleted_classes: ['A'] }), '$DIR/wrangler.jsonc:6:34: the class "A" cannot be deleted: no migration creates it'],
  ['a class name that is no string', 'wrangler.jsonc', migrations({ tag: 'v1', new_classes: [null] }), '$DIR/wrangler.jsonc:6:30: "migrations[0].new_classes[0]" must be a string that is not empty, not null'],
];

for (const [title, name, content, expected] of cases) {
  test(`configuration: ${title}`, async (t) => {
    const directory = writeFiles(temporaryDirectory(t), { [name]: content, 'index.ts': 'export default {};' });
    const { code, stdout, stderr } = await runPerdure(['serve', directory]);
    assert.equal(stderr, `perdure: ${expected.replaceAll('$DIR', directory)}\n`);
    assert.equal(stdout, '');
    assert.equal(code, 1);
  });
}

test('configuration: no file, no folder, two files, a file of another kind', async (t) => {
  const directory = temporaryDirectory(t);
  const messageOf = async (...args) => (await runPerdure(['serve', ...args])).stderr;
  assert.equal(
    await messageOf(directory),
    `perdure: ${directory}: no wrangler.jsonc, wrangler.json or wrangler.toml is here; name a project folder, or a file with --config\n`,
  );
  const missing = join(directory, 'missing');
  assert.equal(await messageOf(missing), `perdure: ${missing}: there is no such folder\n`);
  assert.equal(
    await messageOf(directory, '--config', missing),
    `perdure: ${missing}: there is no such file\n`,
  );
  writeFiles(directory, { 'wrangler.json': '{}', 'wrangler.toml': '', 'wrangler.yaml': '' });
  assert.equal(
    await messageOf(directory),
    `perdure: ${directory}: more than one configuration file (wrangler.json, wrangler.toml); name the one to use with --config\n`,
  );
  const yaml = join(directory, 'wrangler.yaml');
  assert.equal(
    await messageOf(directory, '--config', yaml),
    `perdure: ${yaml}: a configuration file ends in .jsonc, .json or .toml\n`,
  );
});
