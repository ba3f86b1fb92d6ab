// Values as text, so exactly that two values with the same text cannot be told apart by a program:
// -0, NaN, holes, the kind and extent of a typed array, shared references, an error's class and members.

/** Text and bytes longer than this many units are told by their length, their start and a checksum. */
const LONG = 160;
/** Messages of errors are told whole. */
const MESSAGE_UNITS_MAX = 2_000;

/** Members of an error that are told in a way of their own, or not at all: `stack` differs by engine. */
const ERROR_PARTS = new Set(['stack', 'message', 'name']);

const TypedArray = Object.getPrototypeOf(Uint8Array);
const BOXES = [Boolean, Number, String, BigInt, Symbol];

export function describe(value) {
  return write(value, []);
}

function write(value, seen) {
  switch (typeof value) {
    case 'string':
      return text(value);
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'bigint':
      return `${value}n`;
    case 'function':
      return `function ${value.name}`;
    case 'object':
      break;
    default:
      return String(value);
  }
  if (value === null) return 'null';
  const known = seen.indexOf(value);
  if (known >= 0) return `<object ${known} again>`;
  seen.push(value);
  return object(value, seen);
}

/** ASCII only, so that a transcript survives any encoding. */
function text(value, unitsMax = LONG) {
  const shown = value.length > unitsMax ? value.slice(0, 40) : value;
  const quoted = JSON.stringify(shown).replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  if (value.length <= unitsMax) return quoted;
  return `${quoted}... (${value.length} units, checksum ${checksum(value.length, (i) => value.charCodeAt(i))})`;
}

function checksum(length, at) {
  let sum = 0x811c9dc5;
  for (let i = 0; i < length; i++) sum = Math.imul(sum ^ at(i), 0x01000193);
  return (sum >>> 0).toString(16);
}

function object(value, seen) {
  if (Array.isArray(value)) return array(value, seen);
  if (value instanceof Error) return error(value, seen);
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof RegExp) return `RegExp(${value}, lastIndex ${value.lastIndex})`;
  if (value instanceof Map) return `Map{${[...value].map(([k, v]) => `${write(k, seen)} => ${write(v, seen)}`).join(', ')}}`;
  if (value instanceof Set) return `Set{${[...value].map((member) => write(member, seen)).join(', ')}}`;
  if (value instanceof Promise) return 'Promise';
  if (value instanceof Headers) return `Headers${write([...value], seen)}`;
  if (value instanceof ArrayBuffer) return buffer(value);
  if (ArrayBuffer.isView(value)) return view(value);
  const box = BOXES.find((type) => value instanceof type);
  if (box !== undefined) return `${box.name}(${write(value.valueOf(), seen)})`;
  return `${kind(value)}{${members(value, seen)}}`;
}

function kind(value) {
  const prototype = Object.getPrototypeOf(value);
  if (prototype === null) return 'null-prototype ';
  return prototype === Object.prototype ? '' : `${prototype.constructor?.name} `;
}

function members(value, seen) {
  return Object.keys(value)
    .map((key) => `${name(key)}: ${write(value[key], seen)}`)
    .join(', ');
}

const name = (key) => (/^[A-Za-z_$][\w$]*$/.test(key) ? key : text(key));

function array(value, seen) {
  const items = [];
  for (let i = 0; i < value.length; i++) items.push(i in value ? write(value[i], seen) : '<hole>');
  const others = Object.keys(value)
    .filter((key) => !(String(key >>> 0) === key && key >>> 0 !== 0xffffffff))
    .map((key) => `${name(key)}: ${write(value[key], seen)}`);
  const shown = items.length > LONG ? `${items.length} items, checksum ${checksumOf(items.join())}` : items.join(', ');
  return `[${shown}]${others.length === 0 ? '' : ` with {${others.join(', ')}}`}`;
}

const checksumOf = (string) => checksum(string.length, (i) => string.charCodeAt(i));

function bytes(array) {
  if (array.length <= LONG) return [...array].join(' ');
  return `${array.length} bytes, checksum ${checksum(array.length, (i) => array[i])}`;
}

function buffer(value) {
  const grows = value.resizable ? `, resizable to ${value.maxByteLength}` : '';
  return `ArrayBuffer(${bytes(new Uint8Array(value))}${grows})`;
}

function view(value) {
  const content = value instanceof TypedArray ? [...value].map((item) => write(item, [])) : undefined;
  const inside =
    content === undefined || content.length > LONG
      ? bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
      : content.join(' ');
  const whole = value.byteOffset === 0 && value.byteLength === value.buffer.byteLength;
  const place = whole ? '' : ` at ${value.byteOffset} of ${value.buffer.byteLength} bytes`;
  const grows = value.buffer.resizable ? ` resizable to ${value.buffer.maxByteLength}` : '';
  return `${value.constructor.name}(${inside}${place}${grows})`;
}

function error(value, seen) {
  const type = value.constructor?.name;
  const named = value.name === type ? '' : ` named ${write(value.name, seen)}`;
  // Where an engine keeps the code of a DOMException is its own affair.
  const own = value instanceof DOMException ? { code: value.code } : ownMembers(value);
  if (value instanceof DOMException && 'remote' in value) own.remote = value.remote;
  const shown = Object.keys(own)
    .sort()
    .map((key) => `${name(key)}: ${key === 'durableObjectId' ? '<id>' : write(own[key], seen)}`);
  return `${type}${named} ${text(message(value), MESSAGE_UNITS_MAX)}${shown.length === 0 ? '' : ` {${shown.join(', ')}}`}`;
}

/** workerd gives each internal error a number of its own. */
const message = (value) => String(value.message).replace(/(?<=internal error; reference = )\w+/, '<reference>');

function ownMembers(value) {
  const own = {};
  for (const key of Object.getOwnPropertyNames(value)) if (!ERROR_PARTS.has(key)) own[key] = value[key];
  return own;
}
