// Random sequences of operations. The seed decides all of them; each sequence is one check, its steps
// stand below it. What is stored in the end must be what a plain Map holds after the same operations.
import { describe } from '../support/describe.mjs';
import { createRandom } from '../../tests/support/random.mjs';
import { ordered } from './keys.mjs';
import { cloneables } from './values.mjs';

const SEQUENCES = 8;
const STEPS = 60;

/** Choices from one seed. */
export class Choice {
  constructor(seed) {
    this.random = createRandom(seed);
  }
  below(n) {
    return Math.floor(this.random() * n);
  }
  of(list) {
    return list[this.below(list.length)];
  }
  chance(share) {
    return this.random() < share;
  }
  /** Integers of any size, fractions, texts. */
  number() {
    return this.of([0, -0, 1, -1, 0.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e300, this.below(1000), this.random(), this.below(2 ** 31) * 1000]);
  }
  text() {
    const units = ['a', 'b', '\u00e9', '\u{1f600}', '\0', '"', ' ', '\uffff'];
    return Array.from({ length: this.below(12) }, () => this.of(units)).join('');
  }
  key() {
    return this.chance(0.5) ? this.of(ordered.slice(0, 12)) : this.chance(0.5) ? this.of(ordered) : this.text();
  }
  value(depth = 3) {
    if (depth === 0 || this.chance(0.5)) return this.of([
      () => this.number(), () => this.text(), () => null, () => this.chance(0.5), () => BigInt(this.below(1000)),
      () => new Date(this.below(1e9)), () => new Uint8Array(this.below(6)).fill(this.below(256)),
    ])();
    const items = Array.from({ length: this.below(4) }, () => this.value(depth - 1));
    return this.of([
      () => items, () => Object.fromEntries(items.map((item, i) => [this.of(['a', 'b', 'c', '__x', '1']) + i, item])),
      () => new Map(items.map((item) => [this.text(), item])), () => new Set(items),
    ])();
  }
  listOptions() {
    const options = {};
    if (this.chance(0.3)) options.prefix = [...this.key()].slice(0, 2).join('');
    if (this.chance(0.3)) options[this.of(['start', 'startAfter'])] = this.key();
    if (this.chance(0.3)) options.end = this.key();
    if (this.chance(0.3)) options.limit = 1 + this.below(5);
    if (this.chance(0.3)) options.reverse = true;
    return options;
  }
}

/** Runs `SEQUENCES` sequences of `step(choice)`, which gives `[what was done, its outcome]`; `end()` checks and clears. */
export async function sequences({ story, seed }, step, end) {
  for (let i = 0; i < SEQUENCES; i++) {
    const choice = new Choice((seed + i * 0x9e3779b9) >>> 0);
    const lines = [`${STEPS} steps`];
    for (let n = 0; n < STEPS; n++) {
      const [done, outcome] = await step(choice);
      lines.push(`${done} -> ${outcome}`);
    }
    lines.push(`in the end -> ${await end()}`);
    story(`sequence ${i + 1}`, lines);
  }
}

const encoder = new TextEncoder();
function compareKeys(a, b) {
  const [x, y] = [encoder.encode(a), encoder.encode(b)];
  for (let i = 0; i < x.length && i < y.length; i++) if (x[i] !== y[i]) return x[i] - y[i];
  return x.length - y.length;
}

/** What `list(options)` has to find in a Map. */
function listModel(model, { prefix = '', start, startAfter, end, limit = Infinity, reverse = false } = {}) {
  const inside = (key) =>
    key.startsWith(prefix) && (start === undefined || compareKeys(key, start) >= 0) && (startAfter === undefined || compareKeys(key, startAfter) > 0) && (end === undefined || compareKeys(key, end) < 0);
  const keys = [...model.keys()].filter(inside).sort(compareKeys);
  if (reverse) keys.reverse();
  return keys.slice(0, limit).map((key) => [key, model.get(key)]);
}

class Disagreement extends Error {}

/** The text of what was found, which must be that of what is expected. */
function agreement(found, expected) {
  if (describe(found) === describe(expected)) return describe(found);
  throw new Disagreement(`found ${describe(found)}, but a Map holds ${describe(expected)}`);
}

/** What a step came to. That the storage disagrees with the Map ends the whole section. */
async function settle(run) {
  try {
    return describe(await run());
  } catch (error) {
    if (error instanceof Disagreement) throw error;
    return `throws ${describe(error)}`;
  }
}

