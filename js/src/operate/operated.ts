/** What the operations work on: an open data directory, whoever has it open. */
import type { NativeEngine } from '../runtime/native.js';
import type { Write, Written } from './write.js';

export interface Operated {
  engine: NativeEngine;
  dataDirectory: string;
  /** Runs it on the thread that owns the object, if its claim still holds when it is its turn; resolves when it is durable. */
  write(write: Write): Promise<Written>;
  /** The descriptor of the connection that asks, for the thread that has it. */
  client?: number;
  /** Of the process that serves; undefined: nobody does. */
  server: (() => Promise<ServerFacts>) | undefined;
}

export interface ServerFacts {
  pid: number;
  project: string;
  port: number;
  threads: number;
  uptimeMs: number;
  /** Resident memory of the process, and what it may take. */
  memoryBytes: number;
  memoryLimitBytes: number;
  /** Objects in memory, by thread. */
  objectsInMemory: number[];
}

/** A part of what an operation answers: data that can be sent (wire.ts), or bytes. */
export type Part = unknown;

/** Ends early when `signal` says so, with whatever error. */
export type Operation<Arguments> = (operated: Operated, args: Arguments, signal: AbortSignal) => AsyncGenerator<Part>;
