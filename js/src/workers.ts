/** What `cloudflare:workers` is on Perdure. */
export { DurableObject, WorkerEntrypoint } from './runtime/entrypoints.js';
export { env } from './runtime/env.js';
