/** The classes that user code extends; `cloudflare:workers` and `perdure/workers` export them. */
import type { Background } from './background.js';
import { notDataClass } from './clone.js';
import type { DurableObjectState } from './state.js';
import { wrongParameter } from './web-idl.js';

export class DurableObject<Env = unknown> {
  protected ctx: DurableObjectState;
  protected env: Env;

  constructor(ctx: DurableObjectState, env: Env) {
    this.ctx = ctx;
    this.env = env;
  }
}

notDataClass(DurableObject);

/** What a request handler of a Worker gets as `ctx`. */
export class ExecutionContext {
  readonly props: Record<string, unknown> = {};
  readonly #background: Background;

  constructor(
    background: Background,
    /** The namespaces of the program's classes, by the names of these. */
    readonly exports: Record<string, unknown>,
  ) {
    this.#background = background;
  }

  /** A clean stop waits for the promise. */
  waitUntil(promise: unknown): void {
    if (arguments.length === 0) throw wrongParameter('waitUntil', 'ExecutionContext', 1, 'Promise');
    this.#background.add('The Worker', promise);
  }

  passThroughOnException(): void {
    throw new Error('ctx.passThroughOnException() has no origin to pass the request to on Perdure.');
  }
}

export class WorkerEntrypoint<Env = unknown> {
  protected ctx: ExecutionContext;
  protected env: Env;

  constructor(ctx: ExecutionContext, env: Env) {
    this.ctx = ctx;
    this.env = env;
  }
}
