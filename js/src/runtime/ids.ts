/** Ids of objects. */
import { runtimeClass } from './platform-class.js';
import type { NativeEngine } from './native.js';
import { illegalConstructor, illegalInvocation, wrongParameter } from './web-idl.js';

/** Which object an id means. One is shared by all ids of the same name; user code never sees it. */
export class Identity {
  /** The object in memory, as its namespace has noted it here: saves looking it up at each call. */
  host: object | undefined;

  constructor(
    /** The namespace's number. */
    readonly namespace: number,
    readonly hex: string,
    readonly name: string | undefined,
  ) {}
}

/** An identity as user code gets it: an object of its own each time, as it may add members to it. */
export class DurableObjectId {
  readonly #identity: Identity;
  declare readonly jurisdiction: undefined;
  declare readonly name: string | undefined;

  constructor(identity: Identity) {
    if (!(identity instanceof Identity)) throw illegalConstructor();
    this.#identity = identity;
    Object.defineProperty(this, 'jurisdiction', { value: undefined, enumerable: true, configurable: true });
    Object.defineProperty(this, 'name', { value: identity.name, enumerable: true, configurable: true });
  }

  toString(): string {
    if (!(#identity in this)) throw illegalInvocation();
    return this.#identity.hex;
  }

  equals(other: DurableObjectId): boolean {
    if (!(#identity in this)) throw illegalInvocation();
    if (!(other instanceof DurableObjectId))
      throw wrongParameter('equals', 'DurableObjectId', 1, 'DurableObjectId');
    return this.#identity.hex === other.#identity.hex;
  }

  static identity(id: DurableObjectId): Identity {
    return id.#identity;
  }
}
runtimeClass(DurableObjectId, 'DurableObjectId');

/** Ids of names in one generation of those that were asked for lately; each costs two HMACs otherwise. */
const NAMES_MAX = 5_000;

/** Half a surrogate pair shows as workerd shows it: as three characters, one for each byte that is no UTF-8. */
const shownName = (name: string): string => name.replace(/\p{Surrogate}/gu, '\ufffd\ufffd\ufffd');

/** Makes and checks the identities of one namespace. */
export class IdFactory {
  readonly #engine: NativeEngine;
  readonly #namespace: number;
  /** Two generations: a full young one becomes the old one, so that what is in use stays, and letting go costs nothing. */
  #young = new Map<string, Identity>();
  #old = new Map<string, Identity>();

  constructor(engine: NativeEngine, namespace: number) {
    this.#engine = engine;
    this.#namespace = namespace;
  }

  fromName(name: string): Identity {
    const known = this.#young.get(name);
    if (known !== undefined) return known;
    const id = this.#old.get(name) ?? new Identity(this.#namespace, this.#engine.idFromName(this.#namespace, name), shownName(name));
    if (this.#young.size >= NAMES_MAX) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, id);
    return id;
  }

  unique(): Identity {
    return new Identity(this.#namespace, this.#engine.uniqueId(this.#namespace), undefined);
  }

  /** Of an object that the engine knows, with the name that it has kept: '' stands for none, too. */
  stored(hex: string, name: string): Identity {
    if (name !== '') return new Identity(this.#namespace, hex, name);
    const empty = this.fromName('');
    return empty.hex === hex ? empty : new Identity(this.#namespace, hex, undefined);
  }

  fromString(text: string): Identity {
    const hex = text.toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(hex)) throw new TypeError('Invalid Durable Object ID: must be 64 hex digits');
    if (!this.#engine.isId(this.#namespace, hex)) throw new TypeError('Durable Object ID is not valid for this namespace.');
    return new Identity(this.#namespace, hex, undefined);
  }
}

