/**
 * Keeps the process below a limit of resident memory. What counts is all that the operating system counts:
 * V8's heap, SQLite's page caches and statements, committed pages that wait for the checkpoint, and what
 * the allocators keep although it is free. So what happens near the limit is decided by measuring the process,
 * step by step: objects that have nothing to do leave, least recently used first; what is free goes back to
 * the operating system; V8 collects its garbage; a checkpoint takes the committed pages.
 */
import { clearTimeout, setTimeout } from 'node:timers'; // user code may replace the globals
import { constrainedMemory, memoryUsage } from 'node:process';
import { totalmem } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { loadNative } from './native.js';
import type { Shard } from './shard.js';

/** Node.js and the engine take half of it before there is any object. */
export const MEMORY_LIMIT_BYTES_MIN = 192 << 20;
/** Of the memory that the process may have, when no limit is given. */
const DEFAULT_PART = 0.75;

/** Parts of the limit: memory is made room for above the first, until the second is reached. */
const HIGH_PART = 0.85;
const LOW_PART = 0.78;
/** Of the objects in memory, so many leave in one step. */
const STEP_PART = 1 / 8;
const STEPS_MAX = 8;
/** When V8's heap has grown by this much since its garbage was collected, it is before anything leaves. */
const HEAP_GROWTH_BYTES = 16 << 20;
/** How fast memory may grow without being noticed in time; with it, the pauses between two looks. */
const GROWTH_BYTES_PER_MS = 1 << 20;
const LOOK_MS_MIN = 10;
const LOOK_MS_MAX = 1000;
/** Making room that brings less than this part of the limit is not worth being tried again at once... */
const WORTH_PART = 1 / 100;
/** ... but after so many times what it took: it costs the others a tenth of the time at most. */
const REST_WHEN_STUCK = 10;
const COMPLAINT_MS = 60_000;

const MEGABYTE = 1 << 20;
const megabytes = (bytes: number): string => `${Math.round(bytes / MEGABYTE)} MB`;

/** For a process that was given none. */
export function defaultMemoryLimit(): number {
  const machine = totalmem();
  const allowed = constrainedMemory();
  return Math.max(MEMORY_LIMIT_BYTES_MIN, Math.floor(DEFAULT_PART * (allowed > 0 && allowed < machine ? allowed : machine)));
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

/** What it does to the process; tests give another one. */
export interface ProcessMemory {
  /** Resident bytes. */
  resident(): number;
  /** Bytes that V8 holds, for garbage too. */
  heap(): number;
  collectGarbage(): void;
  releaseFreeMemory(): void;
}

export function processMemory(): ProcessMemory {
  return {
    resident: () => memoryUsage.rss(),
    heap() {
      const { heapTotal, external } = memoryUsage();
      return heapTotal + external;
    },
    collectGarbage: garbageCollector(),
    releaseFreeMemory: () => loadNative().releaseFreeMemory(),
  };
}

/** The shard's side of it. */
export type Evictor = Pick<Shard, 'evictLeastRecentlyUsed'> & { engine: Pick<Shard['engine'], 'requestCheckpoint'> };

export class MemoryLimit {
  readonly #shard: Evictor;
  readonly #limit: number;
  readonly #memory: ProcessMemory;
  readonly #warn: (line: string) => void;
  #timer: NodeJS.Timeout | undefined;
  /** V8's heap after the last collection that was asked for here. */
  #heapAfter = 0;
  #complainedMs = -Infinity;

  constructor(shard: Evictor, limitBytes: number, memory: ProcessMemory, warn: (line: string) => void) {
    this.#shard = shard;
    this.#limit = limitBytes;
    this.#memory = memory;
    this.#warn = warn;
  }

  /** Looks from now on, in tasks of their own: no code of an object is in the middle of something then. */
  start(): void {
    this.#lookIn(LOOK_MS_MIN);
  }

  #lookIn(ms: number): void {
    this.#timer = setTimeout(() => this.#lookIn(this.look(performance.now())), ms);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Makes room when memory is short; -> in how many milliseconds it wants to look again. */
  look(nowMs: number): number {
    const high = HIGH_PART * this.#limit;
    let resident = this.#memory.resident();
    let restMs = 0;
    if (resident >= high) {
      const before = resident;
      const evicted = this.#makeRoom();
      resident = this.#memory.resident();
      if (resident >= high && before - resident < WORTH_PART * this.#limit) restMs = REST_WHEN_STUCK * (performance.now() - nowMs);
      if (evicted === 0 && resident > this.#limit) this.#complain(resident, nowMs);
    }
    const pauseMs = Math.max(LOOK_MS_MIN, (high - resident) / GROWTH_BYTES_PER_MS);
    return Math.max(Math.min(LOOK_MS_MAX, pauseMs), restMs);
  }

  /** -> how many objects have left. */
  #makeRoom(): number {
    let evicted = 0;
    const low = LOW_PART * this.#limit;
    let resident = this.#memory.heap() > this.#heapAfter + HEAP_GROWTH_BYTES ? this.#collect() : Infinity;
    for (let step = 0; step < STEPS_MAX && resident > low; step++) {
      const left = this.#shard.evictLeastRecentlyUsed(STEP_PART);
      evicted += left;
      resident = this.#release();
      // What V8 held of those that have left is garbage now. It costs more than the rest, so it comes last.
      if (resident > low) resident = this.#collect();
      if (left === 0) break;
    }
    if (resident > low) this.#shard.engine.requestCheckpoint();
    return evicted;
  }

  #collect(): number {
    this.#memory.collectGarbage();
    this.#heapAfter = this.#memory.heap();
    return this.#release();
  }

  #release(): number {
    this.#memory.releaseFreeMemory();
    return this.#memory.resident();
  }

  #complain(resident: number, nowMs: number): void {
    if (nowMs < this.#complainedMs + COMPLAINT_MS) return;
    this.#complainedMs = nowMs;
    this.#warn(
      `The process takes ${megabytes(resident)} of memory, more than its limit of ${megabytes(this.#limit)}, and nothing more can leave: ` +
        'all objects in memory have work to do. Raise --memory-limit.',
    );
  }
}
