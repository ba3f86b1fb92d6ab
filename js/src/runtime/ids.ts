/** Ids of objects. */
import { runtimeClass } from './platform-class.js';
import type { NativeEngine } from './native.js';
import { illegalConstructor, illegalInvocation, wrongParameter } from './web-idl.js';

export class DurableObjectId {
  readonly #hex: string;
  readonly #namespace: number;
  #host: object | undefined;
  declare readonly jurisdiction: undefined;
  declare readonly name: string | undefined;

  constructor(namespace: number, hex: string, name: string | undefined) {
    if (hex === undefined) throw illegalConstructor();
    this.#namespace = namespace;
    this.#hex = hex;
    this.jurisdiction = undefined;
    this.name = name;
    Object.freeze(this); // one id may be given to many
  }

  toString(): string {
    if (!(#hex in this)) throw illegalInvocation();
    return this.#hex;
  }

  equals(other: DurableObjectId): boolean {
    if (!(#hex in this)) throw illegalInvocation();
    if (!(other instanceof DurableObjectId))
      throw wrongParameter('equals', 'DurableObjectId', 1, 'DurableObjectId');
    return this.#hex === other.#hex;
  }

  static isOf(namespace: number, id: DurableObjectId): boolean {
    return id.#namespace === namespace;
  }

  /** The object in memory, as its namespace has noted it here: saves looking it up at each call. */
  static noted(id: DurableObjectId): object | undefined {
    return id.#host;
  }

  static note(id: DurableObjectId, host: object | undefined): void {
    id.#host = host;
  }
}
runtimeClass(DurableObjectId, 'DurableObjectId');

/** Ids of names in one generation of those that were asked for lately; each costs two HMACs otherwise. */
const NAMES_MAX = 5_000;

/** Half a surrogate pair shows as workerd shows it: as three characters, one for each byte that is no UTF-8. */
const shownName = (name: string): string => name.replace(/\p{Surrogate}/gu, '\ufffd\ufffd\ufffd');

/** Makes and checks the ids of one namespace. */
export class IdFactory {
  readonly #engine: NativeEngine;
  readonly #namespace: number;
  /** Two generations: a full young one becomes the old one, so that what is in use stays, and letting go costs nothing. */
  #young = new Map<string, DurableObjectId>();
  #old = new Map<string, DurableObjectId>();

  constructor(engine: NativeEngine, namespace: number) {
    this.#engine = engine;
    this.#namespace = namespace;
  }

  fromName(name: string): DurableObjectId {
    const known = this.#young.get(name);
    if (known !== undefined) return known;
    const id = this.#old.get(name) ?? new DurableObjectId(this.#namespace, this.#engine.idFromName(this.#namespace, name), shownName(name));
    if (this.#young.size >= NAMES_MAX) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, id);
    return id;
  }

  unique(): DurableObjectId {
    return new DurableObjectId(this.#namespace, this.#engine.uniqueId(this.#namespace), undefined);
  }

  /** Of an object that the engine knows, with the name that it has kept: '' stands for none, too. */
  stored(hex: string, name: string): DurableObjectId {
    if (name !== '') return new DurableObjectId(this.#namespace, hex, name);
    const empty = this.fromName('');
    return empty.toString() === hex ? empty : new DurableObjectId(this.#namespace, hex, undefined);
  }

  fromString(text: string): DurableObjectId {
    const hex = text.toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(hex)) throw new TypeError('Invalid Durable Object ID: must be 64 hex digits');
    if (!this.#engine.isId(this.#namespace, hex)) throw new TypeError('Durable Object ID is not valid for this namespace.');
    return new DurableObjectId(this.#namespace, hex, undefined);
  }
}

