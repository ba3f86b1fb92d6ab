/** `env.NAME`: the namespace of a class, and the stubs that it gives. */
import { runtimeClass } from './platform-class.js';
import { DurableObject } from './entrypoints.js';
import { asPromise, type Delivery, findMember, type Instance, ObjectHost, type Resumption } from './host.js';
import { endUnread, handOver } from './handover.js';
import { givenSignal, isRequest, isResponse, makeRequest } from './http.js';
import { DurableObjectId, IdFactory } from './ids.js';
import type { Departure, Shard } from './shard.js';
import { passArguments, passValue, withoutObjectId } from './values.js';
import { checkOptions, illegalConstructor, illegalInvocation, isObject, wrongParameter } from './web-idl.js';

export type ObjectClass = new (ctx: unknown, env: unknown) => object;

/** Where objects keep what they store: each in a database of its own, or all in the shared key-value file. */
export type StorageKind = 'sqlite' | 'kv';

const leaveTurn = (call: Call): void => call.leave();
const settleTurn = (call: Call): void => call.settle();

const NO_RPC =
  'The receiving Durable Object does not support RPC, because its class was not declared with `extends DurableObject`. In order to enable RPC, make sure your class extends the special class `DurableObject`, which can be imported from the module "cloudflare:workers".';

/** Methods that the runtime calls and RPC does not. */
const RESERVED = new Set(['alarm', 'webSocketMessage', 'webSocketClose', 'webSocketError', 'dup']);

/** One class's objects on one shard. */
export class ObjectNamespace {
  readonly number: number;
  readonly ids: IdFactory;
  /** Methods of its objects can be called: the class says so, not the instance. */
  readonly servesCalls: boolean;
  readonly #hosts = new Map<string, ObjectHost>();
  /** By method: what the watchdog knows it by. */
  readonly #labels = new Map<string, number>();

  constructor(
    readonly shard: Shard,
    readonly className: string,
    readonly objectClass: ObjectClass,
    key: string,
    readonly storage: StorageKind,
  ) {
    this.number = shard.engine.openNamespace(key, storage === 'kv');
    this.servesCalls = objectClass.prototype instanceof DurableObject;
    this.ids = new IdFactory(shard.engine, this.number);
  }

  /** A method that the class has. */
  label(method: string): number {
    const known = this.#labels.get(method);
    if (known !== undefined) return known;
    const label = this.shard.native.label(this.className, `${method}()`);
    this.#labels.set(method, label);
    return label;
  }

  host(id: DurableObjectId): ObjectHost {
    return this.#find(id) ?? this.#add(id);
  }

  #find(id: DurableObjectId): ObjectHost | undefined {
    const noted = DurableObjectId.noted(id) as ObjectHost | undefined;
    if (noted !== undefined && !noted.forgotten) return noted;
    const found = this.#hosts.get(id.toString());
    DurableObjectId.note(id, found);
    return found;
  }

  #add(id: DurableObjectId): ObjectHost {
    const host = new ObjectHost(this.shard, this, id);
    this.#hosts.set(id.toString(), host);
    this.shard.register(host);
    DurableObjectId.note(id, host);
    return host;
  }

  /** How often the object was reset since it came to memory. */
  resets(id: DurableObjectId): number {
    return this.#find(id)?.resets ?? 0;
  }

  forget(host: ObjectHost): void {
    host.forgotten = true;
    this.#hosts.delete(host.id.toString());
  }
}

/** As error texts call it. */
const NAMESPACE = 'DurableObjectNamespace';

/** Who calls from outside any object: decides whether a call may be made, and when its outcome is handed out. */
export interface OutsideCaller {
  call(send: () => Promise<unknown>): Promise<unknown>;
}

export class DurableObjectNamespace {
  readonly #namespace: ObjectNamespace;
  readonly #outside: OutsideCaller | undefined;

  constructor(namespace: ObjectNamespace, outside?: OutsideCaller) {
    if (!(namespace instanceof ObjectNamespace)) throw illegalConstructor();
    this.#namespace = namespace;
    this.#outside = outside;
  }

