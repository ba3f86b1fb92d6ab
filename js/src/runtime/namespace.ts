/** `env.NAME`: the namespace of a class, and the stubs that it gives. */
import { runtimeClass } from './platform-class.js';
import { type Delivery, type Instance, ObjectHost, type Resumption } from './host.js';
import { endUnread, handOver } from './handover.js';
import { givenSignal, isRequest, makeRequest } from './http.js';
import { DurableObject } from './entrypoints.js';
import { DurableObjectId, Identity, IdFactory } from './ids.js';
import { callFetch, callMethod, checkResponse, readProperty } from './invoke.js';
import { type CallKind, FETCH, type Link, METHOD, type OutgoingCall, PROPERTY } from './links.js';
import type { Observer } from './observer.js';
import { pack, packArguments, type Parcel } from './parcel.js';
import type { Departure, Shard } from './shard.js';
import { passArguments, passValue, withoutObjectId } from './values.js';
import { checkOptions, illegalConstructor, illegalInvocation, isObject, wrongParameter } from './web-idl.js';

export type ObjectClass = new (ctx: unknown, env: unknown) => object;

/** Where objects keep what they store: each in a database of its own, or all in the shared key-value file. */
export type StorageKind = 'sqlite' | 'kv';

const leaveTurn = (call: Call): void => call.leave();
const settleTurn = (call: Call): void => call.settle();

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
  label(method: string, isCode = true): number {
    const known = this.#labels.get(method);
    if (known !== undefined) return known;
    const label = this.shard.native.label(this.className, isCode ? `${method}()` : method);
    this.#labels.set(method, label);
    return label;
  }

  host(id: Identity): ObjectHost {
    return this.#find(id) ?? this.#add(id);
  }

  #find(id: Identity): ObjectHost | undefined {
    const noted = id.host as ObjectHost | undefined;
    if (noted !== undefined && !noted.forgotten) return noted;
    const found = this.#hosts.get(id.hex);
    id.host = found;
    return found;
  }

  #add(id: Identity): ObjectHost {
    const host = new ObjectHost(this.shard, this, id);
    this.#hosts.set(id.hex, host);
    this.shard.register(host);
    id.host = host;
    return host;
  }

  /** The object that another shard means. */
  hostOf(hex: string, name: string | undefined): ObjectHost {
    return this.#hosts.get(hex) ?? this.#add(new Identity(this.number, hex, name));
  }

  forget(host: ObjectHost): void {
    host.forgotten = true;
    this.#hosts.delete(host.id.hex);
  }
}

/** As error texts call it. */
const NAMESPACE = 'DurableObjectNamespace';

/** A call from outside any object. */
export interface OutsideCall {
  send(): Promise<unknown>;
  /** Once it has an outcome: what that depends on. */
  readonly seenLsn: number;
}

