// What a program is made of: sections, each a function that runs checks, in an object of its own or in
// the Worker. The Worker answers any request with the transcript.
import { ENDS_EARLY } from './compare.mjs';
import { describe } from './describe.mjs';

/** A check that has not answered after this time is a result of its own; other checks go on. */
const CHECK_MS_MAX = 5_000;

const isThenable = (value) =>
  (typeof value === 'object' || typeof value === 'function') && value !== null && typeof value.then === 'function';

export class Program {
  #sections = new Map();
  /** Lines of the run; kept here and not in the objects, so that they outlive an object's reset. */
  #lines = [];
  #names = new Set();
  #query = new URLSearchParams();

  /** A value as text; see describe.mjs. */
  describe(value) {
    return describe(value);
  }

  /** `run(tools)` runs in an object named after the section, of the class that is bound as `binding`. */
  inObject(section, run, binding = 'SUBJECT') {
    this.#add(section, { run, binding });
  }

  /** `run({ check, env, random, … })` runs in the Worker. */
  inWorker(section, run) {
    this.#add(section, { run });
  }

  #add(section, entry) {
    if (this.#sections.has(section)) throw new Error(`two sections are named "${section}"`);
    this.#sections.set(section, entry);
  }

  /** For the class's method `section(name)`. */
  async runInObject(name, ctx, env, self) {
    const { storage } = ctx;
    const tools = this.#tools(name);
    Object.assign(tools, { ctx, env, self, storage });
    // Asking a class without SQLite for them may throw.
    Object.defineProperty(tools, 'sql', { get: () => storage.sql });
    Object.defineProperty(tools, 'kv', { get: () => storage.kv });
    await this.#runWith(tools, this.#sections.get(name));
  }

  get worker() {
    return {
      fetch: async (request, env, ctx) => {
        this.#query = new URL(request.url).searchParams;
        this.#lines = [];
        this.#names.clear();
        for (const [name, section] of this.#sections) await this.#runSection(name, section, env, ctx);
        return new Response(`${this.#lines.join('\n')}\n`);
      },
    };
  }

  async #runSection(name, section, env, ctx) {
    try {
      if (section.binding === undefined) await this.#runWith(Object.assign(this.#tools(name), { env, ctx }), section);
      else await env[section.binding].getByName(name).section(name);
    } catch (error) {
      this.#print(`${name} / ${ENDS_EARLY}`, describe(error));
    }
  }

  async #runWith(tools, { run }) {
    await run(tools);
    await Promise.all(tools.pending);
  }

  #tools(section) {
    const seed = Number(this.#query.get('seed') ?? 1);
    const pending = [];
    const print = (name, result) => this.#print(`${section} / ${name}`, result);
    return {
      describe,
      seed,
      pending,
      /** Prints what `run()` comes to: at once when it gives a value, later when it gives a promise. */
      check: (name, run) => {
        const outcome = this.#outcome(run);
        if (typeof outcome === 'string') return print(name, outcome);
        const printed = outcome.then((result) => print(name, result));
        pending.push(printed);
        return printed;
      },
      /** A check whose result is `lines`: what comes after the first stands below it. */
      story: (name, lines) => print(name, lines.join('\n  ')),
      /** A check of something that is refused: `dump()` tells the state, and has to tell the same afterwards. */
      refused: async (name, run, dump) => {
        const before = describe(await dump());
        const outcome = await this.#outcome(run);
        const after = describe(await dump());
        print(name, `${outcome}; ${before === after ? 'storage as it was' : `storage was ${before} and is ${after}`}`);
      },
    };
  }

  #print(name, result) {
    if (name.includes(': ')) throw new Error(`the name of a check cannot hold ": ", as "${name}" does`);
    if (this.#names.has(name)) throw new Error(`two checks are named "${name}"`);
    this.#names.add(name);
    this.#lines.push(`${name}: ${result}`);
  }

  /** What a call came to; of a promise, a promise of it. A rejection is told apart from a throw. */
  #outcome(run) {
    let result;
    try {
      result = run();
    } catch (error) {
      return `throws ${describe(error)}`;
    }
    if (!isThenable(result)) return describe(result);
    return this.#settled(result);
  }

  async #settled(promise) {
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve(`no answer within ${CHECK_MS_MAX} ms`), CHECK_MS_MAX);
    });
    const settled = promise.then(
      (value) => `resolves ${describe(value)}`,
      (error) => `rejects ${describe(error)}`,
    );
    try {
      return await Promise.race([settled, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