  static #of(self: DurableObjectNamespace): ObjectNamespace {
    if (!isObject(self) || !(#namespace in self)) throw illegalInvocation();
    return self.#namespace;
  }

  idFromName(name: string): DurableObjectId {
    const { ids } = DurableObjectNamespace.#of(this);
    if (arguments.length === 0) throw wrongParameter('idFromName', NAMESPACE, 1, 'string');
    return ids.fromName(`${name}`);
  }

  newUniqueId(options?: { jurisdiction?: string | null }): DurableObjectId {
    const { ids } = DurableObjectNamespace.#of(this);
    checkOptions(options, 'newUniqueId', NAMESPACE, 1, 'NewUniqueIdOptions');
    refuseJurisdiction(options?.jurisdiction);
    return ids.unique();
  }

  idFromString(hex: string): DurableObjectId {
    const { ids } = DurableObjectNamespace.#of(this);
    if (arguments.length === 0) throw wrongParameter('idFromString', NAMESPACE, 1, 'string');
    return ids.fromString(`${hex}`);
  }

  get(id: DurableObjectId, options?: object): Stub {
    const namespace = DurableObjectNamespace.#of(this);
    if (!(id instanceof DurableObjectId)) throw wrongParameter('get', NAMESPACE, 1, 'DurableObjectId');
    if (options !== undefined) checkOptions(options, 'get', NAMESPACE, 2, 'GetDurableObjectOptions');
    if (!DurableObjectId.isOf(namespace.number, id)) throw new TypeError('Durable Object ID is not valid for this namespace.');
    return makeStub(namespace, id, this.#outside);
  }

  getByName(name: string, options?: object): Stub {
    const namespace = DurableObjectNamespace.#of(this);
    if (arguments.length === 0) throw wrongParameter('getByName', NAMESPACE, 1, 'string');
    if (options !== undefined) checkOptions(options, 'getByName', NAMESPACE, 2, 'GetDurableObjectOptions');
    return makeStub(namespace, namespace.ids.fromName(`${name}`), this.#outside);
  }

  jurisdiction(name?: string | null): DurableObjectNamespace {
    refuseJurisdiction(name);
    return this;
  }
}
runtimeClass(DurableObjectNamespace, 'DurableObjectNamespace');

function refuseJurisdiction(name: string | null | undefined): void {
  if (name === undefined || name === null) return;
  throw new Error('Jurisdiction restrictions are not served: a Perdure server keeps its data where it runs.');
}

/** One call to an object, from the stub to the outcome. */
abstract class Call implements Delivery, Departure, Resumption {
  readonly sender: Instance | undefined;
  /** The section of the sender that makes the call, and gets its outcome. */
  readonly #section: number;
  readonly task: number;
  #settle!: (outcome: unknown) => void;
  #resolve!: (value: unknown) => void;
  #reject!: (error: unknown) => void;
  #outcome: unknown;
  /** An object stays in memory while it waits for an answer. */
  readonly #release: (() => void) | undefined;
  #returned = false;

  constructor(readonly target: StubTarget) {
    const { shard } = target.namespace;
    target.resetsSeen ??= target.namespace.resets(target.id);
    this.sender = shard.current;
    this.#section = shard.section;
    this.task = shard.task();
    this.#release = this.sender?.hold();
  }

  abstract run(instance: object, host: ObjectHost): unknown;

  pass(result: unknown, from: Instance): unknown {
    try {
      return handOver(passValue(result), from);
    } catch (thrown) {
      throw withoutObjectId(thrown);
    }
  }

  resetSeen(resets: number): void {
    this.target.resetsSeen = resets;
  }

  /** Leaves in a turn of its own, after the code that makes the call and the commit of what it wrote. */
  start(): Promise<unknown> {
    const { outside } = this.target;
    return outside === undefined ? this.#send() : outside.call(() => this.#send());
  }

  #send(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.target.namespace.shard.turn(leaveTurn, this);
    });
  }

  leave(): void {
    try {
      this.target.namespace.shard.checkDeparture(this);
      this.target.deliver(this);
    } catch (error) {
      this.reject(error);
    }
  }

  // The outcome comes to the caller in a turn of its own, through its gate: what runs then is the caller's code alone.

  resolve(value: unknown): void {
    this.#return(this.#resolve, value);
  }

  reject(error: unknown): void {
    this.#return(this.#reject, error);
  }

  #return(settle: (outcome: unknown) => void, outcome: unknown): void {
    if (this.#returned) return; // the caller has given it up
    this.#returned = true;
    this.#settle = settle;
    this.#outcome = outcome;
    this.target.namespace.shard.turn(settleTurn, this);
  }