/** Who calls from outside any object: decides whether a call may be made, and when its outcome is handed out. */
export interface OutsideCaller {
  call(call: OutsideCall): Promise<unknown>;
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
    return new DurableObjectId(ids.fromName(`${name}`));
  }

  newUniqueId(options?: { jurisdiction?: string | null }): DurableObjectId {
    const { ids } = DurableObjectNamespace.#of(this);
    checkOptions(options, 'newUniqueId', NAMESPACE, 1, 'NewUniqueIdOptions');
    refuseJurisdiction(options?.jurisdiction);
    return new DurableObjectId(ids.unique());
  }

  idFromString(hex: string): DurableObjectId {
    const { ids } = DurableObjectNamespace.#of(this);
    if (arguments.length === 0) throw wrongParameter('idFromString', NAMESPACE, 1, 'string');
    return new DurableObjectId(ids.fromString(`${hex}`));
  }

  get(id: DurableObjectId, options?: object): Stub {
    const namespace = DurableObjectNamespace.#of(this);
    if (!(id instanceof DurableObjectId)) throw wrongParameter('get', NAMESPACE, 1, 'DurableObjectId');
    if (options !== undefined) checkOptions(options, 'get', NAMESPACE, 2, 'GetDurableObjectOptions');
    const identity = DurableObjectId.identity(id);
    if (identity.namespace !== namespace.number) throw new TypeError('Durable Object ID is not valid for this namespace.');
    return makeStub(new StubTarget(namespace, identity, this.#outside, id));
  }

  getByName(name: string, options?: object): Stub {
    const namespace = DurableObjectNamespace.#of(this);
    if (arguments.length === 0) throw wrongParameter('getByName', NAMESPACE, 1, 'string');
    if (options !== undefined) checkOptions(options, 'getByName', NAMESPACE, 2, 'GetDurableObjectOptions');
    return makeStub(new StubTarget(namespace, namespace.ids.fromName(`${name}`), this.#outside));
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
abstract class Call implements Delivery, Departure, Resumption, OutgoingCall {
  abstract readonly kind: CallKind;
  abstract readonly name: string;
  readonly sender: Instance | undefined;
  /** The section of the sender that makes the call, and gets its outcome. */
  readonly section: number;
  readonly observer: Observer;
  readonly task: number;
  seenLsn = 0;
  #settle!: (outcome: unknown) => void;
  #resolve!: (value: unknown) => void;
  #reject!: (error: unknown) => void;
  #outcome: unknown;
  /** An object stays in memory while it waits for an answer. */
  readonly #release: (() => void) | undefined;
  #returned = false;

  constructor(
    readonly target: StubTarget,
    /** Copies of the arguments, or the request; as a parcel when the object is on another thread. */
    readonly passed: unknown,
  ) {
    const { shard } = target.namespace;
    target.called();
    this.sender = shard.current;
    this.section = shard.section;
    this.observer = shard.observer;
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

  get parcel(): Parcel {
    return this.passed;
  }

  resetSeen(resetAt: number): void {
    this.target.resetSeen(resetAt);
  }

  /** Leaves in a turn of its own, after the code that makes the call and the commit of what it wrote. */
  start(): Promise<unknown> {
    const { outside } = this.target;
    return outside === undefined ? this.send() : outside.call(this);
  }

  send(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.target.namespace.shard.turn(leaveTurn, this);
    });
  }

  leave(): void {
    try {
      const { shard } = this.target.namespace;
      shard.checkDeparture(this);
      this.seenLsn = shard.dependsOn(this.observer);
      this.target.deliver(this);
    } catch (error) {
      this.target.link?.withdraw(this.passed); // the call does not leave
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
    this.target.namespace.shard.resume(this, this);
  }

  resumed(): void {
    this.observer.observe(this.seenLsn);
    this.#settle(this.#outcome);
    this.#release?.();
  }
}

class MethodCall extends Call {
  readonly kind = METHOD;

  constructor(
    target: StubTarget,
    readonly name: string,
    passed: unknown,
  ) {
    super(target, passed);
  }

  run(instance: object, host: ObjectHost): unknown {
    return callMethod(host, instance, this.name, this.passed as unknown[]);
  }
}

class PropertyGet extends Call {
  readonly kind = PROPERTY;

  constructor(
    target: StubTarget,
    readonly name: string,
  ) {
    super(target, undefined);
  }

  run(instance: object, host: ObjectHost): unknown {
    return readProperty(host, instance, this.name);
  }
}

class FetchCall extends Call {
  readonly kind = FETCH;
  readonly name = '';
  readonly isFetch = true;

  constructor(
    target: StubTarget,
    passed: unknown,
    readonly signal: AbortSignal | undefined,
  ) {
    super(target, passed);
  }

  /** The signal ends the wait of the caller alone (as in workerd): its code and the object's never run in one turn. */
  override start(): Promise<unknown> {
    const { signal } = this;
    if (signal === undefined) return super.start();
    const abort = (): void => this.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    const outcome = super.start();
    const forget = (): void => signal.removeEventListener('abort', abort);
    outcome.then(forget, forget);
    return outcome;
  }

  override resumed(): void {
    super.resumed();
    if (this.target.link === undefined) endUnread(this.passed as Request);
  }

  run(instance: object, host: ObjectHost): unknown {
    return callFetch(host, instance, this.passed as Request);
  }

  /** Unlike a method's, an error of fetch() does not name the object. */
  override reject(error: unknown): void {
    if (typeof error === 'object' && error !== null) delete (error as { durableObjectId?: string }).durableObjectId;
    super.reject(error);
  }

  /** Request and Response are handed over, not copied: a body can be read once anyway. */
  override pass(result: unknown, from: Instance): unknown {
    return handOver(checkResponse(result), from);
  }
}

/** What a stub is behind its Proxy. Named as in workerd: `stub.constructor.name` shows it. */
class StubTarget {
  /** Members that its holder has given the stub. */
  own: Record<string, unknown> | undefined;
  /**
   * Up to when its holders know of resets of the object; a call after another one fails once. From the first call
   * on: before it the stub has to do with no instance.
   */
  #resetsSeenAt: number | undefined;
  /** The way to the object, when it is on another thread. */
  readonly link: Link | undefined;
  /** Made when it is asked for, unless the stub was made with one. */
  #id: DurableObjectId | undefined;

  constructor(
    readonly namespace: ObjectNamespace,
    readonly identity: Identity,
    readonly outside: OutsideCaller | undefined,
    id?: DurableObjectId,
  ) {
    this.#id = id;
    this.link = namespace.shard.linkTo(identity);
  }

  /** What its holder sees as `stub.id`. */
  get id(): DurableObjectId {
    return (this.#id ??= new DurableObjectId(this.identity));
  }

  /** A call is being made. */
  called(): void {
    this.#resetsSeenAt ??= this.namespace.shard.resetClock.now();
  }

  deliver(call: Call): void {
    const seenAt = this.#resetsSeenAt!;
    const { observer } = call;
    if (observer.calledShard < 0) observer.calledShard = this.link?.index ?? this.namespace.shard.index;
    if (this.link !== undefined) {
      this.link.call(call, this.identity, seenAt);
      return;
    }
    const host = this.namespace.host(this.identity);
    const { resetAt } = host;
    if (resetAt <= seenAt) {
      host.deliver(call);
      return;
    }
    this.resetSeen(resetAt);
    call.reject(host.refusal());
  }

  resetSeen(resetAt: number): void {
    this.#resetsSeenAt = Math.max(this.#resetsSeenAt!, resetAt);
  }

  /** What of `request` goes to the object. */
  #passRequest(request: Request): unknown {
    const { shard } = this.namespace;
    if (this.link !== undefined) return pack(request, this.link, shard.place());
    return shard.current === undefined ? request : handOver(request, shard.current);
  }

  /** The same of the arguments of a method. */
  passArguments(args: unknown[]): unknown {
    const { shard } = this.namespace;
    if (this.link !== undefined) return packArguments(args, this.link, shard.place());
    const passed = passArguments(args);
    const { current } = shard;
    return current === undefined ? passed : passed.map((each) => handOver(each, current));
  }

  fetch(input: Request | string | URL, init?: RequestInit): Promise<unknown> {
    let passed: unknown;
    const signal = init?.signal === undefined ? (isRequest(input) ? givenSignal(input) : undefined) : (init.signal ?? undefined);
    try {
      const request = asRequest(input, signal === undefined ? init : { ...init, signal: null }, arguments.length);
      if (signal?.aborted === true) throw signal.reason;
      passed = this.#passRequest(request);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return new FetchCall(this, passed, signal).start();
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
    let passed: unknown;
    try {
      passed = target.passArguments(args);
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
        return target.identity.name;
      case 'fetch':
        return (...args: [Request | string | URL, RequestInit?]) => target.fetch(...args);
      case 'then': // a stub is not a promise: `await stub` is the stub
      case 'toJSON': // JSON.stringify() would call it, and workerd's does not see it
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
    if (key === 'name' || key === 'id') return { ...shown, value: key === 'id' ? target.id : target.identity.name, writable: false };
    if (typeof key === 'symbol' || target.own === undefined || !Object.hasOwn(target.own, key)) return undefined;
    return { ...shown, value: target.own[key], writable: true };
  },
};

export type Stub = { readonly id: DurableObjectId; readonly name: string | undefined } & Record<string, unknown>;

function makeStub(target: StubTarget): Stub {
  return new Proxy(target, stubHandler) as unknown as Stub;
}