export function addRandomKv(program) {
  program.inObject('kv', async (tools) => {
    const { kv, storage } = tools;
    let model = new Map();
    const operations = {
      put: (c) => { const [key, value] = [c.key(), c.value()]; model.set(key, value); return [[key, value], () => kv.put(key, value)]; },
      get: (c) => { const key = c.key(); return [[key], () => kv.get(key)]; },
      delete: (c) => { const key = c.key(); model.delete(key); return [[key], () => kv.delete(key)]; },
      list: (c) => { const options = c.listOptions(); return [[options], () => agreement([...kv.list(options)], listModel(model, options))]; },
      'transaction that is thrown away': (c) => {
        const [key, other] = [c.key(), c.key()];
        const change = () => {
          kv.put(key, 'gone');
          kv.delete(other);
          throw new Error('back');
        };
        return [[key, other], () => storage.transactionSync(change)];
      },
      'transaction': (c) => {
        const [key, other] = [c.key(), c.key()];
        model.set(key, 'kept');
        model.delete(other);
        return [[key, other], () => storage.transactionSync(() => { kv.put(key, 'kept'); return kv.delete(other); })];
      },
    };
    const step = async (c) => {
      const name = c.of(Object.keys(operations));
      const [args, run] = operations[name](c);
      return [`${name}${describe(args)}`, await settle(run)];
    };
    const end = async () => { const result = agreement([...kv.list()], listModel(model)); model = new Map(); await storage.deleteAll(); return result; };
    await sequences(tools, step, end);
  });
}

export function addRandomStorage(program) {
  program.inObject('storage', async (tools) => {
    const { storage } = tools;
    let model = new Map();
    let pending = [];
    // Of these, storing keeps all that describe() tells.
    const oddValues = Object.entries(cloneables()).flatMap(([label, value]) => (/Error|DOMException|lastIndex/.test(label) ? [] : [value]));
    const keys = (c) => Array.from({ length: c.below(5) }, () => c.key());
    const put = (c) => { const [key, value] = [c.key(), c.chance(0.2) ? structuredClone(c.of(oddValues)) : c.value()]; model.set(key, value); return [key, value]; };
    const operations = {
      put: (c) => { const [key, value] = put(c); return [[key, value], () => storage.put(key, value)]; },
      'put without await': (c) => { const [key, value] = put(c); return [[key, value], () => { pending.push(storage.put(key, value)); }]; },
      'put of pairs': (c) => {
        const pairs = Object.fromEntries(keys(c).map((key) => [key, c.value()]));
        for (const [key, value] of Object.entries(pairs)) model.set(key, value);
        return [[pairs], () => storage.put(pairs)];
      },
      'put that is refused': (c) => { const key = c.key(); return [[key], () => storage.put({ [key]: 1, [`${key}2`]: () => 1 })]; },
      get: (c) => { const key = c.key(); return [[key], () => storage.get(key)]; },
      'get of keys': (c) => { const list = keys(c); return [[list], () => storage.get(list)]; },
      delete: (c) => { const key = c.key(); model.delete(key); return [[key], () => storage.delete(key)]; },
      'delete without await': (c) => { const key = c.key(); model.delete(key); return [[key], () => { pending.push(storage.delete(key)); }]; },
      'delete of keys': (c) => { const list = keys(c); for (const key of list) model.delete(key); return [[list], () => storage.delete(list)]; },
      list: (c) => {
        const options = c.listOptions();
        const expected = listModel(model, options);
        return [[options], async () => agreement([...(await storage.list(options))], expected)];
      },
      sync: () => [[], () => storage.sync()],
      transaction: (c) => {
        const [key, other, rollback] = [c.key(), c.key(), c.of(['no', 'rollback', 'throw'])];
        if (rollback === 'no') model.set(key, 'kept');
        if (rollback === 'no') model.delete(other);
        return [[key, other, rollback], () => storage.transaction(async (txn) => {
          await txn.put(key, 'kept');
          const deleted = await txn.delete(other);
          const seen = [await txn.get(key), await txn.get(other), (await storage.list()).size];
          if (rollback === 'rollback') txn.rollback();
          if (rollback === 'throw') throw new RangeError('back');
          return [deleted, seen];
        })];
      },
    };
    const step = async (c) => {
      const name = c.of(Object.keys(operations));
      const [args, run] = operations[name](c);
      return [`${name}${describe(args)}`, await settle(run)];
    };
    const end = async () => {
      await Promise.all(pending);
      pending = [];
      const result = agreement([...(await storage.list())], listModel(model));
      model = new Map();
      await storage.deleteAll();
      return result;
    };
    await sequences(tools, step, end);
  });
}