  settle(): void {
    this.target.namespace.shard.resume(this.sender, this.#section, this);
  }

  resumed(): void {
    this.#settle(this.#outcome);
    this.#release?.();
  }
}

class MethodCall extends Call {
  constructor(
    target: StubTarget,
    readonly name: string,
    readonly args: unknown[],
  ) {
    super(target);
  }

  run(instance: object, host: ObjectHost): unknown {
    const member = reach(instance, host, this.name);
    host.runs(this.name);
    const method: unknown = member.get === undefined ? member.value : callGetter(member.get, instance);
    if (typeof method !== 'function') throw withoutObjectId(new TypeError(`"${this.name}" is not a function.`));
    return method.apply(instance, this.args);
  }
}

class PropertyGet extends Call {
  constructor(
    target: StubTarget,
    readonly name: string,
  ) {
    super(target);
  }

  run(instance: object, host: ObjectHost): unknown {
    const member = reach(instance, host, this.name);
    host.runs(this.name);
    if (member.get !== undefined) return callGetter(member.get, instance);
    if (typeof member.value !== 'function') return member.value;
    throw new TypeError(`Methods of an object can be called over RPC but not passed: "${this.name}".`);
  }
}

class FetchCall extends Call {
  #isReset = false;

  constructor(
    target: StubTarget,
    readonly request: Request,
    readonly signal: AbortSignal | undefined,
  ) {
    super(target);
  }

  /** The signal ends the wait of the caller alone (as in workerd): its code and the object's never run in one turn. */
  override start(): Promise<unknown> {
    const { signal } = this;
    if (signal === undefined) return super.start();
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    const abort = (): void => this.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const outcome = super.start();
    const forget = (): void => signal.removeEventListener('abort', abort);
    outcome.then(forget, forget);
    return outcome;
  }

  override resumed(): void {
    super.resumed();
    endUnread(this.request);
  }

  run(instance: object, host: ObjectHost): unknown {
    host.runs('fetch');
    const handler = (instance as { fetch?: unknown }).fetch;
    if (typeof handler !== 'function') throw new Error('Handler does not export a fetch() function.');
    const response: unknown = handler.call(instance, this.request);
    if (isResponse(response) || asPromise(response) !== undefined) return response;
    throw new TypeError("Callback returned incorrect type; expected 'Promise'");
  }

  override resetSeen(resets: number): void {
    super.resetSeen(resets);
    this.#isReset = true;
  }

  /** Unlike a method's, an error of fetch() does not name the object, and is `remote` after a reset, too. */
  override reject(error: unknown): void {
    if (typeof error === 'object' && error !== null) {
      delete (error as { durableObjectId?: string }).durableObjectId;
      if (this.#isReset) Object.assign(error, { remote: true });
    }
    super.reject(error);
  }

  /** Request and Response are handed over, not copied: a body can be read once anyway. */
  override pass(result: unknown, from: Instance): unknown {
    if (!isResponse(result)) throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
    return handOver(result, from);
  }
}

function callGetter(getter: () => unknown, instance: object): unknown {
  try {
    return getter.call(instance);
  } catch (thrown) {
    throw withoutObjectId(thrown);
  }
}

function reach(instance: object, host: ObjectHost, name: string): PropertyDescriptor {
  if (!host.namespace.servesCalls) throw withoutObjectId(new TypeError(NO_RPC));
  if (RESERVED.has(name)) throw withoutObjectId(new TypeError(`'${name}' is a reserved method and cannot be called over RPC.`));
  const member = findMember(instance, name);
  if (member === undefined || (member.get === undefined && member.set !== undefined))
    throw withoutObjectId(new TypeError(`The RPC receiver does not implement the method "${name}".`));
  return member;
}

/** What a stub is behind its Proxy. Named as in workerd: `stub.constructor.name` shows it. */
class StubTarget {
  /** Members that its holder has given the stub. */
  own: Record<string, unknown> | undefined;
  /**
   * Resets of the object that holders of this stub know about; a call after another one fails once. From the first
   * call on: before it the stub has to do with no instance.
   */
  resetsSeen: number | undefined;

  constructor(
    readonly namespace: ObjectNamespace,
    readonly id: DurableObjectId,
    readonly outside: OutsideCaller | undefined,
  ) {}

