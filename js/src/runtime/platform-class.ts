/** Makes a class look to user code like one that the platform brings along, as workerd's do. */
import { notDataClass } from './clone.js';

/** Node.js 20 has no iterator helpers; from 22 on, iterators here have them, as in workerd. */
const iteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;

/**
 * Gives the class its name (the bundler may have renamed it) and its objects that tag; they are not data,
 * so that nobody stores them. `readOnly` are its getters that user code may try to assign.
 */
export function runtimeClass(type: { prototype: object }, name: string, ...readOnly: string[]): void {
  Object.defineProperty(type, 'name', { value: name, configurable: true });
  Object.defineProperty(type.prototype, Symbol.toStringTag, { value: name, configurable: true });
  notDataClass(type);
  for (const key of readOnly) {
    const set = (): never => {
      throw new TypeError(`Cannot assign to read only property '${key}' of object '#<${name}>'`);
    };
    Object.defineProperty(type.prototype, key, { ...Object.getOwnPropertyDescriptor(type.prototype, key), set });
  }
}

/** Its instances are iterators. */
export function isIterator(type: { prototype: object }): void {
  Object.setPrototypeOf(type.prototype, iteratorPrototype);
}
