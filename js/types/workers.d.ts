/** `perdure/workers`: what `cloudflare:workers` is in a project. */
import type { DurableObjectState } from './object.js';
import type { RuntimeRequest, RuntimeResponse } from './runtime.js';

/** The base of a class whose public methods can be called through its stubs. */
export abstract class DurableObject<Env = any, Props = {}> {
  /** Never there: it tells TypeScript a class of Durable Objects from one that looks alike. */
  ['__DURABLE_OBJECT_BRAND']: never;
  protected ctx: DurableObjectState<Props>;
  protected env: Env;
  constructor(ctx: DurableObjectState, env: Env);
  alarm?(alarmInfo?: { readonly isRetry: boolean; readonly retryCount: number; readonly scheduledTime: number }): void | Promise<void>;
  fetch?(request: RuntimeRequest): RuntimeResponse | Promise<RuntimeResponse>;
  webSocketMessage?(ws: any, message: string | ArrayBuffer): void | Promise<void>;
  webSocketClose?(ws: any, code: number, reason: string, wasClean: boolean): void | Promise<void>;
  webSocketError?(ws: any, error: unknown): void | Promise<void>;
}

export interface ExecutionContext<Props = unknown> {
  readonly props: Props;
  waitUntil(promise: Promise<any>): void;
  passThroughOnException(): void;
}

/** The base of a Worker that is a class; for projects, a registry has no Worker. */
export abstract class WorkerEntrypoint<Env = any, Props = {}> {
  ['__WORKER_ENTRYPOINT_BRAND']: never;
  protected ctx: ExecutionContext<Props>;
  protected env: Env;
  constructor(ctx: ExecutionContext<any>, env: Env);
  fetch?(request: RuntimeRequest): RuntimeResponse | Promise<RuntimeResponse>;
}

/** The bindings of a project. Throws in a program that uses open(): an object of a registry has `this.env`. */
export const env: Record<string, any>;
