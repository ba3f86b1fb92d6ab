/**
 * Request and Response of Node, made lazily: most handlers look at a URL and give back a string, and
 * building the full objects of Node for that costs more than everything else in a request. What
 * user code sees is `instanceof` Node's classes and becomes the real thing as soon as it is used as one.
 */
import { inspect, TextDecoder } from 'node:util';

const NodeRequest = globalThis.Request;
const NodeResponse = globalThis.Response;
const nodeFetch = globalThis.fetch;
// User code may replace the globals.
const { Headers, ReadableStream, URL, URLSearchParams } = globalThis;

type BodyInit = ConstructorParameters<typeof NodeResponse>[0];
type ResponseInit = NonNullable<ConstructorParameters<typeof NodeResponse>[1]>;

// Requests that come in.

/** A request's body as the front hands it over. */
export interface IncomingBody {
  /** All of it, or what came with the head. */
  bytes: ArrayBuffer | undefined;
  complete: boolean;
  /** For what follows: called once, when somebody wants the body as a stream. */
  stream(): ReadableStream<Uint8Array>;
}

const plainTarget = /^\/[\w\-.~!$&'()*+,;=:@%/?]*$/;
const plainHost = /^[a-z\d.-]+(:\d+)?$/;
/** A header can say anything; this much keeps it from being more than the host of a URL. */
const authority = /^[^\s/?#@\\]+$/;
const utf8 = new TextDecoder();

/** A request from the network. `head` is what front::RequestEvent::head describes. */
class IncomingRequest {
  readonly #head: string;
  readonly #body: IncomingBody;
  readonly #aborted: () => AbortSignal;
  #lines: string[] | undefined;
  #url: string | undefined;
  #headers: Headers | undefined;
  #real: Request | undefined;
  #cf: Record<string, unknown> | undefined;
  #used = false;

  constructor(head: string, body: IncomingBody, aborted: () => AbortSignal) {
    this.#head = head;
    this.#body = body;
    this.#aborted = aborted;
  }

  /** The request as Node's own, for code that needs it to be one. */
  static real(request: Request): Request {
    return #real in (request as object) ? (request as unknown as IncomingRequest).#materialize() : request;
  }

  static is(request: object): boolean {
    return #real in request;
  }

  /** Head and body as they came, if all of it is here and nobody has touched it; the body is taken then. */
  static takeWhole(request: object): { head: string; bytes: ArrayBuffer | undefined } | undefined {
    if (!(#real in request)) return undefined;
    if (request.#real !== undefined || request.#used || !request.#body.complete || request.#headers !== undefined) return undefined;
    request.#take();
    return { head: request.#head, bytes: request.#body.bytes };
  }

  #materialize(): Request {
    if (this.#real !== undefined) return this.#real;
    const method = this.method;
    const hasBody = method !== 'GET' && method !== 'HEAD' && !this.#used && (!this.#body.complete || this.#body.bytes !== undefined);
    const init = {
      method,
      headers: this.headers,
      signal: this.#aborted(),
      redirect: 'manual' as const,
      body: hasBody ? (this.#body.complete ? this.#body.bytes! : this.#body.stream()) : null,
      duplex: 'half' as const,
    };
    this.#real = new NodeRequest(this.url, init);
    return this.#real;
  }

  get method(): string {
    return this.#head.substring(0, this.#head.indexOf('\n'));
  }

  get url(): string {
    if (this.#url !== undefined) return this.#url;
    const lines = (this.#lines ??= this.#head.split('\n'));
    const target = lines[1]!;
    let host = 'localhost';
    for (let i = 2; i < lines.length; i += 2) {
      if (lines[i] === 'host') {
        host = lines[i + 1]!;
        break;
      }
    }
    if (plainTarget.test(target) && !target.includes('/.') && plainHost.test(host) && !host.endsWith(':80')) this.#url = `http://${host}${target}`;
    else this.#url = unusualUrl(host, target);
    return this.#url;
  }

  get headers(): Headers {
    if (this.#headers !== undefined) return this.#headers;
    const lines = (this.#lines ??= this.#head.split('\n'));
    const headers = new Headers();
    for (let i = 2; i + 1 < lines.length; i += 2) headers.append(lines[i]!, lines[i + 1]!);
    this.#headers = headers;
    return headers;
  }

  /** The whole body's bytes, when they are here and nobody has taken them. */
  #take(): ArrayBuffer | undefined {
    if (!this.#body.complete || this.#real !== undefined || this.#used) return undefined;
    this.#used = this.#body.bytes !== undefined;
    return this.#body.bytes ?? new ArrayBuffer(0);
  }

  #again(): never {
    throw new TypeError('Body has already been used. It can only be used once. Use tee() first if you need to read it twice.');
  }

  async text(): Promise<string> {
    if (this.#used) this.#again();
    const bytes = this.#take();
    return bytes === undefined ? this.#materialize().text() : utf8.decode(bytes);
  }

  async json(): Promise<unknown> {
    if (this.#used) this.#again();
    const bytes = this.#take();
    return bytes === undefined ? this.#materialize().json() : JSON.parse(utf8.decode(bytes));
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    if (this.#used) this.#again();
    return this.#take() ?? this.#materialize().arrayBuffer();
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.arrayBuffer());
  }

  async blob(): Promise<Blob> {
    if (this.#used) this.#again();
    return this.#materialize().blob();
  }

  async formData(): Promise<FormData> {
    if (this.#used) this.#again();
    return this.#materialize().formData();
  }

  get bodyUsed(): boolean {
    return this.#used || (this.#real?.bodyUsed ?? false);
  }

  get body(): unknown {
    if (this.#used) return null;
    return this.#materialize().body;
  }

  clone(): Request {
    if (this.#used) this.#again();
    return this.#materialize().clone() as Request;
  }

  get signal(): AbortSignal {
    return this.#aborted();
  }
  get redirect(): string {
    return 'manual';
  }
  get cache(): string {
    return this.#materialize().cache;
  }
  get credentials(): string {
    return this.#materialize().credentials;
  }
  get destination(): string {
    return this.#materialize().destination;
  }
  get integrity(): string {
    return this.#materialize().integrity;
  }
  get keepalive(): boolean {
    return this.#materialize().keepalive;
  }
  get mode(): string {
    return this.#materialize().mode;
  }
  get referrer(): string {
    return this.#materialize().referrer;
  }
  get referrerPolicy(): string {
    return this.#materialize().referrerPolicy;
  }
  get duplex(): string {
    return 'half';
  }
  /** What Cloudflare's network knows of a client, a server of one's own does not. */
  get cf(): Record<string, unknown> {
    return (this.#cf ??= {});
  }

  [inspect.custom](depth: number, options: object): string {
    return inspect(this.#materialize(), { ...options, depth });
  }
}
Object.setPrototypeOf(IncomingRequest.prototype, NodeRequest.prototype);

/** The URL of a request whose target or host is more than a path and a plain name. */
function unusualUrl(host: string, target: string): string {
  const text = target.startsWith('/') ? `http://${host}${target}` : target === '*' ? `http://${host}` : target;
  const url = authority.test(host) && URL.canParse(text) ? new URL(text) : undefined;
  // Credentials have no place in the URL of a Request.
  if (url === undefined || url.username !== '' || url.password !== '')
    throw new BadRequest(`The request has no valid URL: host ${JSON.stringify(host)}, target ${JSON.stringify(target)}.`);
  return url.href;
}

/** As IncomingRequest.takeWhole. */
export const takeWholeRequest = (request: Request): { head: string; bytes: ArrayBuffer | undefined } | undefined => IncomingRequest.takeWhole(request);

/** The request as Node's own. */
export const realRequest = (request: Request): Request => IncomingRequest.real(request);

/** A request that no handler can do anything with. */
export class BadRequest extends TypeError {}

export function incomingRequest(head: string, body: IncomingBody, aborted: () => AbortSignal): Request {
  return new IncomingRequest(head, body, aborted) as unknown as Request;
}

/** `Request` for user code: Node's, which also takes the requests that come in. */
class PerdureRequest extends NodeRequest {
  readonly #cf: unknown;
  /** Its body is made while it is read. */
  readonly #streamed: boolean;
  /** The signal that was given for it. */
  readonly #signal: AbortSignal | undefined;

  constructor(input: Request | string | URL, init?: RequestInit) {
    const fromRequest = input instanceof NodeRequest;
    super(fromRequest ? IncomingRequest.real(input) : input, withDuplex(init));
    this.#streamed = init?.body === undefined || init.body === null ? fromRequest && PerdureRequest.isStreamed(input) : streamedBody(init.body) !== undefined;
    this.#signal = init?.signal === undefined ? (fromRequest ? PerdureRequest.givenSignal(input) : undefined) : (init.signal ?? undefined);
    this.#cf = (init as { cf?: unknown } | undefined)?.cf ?? (fromRequest ? (input as { cf?: unknown }).cf : undefined);
  }

  get cf(): unknown {
    return this.#cf;
  }

  /** Of a request that was made otherwise nobody knows, so it may be. */
  static isStreamed(request: Request): boolean {
    return !(#streamed in request) || request.#streamed;
  }

  static givenSignal(request: Request): AbortSignal | undefined {
    return #signal in request ? request.#signal : undefined;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(this, PerdureRequest, NodeRequest, value);
  }
}
Object.defineProperty(PerdureRequest, 'name', { value: 'Request' });

/** Also of those made before user code replaced the globals, or by Node itself. */
export const isRequest = (value: unknown): value is Request => value instanceof NodeRequest;

/** `new Request(…)` for the runtime: user code may have replaced the global one. */
export const makeRequest = (input: Request | string | URL, init?: RequestInit): Request => new PerdureRequest(input, init);

/** The signal that user code gave for a request. */
export const givenSignal = (request: Request): AbortSignal | undefined => PerdureRequest.givenSignal(request);

/** The request with `wrap` around its body, if user code made it and it has a body that was not read. */
export function withRequestBody(request: Request, wrap: (body: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>): Request {
  if (IncomingRequest.is(request) || !PerdureRequest.isStreamed(request) || request.body === null || request.bodyUsed || request.body.locked) return request;
  return new PerdureRequest(request, { body: wrap(request.body as ReadableStream<Uint8Array>) });
}

/** Node asks for `duplex: 'half'` when the body is a stream; there is no other value, and Workers do not give it. */
function withDuplex(init: RequestInit | undefined): RequestInit | undefined {
  if (init?.body === undefined || init.body === null || init.duplex !== undefined) return init;
  return Object.create(init, { duplex: { value: 'half' } }) as RequestInit;
}

/** `value instanceof ours`, where ours stands for a class of Node; its subclasses are themselves. */
function isInstance(type: unknown, ours: unknown, nodes: { prototype: object }, value: unknown): boolean {
  if (type === ours) return Object.prototype.isPrototypeOf.call(nodes.prototype, value as object);
  return Function.prototype[Symbol.hasInstance].call(type, value);
}

// Responses.

const TEXT_TYPE = 'text/plain;charset=UTF-8';
const FORM_TYPE = 'application/x-www-form-urlencoded;charset=UTF-8';
const headerName = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/;
/** What may stand behind a status; an upstream, or code that redefines members, can give anything. */
const reasonPhrase = /^[\t\x20-\x7e\x80-\xff]+$/;
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/;

/** A response on its way out. */
export interface Outgoing {
  status: number;
  /** As front::ResponseEvent::head. */
  head: string;
  body: string | Uint8Array | ReadableStream<Uint8Array> | undefined;
}

/** Headers for the wire from a plain object; undefined when they need Node's own checks. */
function plainHead(headers: unknown): { head: string; hasType: boolean } | undefined {
  if (typeof headers !== 'object' || headers === null || Object.getPrototypeOf(headers) !== Object.prototype) return undefined;
  let head = '';
  let hasType = false;
  for (const name in headers) {
    const value = (headers as Record<string, unknown>)[name];
    if (typeof value !== 'string' || !headerName.test(name) || !headerValue.test(value)) return undefined;
    const lower = name.toLowerCase();
    hasType ||= lower === 'content-type';
    head += `${lower}: ${value}\r\n`;
  }
  return { head, hasType };
}

/** Text or bytes; undefined for a body that is a stream or something else that is Node's to read. */
function plainBody(body: BodyInit | undefined): string | Uint8Array | null | undefined {
  if (body === undefined || body === null) return null;
  // A number or a boolean is its text, as everywhere on the web platform.
  if (typeof body !== 'object') return `${body as string}`;
  if (body instanceof ArrayBuffer) return new Uint8Array(body.slice(0));
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice();
  if (body instanceof URLSearchParams) return body.toString();
  return undefined;
}

function typeOfBody(body: BodyInit | undefined, plain: string | Uint8Array | null | undefined): string | undefined {
  if (typeof plain !== 'string') return undefined;
  return body instanceof URLSearchParams ? FORM_TYPE : TEXT_TYPE;
}

/** A whole response that was taken apart (takeResponse) in another thread. */
class Received {
  constructor(readonly outgoing: Outgoing) {}
}

/** Headers from the lines of Outgoing.head, without a status text. */
function headersOf(head: string): [string, string][] {
  return head
    .split('\r\n')
    .filter((line) => line !== '')
    .map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
}

/** The response that takeResponse() has taken apart. */
export function receivedResponse(outgoing: Outgoing): Response {
  const { status, head, body } = outgoing;
  if (!(body instanceof ReadableStream) && !head.startsWith(' ')) return new LazyResponse(undefined, undefined, new Received(outgoing)) as unknown as Response;
  const statusText = head.startsWith(' ') ? head.slice(1, head.indexOf('\r\n')) : '';
  const headers = headersOf(head.startsWith(' ') ? head.slice(head.indexOf('\r\n') + 2) : head);
  return new LazyResponse(body ?? null, { status, statusText, headers }) as unknown as Response;
}

class LazyResponse {
  /** The body, if it can be sent without Node's help. */
  readonly #plain: string | Uint8Array | null | undefined;
  readonly #body: BodyInit;
  readonly #init: ResponseInit | undefined;
  /** What goes on the wire if nobody looks inside first. */
  readonly #outgoing: Outgoing | undefined;
  #real: Response | undefined;
  #sent = false;

  constructor(body?: BodyInit, init?: ResponseInit, received?: unknown) {
    if (received instanceof Received) {
      const { status, head, body: whole } = received.outgoing;
      this.#plain = whole === undefined ? null : (whole as string | Uint8Array);
      this.#body = this.#plain as BodyInit;
      this.#init = {
        status,
        get headers() {
          return headersOf(head);
        },
      };
      this.#outgoing = received.outgoing;
      return;
    }
    const plain = plainBody(body);
    this.#plain = plain;
    this.#body = plain === undefined || body instanceof URLSearchParams ? body! : plain;
    this.#init = init;
    this.#outgoing = plain === undefined ? undefined : simple(plain, typeOfBody(body, plain), init);
    // What is not simple is Node's to check, now: its errors belong to the constructor.
    if (this.#outgoing === undefined) this.#real = new NodeResponse(this.#body, init);
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(data) as string | undefined;
    if (text === undefined) throw new TypeError('Value is not JSON serializable');
    if (init?.headers === undefined) return new LazyResponse(text, { ...init, headers: { 'content-type': 'application/json' } }) as unknown as Response;
    const headers = new Headers(init.headers);
    if (!headers.has('content-type')) headers.set('content-type', 'application/json');
    return new LazyResponse(text, { ...init, headers }) as unknown as Response;
  }

  static error(): Response {
    return NodeResponse.error();
  }

  static redirect(url: string | URL, status?: number): Response {
    return NodeResponse.redirect(url, (status ?? 302) as 302);
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(this, LazyResponse, NodeResponse, value);
  }

  /** Takes the response to send it; a body can be sent once, as it can be read once. */
  static take(response: Response): Outgoing {
    if (!(#real in (response as object))) return takeReal(response);
    const lazy = response as unknown as LazyResponse;
    if (lazy.#sent) throw usedBody();
    let outgoing = lazy.#outgoing;
    if (lazy.#real !== undefined) {
      outgoing = takeReal(lazy.#real);
      if (lazy.#plain !== undefined) outgoing.body = lazy.#plain ?? undefined;
    }
    lazy.#sent = lazy.#plain !== null;
    return outgoing!;
  }

  /** Puts `wrap` around a body that is a stream and was not read. */
  static wrapBody(response: Response, wrap: (body: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>): Response {
    if (!(#real in (response as object))) return response.url === '' ? wrapped(response, wrap) : response;
    const lazy = response as unknown as LazyResponse;
    if (lazy.#plain === undefined) lazy.#real = wrapped(lazy.#real!, wrap);
    return response;
  }

  #materialize(): Response {
    return (this.#real ??= new NodeResponse(this.#body, this.#init));
  }

  /** For what reads the body. */
  #unsent(): Response {
    if (this.#sent) throw usedBody();
    return this.#materialize();
  }

  get status(): number {
    return this.#real?.status ?? this.#outgoing!.status;
  }
  get ok(): boolean {
    const status = this.status;
    return status >= 200 && status < 300;
  }
  get statusText(): string {
    return this.#real?.statusText ?? this.#init?.statusText ?? '';
  }
  get type(): string {
    return 'default';
  }
  get url(): string {
    return '';
  }
  get redirected(): boolean {
    return false;
  }
  get headers(): Headers {
    return this.#materialize().headers;
  }
  get body(): unknown {
    return this.#unsent().body;
  }
  get bodyUsed(): boolean {
    return this.#sent || (this.#real?.bodyUsed ?? false);
  }
  async text(): Promise<string> {
    return this.#unsent().text();
  }
  async json(): Promise<unknown> {
    return this.#unsent().json();
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#unsent().arrayBuffer();
  }
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.arrayBuffer());
  }
  async blob(): Promise<Blob> {
    return this.#unsent().blob();
  }
  async formData(): Promise<FormData> {
    return this.#unsent().formData();
  }
  clone(): Response {
    const real = this.#unsent();
    if (this.#plain === undefined || real.bodyUsed || real.body?.locked === true) return real.clone() as Response;
    const { status, statusText, headers } = real;
    return new LazyResponse(this.#plain, { status, statusText, headers: new Headers(headers) }) as unknown as Response;
  }
}
Object.setPrototypeOf(LazyResponse.prototype, NodeResponse.prototype);
Object.setPrototypeOf(LazyResponse, NodeResponse);
Object.defineProperty(LazyResponse, 'name', { value: 'Response' });

function usedBody(): TypeError {
  return new TypeError('Body has already been used. It can only be used once. Use tee() first if you need to read it twice.');
}

function wrapped(response: Response, wrap: (body: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>): Response {
  const { status, statusText, headers, body } = response;
  if (body === null || response.bodyUsed || body.locked) return response;
  const stream = wrap(body as ReadableStream<Uint8Array>);
  if (decoded.has(body)) decoded.add(stream);
  return new NodeResponse(stream, { status, statusText, headers });
}

/** As isRequest. */
export const isResponse = (value: unknown): value is Response => value instanceof NodeResponse;

/** The response with `wrap` around its body, unless it came from the network. It may be the same object. */
export const withResponseBody = (response: Response, wrap: (body: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>): Response =>
  LazyResponse.wrapBody(response, wrap);

/** The wire form of a response that needs nothing of Node; undefined for any other. */
function simple(plain: string | Uint8Array | null, type: string | undefined, init: ResponseInit | undefined): Outgoing | undefined {
  const body = plain ?? undefined;
  const typeHead = type === undefined ? '' : `content-type: ${type}\r\n`;
  if (init === undefined || init === null) return { status: 200, head: typeHead, body };
  const { status = 200, headers, statusText } = init;
  if (statusText !== undefined || !Number.isInteger(status) || status < 200 || status > 599) return undefined;
  if (body !== undefined && (status === 204 || status === 205 || status === 304)) return undefined;
  if (headers === undefined) return { status, head: typeHead, body };
  const given = plainHead(headers);
  if (given === undefined) return undefined;
  return { status, head: given.hasType ? given.head : typeHead + given.head, body };
}

/** Bodies that Node's fetch() has decompressed: what their headers say of the encoding is not true any more. */
const decoded = new WeakSet<object>();
/** The encodings that it takes off; with any other among them it leaves all. */
const decodedEncodings = /^\s*(x-gzip|gzip|deflate|br)\s*(,\s*(x-gzip|gzip|deflate|br)\s*)*$/i;

function takeReal(response: Response): Outgoing {
  if (response.bodyUsed || response.body?.locked === true) throw usedBody();
  if (!(response.status >= 200 && response.status <= 599)) throw new TypeError(`A response with status ${response.status} cannot be sent.`);
  const isDecoded = response.body !== null && decoded.has(response.body);
  let head = reasonPhrase.test(response.statusText) ? ` ${response.statusText}\r\n` : '';
  for (const [name, value] of response.headers) {
    if (!isDecoded || (name !== 'content-encoding' && name !== 'content-length')) head += `${name}: ${value}\r\n`;
  }
  return { status: response.status, head, body: (response.body as ReadableStream<Uint8Array> | null) ?? undefined };
}

export const takeResponse = (response: Response): Outgoing => LazyResponse.take(response);

async function send(input: Request | string | URL, init: RequestInit | undefined): Promise<Response> {
  const response = await nodeFetch(input, init);
  const encoding = response.headers.get('content-encoding');
  if (encoding !== null && response.body !== null && decodedEncodings.test(encoding)) decoded.add(response.body);
  return response;
}

/** A body that is produced while it is sent. */
function streamedBody(body: unknown): ReadableStream<Uint8Array> | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  if (body instanceof ReadableStream) return body as ReadableStream<Uint8Array>;
  // Node takes any async iterable.
  return Symbol.asyncIterator in body ? (ReadableStream as unknown as { from(parts: unknown): ReadableStream<Uint8Array> }).from(body) : undefined;
}

/** Where outputs to the outside wait for what they depend on. */
export interface OutputGate {
  /** An output of the code that runs now, whose object stays in memory until `end()`. */
  output(): Output;
}
export interface Output {
  /** Resolves when what was said up to now may leave. */
  ready(): Promise<void>;
  /** Settles a promise of the code that made the output, in its own turn. */
  deliver(settle: () => void): void;
  /** Nothing more of it leaves, and nothing comes back. */
  end(): void;
}

/** `fetch` for user code: the request, and each part of a body that is a stream, goes through the gate. */
export function gatedFetch(gate: OutputGate) {
  return (input: Request | string | URL, init?: RequestInit): Promise<Response> => {
    const output = gate.output();
    // The request until it is answered, and its body until that has left.
    let parts = 1;
    const ended = (): void => {
      if (--parts === 0) output.end();
    };
    const wrap = (body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> => {
      parts++;
      return gatedBody(body, output, ended);
    };
    const go = async (): Promise<Response> => {
      const body = streamedBody(init?.body);
      const options = withDuplex(body === undefined || body.locked ? init : { ...init, body: wrap(body) });
      const request = isRequest(input) ? (body === undefined ? withRequestBody(IncomingRequest.real(input), wrap) : IncomingRequest.real(input)) : input;
      await output.ready();
      return send(request, options);
    };
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void): void =>
        output.deliver(() => {
          settled();
          ended();
        });
      go().then(
        (response) => settle(() => resolve(response)),
        (error: unknown) => settle(() => reject(error as Error)),
      );
    });
  };
}

/** The body, each part of which leaves when `output` is ready. `ended` is called once. */
function gatedBody(body: ReadableStream<Uint8Array>, output: Output, ended: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          await output.ready();
          if (!done) {
            controller.enqueue(value);
            return;
          }
        } catch (error) {
          ended();
          throw error;
        }
        ended();
        controller.close();
      },
      cancel(reason) {
        ended();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** Puts the classes above in the place of Node's, for a process that serves one project. */
export function installGlobals(gate: OutputGate): void {
  Object.assign(globalThis, { Request: PerdureRequest, Response: LazyResponse, fetch: gatedFetch(gate) });
}
