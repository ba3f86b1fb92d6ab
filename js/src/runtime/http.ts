/**
 * Request and Response of Node, made lazily: most handlers look at a URL and give back a string, and
 * building the full objects of Node for that costs more than everything else in a request. What
 * user code sees is `instanceof` Node's classes and becomes the real thing as soon as it is used as one.
 */
import { TextDecoder } from 'node:util';

const NodeRequest = globalThis.Request;
const NodeResponse = globalThis.Response;
const nodeFetch = globalThis.fetch;

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
    else this.#url = new URL(target.startsWith('/') ? `http://${host}${target}` : target === '*' ? `http://${host}` : target).href;
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
    return this.#materialize().signal;
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
  get cf(): Record<string, unknown> | undefined {
    return undefined;
  }
}
Object.setPrototypeOf(IncomingRequest.prototype, NodeRequest.prototype);

export function incomingRequest(head: string, body: IncomingBody, aborted: () => AbortSignal): Request {
  return new IncomingRequest(head, body, aborted) as unknown as Request;
}

/** `Request` for user code: Node's, which also takes the requests that come in. */
class PerdureRequest extends NodeRequest {
  constructor(input: Request | string | URL, init?: RequestInit) {
    super(input instanceof NodeRequest ? IncomingRequest.real(input) : input, init);
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return Object.prototype.isPrototypeOf.call(NodeRequest.prototype, value as object);
  }
}
Object.defineProperty(PerdureRequest, 'name', { value: 'Request' });

// Responses.

const TEXT_HEAD = 'content-type: text/plain;charset=UTF-8\r\n';
const headerName = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/;
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

class LazyResponse {
  readonly #body: BodyInit;
  readonly #init: ResponseInit | undefined;
  /** What goes on the wire if nobody looks inside first. */
  readonly #outgoing: Outgoing | undefined;
  #real: Response | undefined;
  #sent = false;

  constructor(body?: BodyInit, init?: ResponseInit) {
    // A number or a boolean is its text, as everywhere on the web platform.
    if (body !== undefined && body !== null && typeof body !== 'object') body = `${body as string}`;
    this.#body = body ?? null;
    this.#init = init;
    this.#outgoing = typeof body === 'object' && body !== null ? undefined : simple(body ?? undefined, init);
    // What is not simple is Node's to check, now: its errors belong to the constructor.
    if (this.#outgoing === undefined) this.#real = new NodeResponse(this.#body, init);
  }

  static json(data: unknown, init?: ResponseInit): Response {
    const text = JSON.stringify(data) as string | undefined;
    if (text === undefined) throw new TypeError('Value is not JSON serializable');
    if (init?.headers === undefined) return new LazyResponse(text, { ...init, headers: { 'content-type': 'application/json' } }) as unknown as Response;
    return NodeResponse.json(data, init);
  }

  static error(): Response {
    return NodeResponse.error();
  }

  static redirect(url: string | URL, status?: number): Response {
    return NodeResponse.redirect(url, (status ?? 302) as 302);
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return Object.prototype.isPrototypeOf.call(NodeResponse.prototype, value as object);
  }

  /** Takes the response to send it; it can be sent once, as its body can be read once. */
  static take(response: Response): Outgoing {
    if (#real in (response as object)) {
      const lazy = response as unknown as LazyResponse;
      if (lazy.#sent) throw usedBody();
      lazy.#sent = true;
      if (lazy.#real === undefined) return lazy.#outgoing!;
      return takeReal(lazy.#real);
    }
    return takeReal(response);
  }

  static real(response: Response): Response {
    return #real in (response as object) ? (response as unknown as LazyResponse).#materialize() : response;
  }

  #materialize(): Response {
    if (this.#sent) throw usedBody();
    return (this.#real ??= new NodeResponse(this.#body, this.#init));
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
    return this.#materialize().body;
  }
  get bodyUsed(): boolean {
    return this.#sent || (this.#real?.bodyUsed ?? false);
  }
  async text(): Promise<string> {
    return this.#materialize().text();
  }
  async json(): Promise<unknown> {
    return this.#materialize().json();
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#materialize().arrayBuffer();
  }
  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await this.arrayBuffer());
  }
  async blob(): Promise<Blob> {
    return this.#materialize().blob();
  }
  async formData(): Promise<FormData> {
    return this.#materialize().formData();
  }
  clone(): Response {
    return this.#materialize().clone() as Response;
  }
}
Object.setPrototypeOf(LazyResponse.prototype, NodeResponse.prototype);
Object.setPrototypeOf(LazyResponse, NodeResponse);
Object.defineProperty(LazyResponse, 'name', { value: 'Response' });

function usedBody(): TypeError {
  return new TypeError('Body has already been used. It can only be used once. Use tee() first if you need to read it twice.');
}

/** The wire form of a response that needs nothing of Node; undefined for any other. */
function simple(body: string | undefined, init: ResponseInit | undefined): Outgoing | undefined {
  if (init === undefined) return { status: 200, head: body === undefined ? '' : TEXT_HEAD, body };
  const { status = 200, headers, statusText } = init;
  if (statusText !== undefined || !Number.isInteger(status) || status < 200 || status > 599) return undefined;
  if (body !== undefined && (status === 204 || status === 205 || status === 304)) return undefined;
  if (headers === undefined) return { status, head: body === undefined ? '' : TEXT_HEAD, body };
  const plain = plainHead(headers);
  if (plain === undefined) return undefined;
  const head = plain.hasType || body === undefined ? plain.head : TEXT_HEAD + plain.head;
  return { status, head, body };
}

function takeReal(response: Response): Outgoing {
  if (response.bodyUsed) throw usedBody();
  let head = '';
  for (const [name, value] of response.headers) head += `${name}: ${value}\r\n`;
  return { status: response.status, head, body: (response.body as ReadableStream<Uint8Array> | null) ?? undefined };
}

export const takeResponse = (response: Response): Outgoing => LazyResponse.take(response);

/**
 * Puts the classes above in the place of Node's, for a process that serves one project. `ready()` resolves
 * when what has been seen is durable: a request to the outside is an output and waits for it.
 */
export function installGlobals(ready: () => Promise<void> | undefined): void {
  const fetch = (input: Request | string | URL, init?: RequestInit): Promise<Response> => {
    const real = input instanceof NodeRequest ? IncomingRequest.real(input) : input;
    const wait = ready();
    return wait === undefined ? nodeFetch(real, init) : wait.then(() => nodeFetch(real, init));
  };
  Object.assign(globalThis, { Request: PerdureRequest, Response: LazyResponse, fetch });
}
