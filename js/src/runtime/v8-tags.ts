/**
 * The tags of V8's serialization format, version 15 (what Node.js and workerd write). V8 promises to read
 * old versions for ever. Only where node:v8 cannot do it do v8-writer.ts and v8-reader.ts.
 */
const code = (character: string): number => character.charCodeAt(0);

export const VERSION = 15;
/** From here on a view has flags. */
export const VERSION_OF_VIEW_FLAGS = 14;

export const TAG = {
  version: 0xff,
  padding: 0,
  verifyObjectCount: code('?'),
  hole: code('-'),
  undefined: code('_'),
  null: code('0'),
  true: code('T'),
  false: code('F'),
  int32: code('I'),
  uint32: code('U'),
  double: code('N'),
  bigInt: code('Z'),
  utf8String: code('S'),
  oneByteString: code('"'),
  twoByteString: code('c'),
  reference: code('^'),
  object: code('o'),
  endObject: code('{'),
  sparseArray: code('a'),
  endSparseArray: code('@'),
  denseArray: code('A'),
  endDenseArray: code('$'),
  date: code('D'),
  trueObject: code('y'),
  falseObject: code('x'),
  numberObject: code('n'),
  bigIntObject: code('z'),
  stringObject: code('s'),
  regExp: code('R'),
  map: code(';'),
  endMap: code(':'),
  set: code("'"),
  endSet: code(','),
  arrayBuffer: code('B'),
  resizableArrayBuffer: code('~'),
  view: code('V'),
  error: code('r'),
  /** See platform-values.ts. */
  platform: code('\\'),
} as const;

/** What follows TAG.error. */
export const ERROR_TAG = { message: code('m'), cause: code('c'), stack: code('s'), end: code('.') } as const;

export const errorTypes: [number, ErrorConstructor][] = [
  [code('E'), EvalError],
  [code('R'), RangeError],
  [code('F'), ReferenceError],
  [code('S'), SyntaxError],
  [code('T'), TypeError],
  [code('U'), URIError],
];

type View = new (buffer: ArrayBuffer, offset?: number, length?: number) => ArrayBufferView;

/** Kinds of views: tag, class, bytes of an element. */
export const views: [number, View, number][] = [
  [code('b'), Int8Array, 1],
  [code('B'), Uint8Array, 1],
  [code('C'), Uint8ClampedArray, 1],
  [code('w'), Int16Array, 2],
  [code('W'), Uint16Array, 2],
  [code('d'), Int32Array, 4],
  [code('D'), Uint32Array, 4],
  [code('f'), Float32Array, 4],
  [code('F'), Float64Array, 8],
  [code('q'), BigInt64Array, 8],
  [code('Q'), BigUint64Array, 8],
  [code('?'), DataView as View, 1],
];
const { Float16Array } = globalThis as { Float16Array?: View };
if (Float16Array !== undefined) views.push([code('h'), Float16Array, 2]);

/** Flags of a view. */
export const LENGTH_TRACKING = 1;
export const RESIZABLE_BUFFER = 2;

/** The bits of a regular expression's flags; V8's own "linear" has bit 6. */
export const regExpFlags: [string, number][] = [
  ['g', 1], ['i', 2], ['m', 4], ['y', 8], ['u', 16], ['s', 32], ['d', 128], ['v', 256],
];
