/** What a call does in an object: which members RPC reaches, and how they and fetch() are called. */
import { asPromise, findMember, type ObjectHost } from './host.js';
import { isResponse } from './http.js';
import { withoutObjectId } from './values.js';

const NO_RPC =
  'The receiving Durable Object does not support RPC, because its class was not declared with `extends DurableObject`. In order to enable RPC, make sure your class extends the special class `DurableObject`, which can be imported from the module "cloudflare:workers".';

/** Methods that the runtime calls and RPC does not. */
const RESERVED = new Set(['alarm', 'webSocketMessage', 'webSocketClose', 'webSocketError', 'dup']);

export function callMethod(host: ObjectHost, instance: object, name: string, args: unknown[]): unknown {
  const member = reach(host, instance, name);
  const method: unknown = member.get === undefined ? member.value : callGetter(member.get, instance);
  if (typeof method !== 'function') throw withoutObjectId(new TypeError(`"${name}" is not a function.`));
  return method.apply(instance, args);
}

export function readProperty(host: ObjectHost, instance: object, name: string): unknown {
  const member = reach(host, instance, name);
  if (member.get !== undefined) return callGetter(member.get, instance);
  if (typeof member.value !== 'function') return member.value;
  throw new TypeError(`Methods of an object can be called over RPC but not passed: "${name}".`);
}

export function callFetch(host: ObjectHost, instance: object, request: Request): unknown {
  host.runs('fetch');
  const handler = (instance as { fetch?: unknown }).fetch;
  if (typeof handler !== 'function') throw new Error('Handler does not export a fetch() function.');
  const response: unknown = handler.call(instance, request);
  if (isResponse(response) || asPromise(response) !== undefined) return response;
  throw new TypeError("Callback returned incorrect type; expected 'Promise'");
}

/** What fetch() of an object has resolved to. */
export function checkResponse(result: unknown): Response {
  if (!isResponse(result)) throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
  return result;
}

function callGetter(getter: () => unknown, instance: object): unknown {
  try {
    return getter.call(instance);
  } catch (thrown) {
    throw withoutObjectId(thrown);
  }
}

function reach(host: ObjectHost, instance: object, name: string): PropertyDescriptor {
  if (!host.namespace.servesCalls) throw withoutObjectId(new TypeError(NO_RPC));
  if (RESERVED.has(name)) throw withoutObjectId(new TypeError(`'${name}' is a reserved method and cannot be called over RPC.`));
  const member = findMember(instance, name);
  if (member === undefined || (member.get === undefined && member.set !== undefined))
    throw withoutObjectId(new TypeError(`The RPC receiver does not implement the method "${name}".`));
  host.runs(name);
  return member;
}