  deliver(call: Call): void {
    const host = this.namespace.host(this.id);
    const seen = this.resetsSeen!;
    this.resetsSeen = host.resets;
    if (host.resets > seen) call.reject(host.refusal());
    else host.deliver(call);
  }

  fetch(input: Request | string | URL, init?: RequestInit): Promise<unknown> {
    let request: Request;
    const signal = init?.signal === undefined ? (isRequest(input) ? givenSignal(input) : undefined) : (init.signal ?? undefined);
    try {
      request = asRequest(input, signal === undefined ? init : { ...init, signal: null }, arguments.length);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    const { current } = this.namespace.shard;
    if (current !== undefined) request = handOver(request, current) as Request;
    return new FetchCall(this, request, signal).start();
  }
}

function asRequest(input: Request | string | URL, init: RequestInit | undefined, given: number): Request {
  if (given === 0) throw wrongParameter('fetch', 'Fetcher', 1, 'Request or string');
  if (isRequest(input)) return init === undefined ? input : makeRequest(input, init);
  if (!URL.canParse(String(input))) throw new TypeError(`Invalid URL: ${String(input)}`);
  if (!/^https?:/i.test(String(input).trimStart())) throw new TypeError(`Fetch API cannot load: ${new URL(input).href}`);
  return makeRequest(String(input).replace(/#.*/s, ''), init); // a fragment stays with the caller
}

/** `stub.name`: called, it is an RPC; awaited, it reads a getter. */
function member(target: StubTarget, name: string): unknown {
  const call = (...args: unknown[]): Promise<unknown> => {
    let passed: unknown[];
    try {
      passed = passArguments(args);
      const { current } = target.namespace.shard;
      if (current !== undefined) passed = passed.map((each) => handOver(each, current));
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return new MethodCall(target, name, passed).start();
  };
  call.then = (onFulfilled?: (value: unknown) => unknown, onRejected?: (error: unknown) => unknown): Promise<unknown> =>
    new PropertyGet(target, name).start().then(onFulfilled, onRejected);
  return call;
}

/** `stub.constructor`: what workerd shows there. */
function IllegalStub(): never {
  throw illegalConstructor();
}
Object.defineProperty(IllegalStub, 'name', { value: 'DurableObject' });

const stubHandler: ProxyHandler<StubTarget> = {
  get(target, key, receiver): unknown {
    if (typeof key === 'symbol') return key === Symbol.toStringTag ? 'DurableObject' : undefined;
    if (target.own !== undefined && Object.hasOwn(target.own, key)) return target.own[key];
    switch (key) {
      case 'id':
        return target.id;
      case 'name':
        return target.id.name;
      case 'fetch':
        return (...args: [Request | string | URL, RequestInit?]) => target.fetch(...args);
      case 'then': // a stub is not a promise: `await stub` is the stub
      case 'toJSON':
        return undefined;
      case 'constructor':
        return IllegalStub;
      default:
        if (key in Object.prototype) return Reflect.get(Object.prototype, key, receiver);
        return member(target, key);
    }
  },
  set(target, key, value): boolean {
    if (key === 'id' || key === 'name') throw new TypeError(`Cannot assign to read only property '${key}' of object '#<DurableObject>'`);
    if (typeof key === 'string') (target.own ??= {})[key] = value;
    return true;
  },
  has: (target, key) => typeof key === 'string' || Reflect.has(target, key),
  ownKeys: (target) => ['name', 'id', ...Object.keys(target.own ?? {})],
  getOwnPropertyDescriptor(target, key) {
    const shown = { enumerable: true, configurable: true };
    if (key === 'name' || key === 'id') return { ...shown, value: key === 'id' ? target.id : target.id.name, writable: false };
    if (typeof key === 'symbol' || target.own === undefined || !Object.hasOwn(target.own, key)) return undefined;
    return { ...shown, value: target.own[key], writable: true };
  },
};

export type Stub = { readonly id: DurableObjectId; readonly name: string | undefined } & Record<string, unknown>;

function makeStub(namespace: ObjectNamespace, id: DurableObjectId, outside: OutsideCaller | undefined): Stub {
  return new Proxy(new StubTarget(namespace, id, outside), stubHandler) as unknown as Stub;
}
