import type { Document, Path } from './document.js';
import { ProjectError } from './error.js';

/** A part of a document, with what is needed to name it in an error. */
export class Reader {
  private constructor(
    readonly document: Document,
    readonly path: Path,
    readonly value: unknown,
  ) {}

  static root(document: Document): Reader {
    return new Reader(document, [], document.value);
  }

  /** An error about the value. */
  mistake(message: string): ProjectError {
    return ProjectError.at(this.document.file, this.document.valuePosition(this.path), message);
  }

  /** An error about the key, or about the array element. */
  keyMistake(message: string): ProjectError {
    return ProjectError.at(this.document.file, this.document.keyPosition(this.path), message);
  }

  /** How the user would write the path: `migrations[0].tag`. */
  get name(): string {
    return this.path.reduce<string>((text, key) => {
      if (typeof key === 'number') return `${text}[${key}]`;
      return text === '' ? key : `${text}.${key}`;
    }, '');
  }

  below(...path: (string | number)[]): Reader {
    let value = this.value;
    for (const key of path) {
      value = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
    }
    return new Reader(this.document, [...this.path, ...path], value);
  }

  string(): string {
    if (typeof this.value === 'string' && this.value !== '') return this.value;
    throw this.wrongType('a string that is not empty');
  }

  array(): Reader[] {
    if (!Array.isArray(this.value)) throw this.wrongType('a list');
    return this.value.map((_, index) => this.below(index));
  }

  strings(): string[] {
    return this.array().map((element) => element.string());
  }

  /** The keys that are there, each checked to be one of `served`. */
  object(served: readonly string[]): Map<string, Reader> {
    const members = this.members();
    for (const [key, member] of members) {
      if (!served.includes(key)) throw member.keyMistake(notServed(member.name, served));
    }
    return members;
  }

  members(): Map<string, Reader> {
    const { value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.wrongType('an object');
    }
    return new Map(Object.keys(value).map((key) => [key, this.below(key)]));
  }

  private wrongType(expected: string): ProjectError {
    const subject = this.path.length === 0 ? 'the file' : `"${this.name}"`;
    return this.mistake(`${subject} must be ${expected}, not ${describe(this.value)}`);
  }
}

function notServed(name: string, served: readonly string[]): string {
  const list = served.length === 1 ? `only ${served[0]} is` : `served are ${served.join(', ')}`;
  return `the key "${name}" is not served by Perdure; remove it (${list})`;
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (value === '') return 'an empty one';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'bigint') return 'a number';
  return `a ${typeof value}`;
}
