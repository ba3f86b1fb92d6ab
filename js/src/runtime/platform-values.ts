/** Objects of the platform within stored values, in the form in which workerd stores them: Headers and Blob. */

const { Blob, Headers, TextDecoder, TextEncoder } = globalThis; // user code may replace the globals

/** What follows the tag of an object that is not the language's own. */
const KIND = { headers: 4, blob: 15 } as const;

/** Of headers that nothing keeps from being changed. */
const UNGUARDED = 3;

/** The names that workerd stores as numbers: those of this list, from 1 on. Others have 0 and stand there. */
const HEADER_NAMES = [
  'accept-charset', 'accept-encoding', 'accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow',
  'authorization', 'cache-control', 'content-disposition', 'content-encoding', 'content-language', 'content-length', 'content-location',
  'content-range', 'content-type', 'cookie', 'date', 'etag', 'expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since',
  'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards', 'proxy-authenticate',
  'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie', 'strict-transport-security',
  'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate',
];

const utf8 = new TextDecoder();
const toUtf8 = new TextEncoder();

/** Writes the parts of V8's format. */
export interface PartWriter {
  varint(value: number): void;
  bytes(bytes: Uint8Array): void;
}

/** Reads the parts of V8's format. */
export interface PartReader {
  varint(): number;
  bytes(count: number): Uint8Array;
}

/** The objects that can be written. A Blob is not among them: its bytes cannot be had at once. */
export const isPlatformValue = (value: object): value is Headers => value instanceof Headers;

export function writePlatformValue(headers: Headers, out: PartWriter): void {
  const text = (value: string): void => {
    const bytes = toUtf8.encode(value);
    out.varint(bytes.length);
    out.bytes(bytes);
  };
  const entries = [...headers];
  out.varint(KIND.headers);
  out.varint(UNGUARDED);
  out.varint(entries.length);
  for (const [name, value] of entries) {
    const number = HEADER_NAMES.indexOf(name) + 1;
    out.varint(number);
    if (number === 0) text(name);
    text(value);
  }
}

/** Returns undefined for a kind that is not known. */
export function readPlatformValue(from: PartReader): object | undefined {
  const bytes = (): Uint8Array => from.bytes(from.varint());
  const text = (): string => utf8.decode(bytes());
  switch (from.varint()) {
    case KIND.headers: {
      const headers = new Headers();
      from.varint(); // who may change them
      for (let left = from.varint(); left > 0; left--) {
        const number = from.varint();
        const name = number === 0 ? text() : HEADER_NAMES[number - 1];
        if (name === undefined) return undefined;
        headers.append(name, text());
      }
      return headers;
    }
    case KIND.blob: {
      const type = text();
      return new Blob([bytes().slice()], { type });
    }
    default:
      return undefined;
  }
}
