/**
 * The critical sections of an object: what runs inside blockConcurrencyWhile() and transaction(). The
 * object core decides which of them runs and what is delivered meanwhile (src/object/input_gate.h);
 * here are their callbacks, and what is known about code: which section it belongs to.
 *
 * Code belongs to the section of its turn (Shard.section). Code that something outside the runtime has
 * woken (a file, a body of fetch()) has no turn: it belongs to the section whose callback it goes back to.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { clearTimeout, setTimeout } from 'node:timers'; // user code may replace the globals
import type { Instance } from './host.js';

/** A section that has not ended so long after it began fails. As kSectionMsMax in src/object/object.h. */
const SECTION_MS_MAX = 30_000;

/** Of code outside all sections. */
export const ROOT = 0;

/**
 * Tells the section of code without a turn. It makes every promise of the process several times slower on
 * Node.js 20, so it is switched off while no section runs.
 */
const callbacks = new AsyncLocalStorage<Section>();
/** Sections of all objects whose callbacks run. */
let running = 0;

function stopped(count: number): void {
  running -= count;
  if (running === 0) callbacks.disable();
}

/** One section. */
export class Section {
  /** Its number, once it has begun; grows in the order in which they begin. */
  id = ROOT;
  /** What is open in it, awaited or not: a transaction ends after those. */
  #inside = 0;
  #whenEmpty: (() => void) | undefined;
  timer: NodeJS.Timeout | undefined;
  /** What the code that asked for it has in each AsyncLocalStorage; its callback runs in a turn that has nothing of that. */
  readonly inContext = AsyncLocalStorage.snapshot();

  constructor(
    readonly owner: Sections,
    /** The section whose code asked for it; it may have ended since. */
    readonly origin: number,
    /** The innermost transaction that it is part of. */
    readonly within: Section | undefined,
    readonly isTransaction: boolean,
    readonly body: (section: Section) => unknown,
    readonly resolve: (value: unknown) => void,
  ) {
    if (within !== undefined) within.#inside++;
  }

  /** Resolves when no section is left that was asked for inside this transaction. */
  async empty(): Promise<void> {
    while (this.#inside > 0) await new Promise<void>((resolve) => (this.#whenEmpty = resolve));
  }

  /** It has ended. */
  leave(): void {
    const { within } = this;
    if (within !== undefined && --within.#inside === 0) within.#whenEmpty?.();
  }
}

const startTurn = (section: Section): void => section.owner.start(section);

/** The sections of one instance of an object. */
export class Sections {
  readonly #instance: Instance;
  /** Those that have begun, by their numbers: each inside the one before. */
  readonly #open: Section[] = [];
  /** Those that have to wait, by the number of the request. */
  readonly #waiting = new Map<number, Section>();
  #running = 0;

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  /** No section is open or waits. */
  get none(): boolean {
    return this.#open.length === 0 && this.#waiting.size === 0;
  }

  get waits(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Runs `body` as a section, in a turn to come, when those before it have ended. When it fails or takes
   * too long, the object is reset, and the promise never settles. Rejects when there are too many.
   */
  run<T>(body: (section: Section) => T | Promise<T>, isTransaction: boolean): Promise<T> {
    const { slot, native, shard } = this.#instance.host;
    const origin = this.#sectionOfCode();
    const request = shard.nextEvent();
    let id: number;
    try {
      id = native.openSection(slot, request, origin, Date.now());
    } catch (error) {
      return Promise.reject(Object.assign(error as Error, { overloaded: true }));
    }
    const around = this.#open.findLast((section) => section.id <= origin);
    const within = around?.isTransaction === true ? around : around?.within;
    return new Promise((resolve) => {
      const section = new Section(this, origin, within, isTransaction, body, resolve as (value: unknown) => void);
      if (id === ROOT) {
        this.#waiting.set(request, section);
        return;
      }
      this.#begun(section, id);
      shard.turn(startTurn, section);
    });
  }

  #sectionOfCode(): number {
    const { shard } = this.#instance.host;
    if (shard.current === this.#instance) return shard.section;
    const section = callbacks.getStore();
    return section?.owner === this ? section.id : ROOT;
  }

  #begun(section: Section, id: number): void {
    section.id = id;
    this.#open.push(section);
  }

  /** Starts the section that has to begin now, in the turn that runs; false when there is none. */
  startNext(): boolean {
    if (this.#waiting.size === 0) return false;
    const { slot, native } = this.#instance.host;
    const started = native.nextSection(slot, Date.now());
    if (started === null) return false;
    const [request, id] = started;
    const section = this.#waiting.get(request)!;
    this.#waiting.delete(request);
    this.#begun(section, id);
    this.start(section);
    return true;
  }

  /** In the section's turn. */
  start(section: Section): void {
    const instance = this.#instance;
    if (!instance.alive) return;
    instance.host.shard.enter(instance, section.id);
    this.#running++;
    running++;
    section.timer = setTimeout(() => this.#fail(tookTooLong()), SECTION_MS_MAX);
    const { body } = section;
    section
      .inContext(() => callbacks.run(section, async () => body(section)))
      .then(
        (value) => this.#end(section, value),
        (thrown: unknown) => this.#fail(thrown),
      );
  }

  #end(section: Section, value: unknown): void {
    const instance = this.#instance;
    if (!instance.alive) return;
    const { slot, native, shard } = instance.host;
    clearTimeout(section.timer);
    this.#running--;
    stopped(1);
    this.#open.splice(this.#open.indexOf(section), 1);
    native.closeSection(slot, section.id);
    section.leave();
    const { origin, resolve } = section;
    if (shard.current === instance) {
      // The rest of the turn belongs to the code that asked for it.
      shard.section = origin;
      resolve(value);
    } else
      shard.turn(() => {
        shard.enter(instance, origin);
        resolve(value);
      }, undefined);
    instance.host.drain();
  }

  #fail(thrown: unknown): void {
    if (this.#instance.alive) this.#instance.host.reset(thrown);
  }

  /** The instance is gone. */
  abandon(): void {
    for (const section of this.#open) clearTimeout(section.timer);
    stopped(this.#running);
    this.#running = 0;
    this.#open.length = 0;
    this.#waiting.clear();
  }
}

function tookTooLong(): Error {
  const text = 'A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.';
  return Object.assign(new Error(text), { overloaded: true });
}
