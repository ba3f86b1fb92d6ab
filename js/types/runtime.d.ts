/**
 * The web platform's classes as the program's own runtime has them: those of Node.js, Deno, Bun or the
 * DOM, or Cloudflare's where `@cloudflare/workers-types` is what the program is checked with.
 */
export type RuntimeRequest = typeof globalThis extends { Request: { new (...parameters: any): infer T } } ? T : never;
export type RuntimeResponse = typeof globalThis extends { Response: { new (...parameters: any): infer T } } ? T : never;
/** What `new Request(input, init)` takes as `init`. */
export type RuntimeRequestInit = typeof globalThis extends { Request: { new (input: any, init?: infer T): any } } ? T : never;
