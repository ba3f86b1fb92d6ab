/** What the operations work on: an open data directory, whoever has it open. */
import type { NativeEngine } from '../runtime/native.js';
import type { Write, Written } from './write.js';

export interface Operated {
  engine: NativeEngine;
  dataDirectory: string;
  /** Runs it on the thread that owns the object; resolves when it is durable. An operation that ends early does not take it back. */
  write(write: Write): Promise<Written>;
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
