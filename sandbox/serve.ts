/**
 * The HTTP shell of a simulated upstream: sockets, call log, request limit and scripted faults around one `answer` function.
 * Everything it opens, hanging connections and delayed answers included, ends with `close()`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CallInfo, type FaultRule, type Faults, type RetryAfterForm, retryAfterHeader } from './faults.ts';

export interface Call extends CallInfo {
  readonly at: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string | Buffer;
  /** What the ETag is made from, where hashing the body would be a waste. */
  readonly tag?: string;
  readonly type: 'json' | 'text' | 'html';
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RequestLogEntry {
  /** When the call came in; entries are in the order of the answers. */
  readonly at: number;
  readonly method: string;
  /** Without the version prefix. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly list: string;
  /** 0 when the call got no answer. */
  readonly status: number;
  readonly fault?: string;
  /** What Retry-After asked for. */
  readonly retryAfterMs?: number;
}

export interface ServeOptions {
  readonly faults: Faults;
  readonly answer: (call: Call) => Answer | 'hang';
  /** Splits off the prefix and names the list. */
  readonly route: (path: string) => { path: string; list: string };
  readonly requestsPerMinute: number | null;
  readonly retryAfter: RetryAfterForm;
  readonly rateWindowMs: number;
  /** What every answer carries besides its own headers; those of Express with a session unless told. */
  readonly headers?: () => Readonly<Record<string, string>>;
  /** The answer of the fault `401-text`; Passport's refusal unless told. */
  readonly unauthorized?: (call: Call) => Answer;
}

export const json = (value: unknown, status = 200): Answer => ({ status, body: JSON.stringify(value), type: 'json' });

const contentTypes = { json: 'application/json', text: 'text/plain', html: 'text/html' } as const;
const maxLogEntries = 200_000;
const gatewayPage = '<html><head><title>Please wait</title></head><body><h1>Please wait</h1></body></html>';

export class HttpShell {
  readonly log: RequestLogEntry[] = [];
  readonly #options: ServeOptions;
  readonly #server: Server;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #callsByList = new Map<string, number>();
  #admitted: number[] = [];

  constructor(options: ServeOptions) {
    this.#options = options;
    this.#server = createServer({ keepAliveTimeout: 65_000 }, (message, response) => this.#receive(message, response));
  }

  async listen(options: { port?: number; host?: string } = {}): Promise<{ port: number; url: string }> {
    const host = options.host ?? '127.0.0.1';
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(options.port ?? 0, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    const { port } = this.#server.address() as AddressInfo;
    return { port, url: `http://${host.includes(':') ? `[${host}]` : host}:${port}` };
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #receive(message: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('error', () => response.destroy());
    message.on('end', () => {
      try {
        this.#handle(message, Buffer.concat(chunks).toString('utf8'), response);
      } catch (error) {
        // A mistake in the sandbox or in a test's hook must be visible, not look like the upstream's own 500.
        const body = String(error instanceof Error ? error.stack : error);
        this.#send(response, { status: 599, body, type: 'text' });
      }
    });
  }

  #handle(message: IncomingMessage, body: string, response: ServerResponse): void {
    const url = new URL(message.url ?? '/', 'http://sandbox.invalid');
    const { path, list } = this.#options.route(url.pathname);
    const nth = (this.#callsByList.get(list) ?? 0) + 1;
    this.#callsByList.set(list, nth);
    const method = message.method ?? 'GET';
    const call: Call = {
      at: Date.now(),
      list,
      nth,
      method,
      path,
      query: url.searchParams,
      headers: message.headers,
      body,
    };
    const { faults } = this.#options;
    const limited = this.#overLimit();
    if (limited) {
      this.#note(call, {
        status: 429,
        ...(limited.retryAfterMs !== undefined && { retryAfterMs: limited.retryAfterMs }),
      });
      this.#send(response, limited.answer);
      return;
    }
    const fault = faults.take(call);
    if (fault) this.#spoil(call, fault, message, response);
    else this.#reply(call, this.#options.answer(call), message, response);
  }

  #reply(
    call: Call,
    answer: Answer | 'hang',
    message: IncomingMessage,
    response: ServerResponse,
    fault?: string,
  ): void {
    this.#note(call, { status: answer === 'hang' ? 0 : answer.status, ...(fault !== undefined && { fault }) });
    if (answer === 'hang') return;
    this.#send(response, answer, message.headers['if-none-match']);
  }

  #send(response: ServerResponse, answer: Answer, ifNoneMatch?: string): void {
    const { faults } = this.#options;
    send(response, answer, { common: this.#commonHeaders(), dateOffsetMs: faults.dateOffsetMs, ifNoneMatch });
  }

  #commonHeaders(): Readonly<Record<string, string>> {
    return (this.#options.headers ?? expressHeaders)();
  }

  #spoil(call: Call, fault: FaultRule, message: IncomingMessage, response: ServerResponse): void {
    const { kind } = fault;
    switch (kind) {
      case '429':
      case '503': {
        const form = fault.retryAfter ?? (kind === '429' ? 'seconds' : 'none');
        const hint = retryAfterHeader(form, fault.retryAfterMs ?? 1000);
        const status = Number(kind);
        this.#note(call, { status, fault: kind, ...(hint.ms !== undefined && { retryAfterMs: hint.ms }) });
        this.#send(response, { ...gatewayAnswer(status), headers: hint.headers });
        return;
      }
      case '401-text':
        this.#reply(call, this.#options.unauthorized?.(call) ?? unauthorized, message, response, kind);
        return;
      case '500':
      case 'html-200':
      case 'hang':
        this.#reply(call, cannedAnswers[kind], message, response, kind);
        return;
      case 'reset':
        this.#note(call, { status: 0, fault: kind });
        message.socket.resetAndDestroy();
        return;
      case 'slow':
        this.#later(fault.delayMs ?? 1000, () => {
          if (!response.destroyed) this.#reply(call, this.#options.answer(call), message, response, kind);
        });
        return;
      case 'cut': {
        const answer = this.#options.answer(call);
        this.#note(call, { status: answer === 'hang' ? 0 : answer.status, fault: kind });
        if (answer !== 'hang') sendHalf(response, answer, this.#commonHeaders());
        return;
      }
      case 'garbled-json':
      case 'empty-list':
      case 'truncated-page': {
        const answer = this.#options.answer(call);
        const isSpoilt = answer !== 'hang' && answer.type === 'json';
        const reply = isSpoilt ? distorted(answer, kind) : answer;
        this.#reply(call, reply, message, response, kind);
        return;
      }
      default:
        throw new Error(`Unknown fault ${kind satisfies never}`);
    }
  }

  #later(delayMs: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, delayMs);
    this.#timers.add(timer);
  }

  /** A rolling minute over admitted calls; refused ones do not count. */
  #overLimit(): { answer: Answer; retryAfterMs: number | undefined } | undefined {
    const { requestsPerMinute, rateWindowMs, retryAfter } = this.#options;
    if (requestsPerMinute === null) return undefined;
    const now = performance.now();
    this.#admitted = this.#admitted.filter((at) => at > now - rateWindowMs);
    const oldest = this.#admitted[0];
    if (oldest === undefined || this.#admitted.length < requestsPerMinute) {
      this.#admitted.push(now);
      return undefined;
    }
    const hint = retryAfterHeader(retryAfter, oldest + rateWindowMs - now);
    return { answer: { ...gatewayAnswer(429), headers: hint.headers }, retryAfterMs: hint.ms };
  }

  #note(call: Call, outcome: Pick<RequestLogEntry, 'status' | 'fault' | 'retryAfterMs'>): void {
    const { at, method, path, query, list } = call;
    this.log.push({ at, method, path, query, list, ...outcome });
    if (this.log.length > maxLogEntries) this.log.splice(0, this.log.length - maxLogEntries);
  }
}

/** Passport's refusal: not JSON. */
export const unauthorized: Answer = {
  status: 401,
  body: 'Unauthorized',
  type: 'text',
  headers: { 'WWW-Authenticate': 'Basic realm="Users"' },
};

const cannedAnswers = {
  500: json({ err: 'error' }, 500),
  'html-200': { status: 200, body: gatewayPage, type: 'html' },
  hang: 'hang',
} as const;

function gatewayAnswer(status: number): Answer {
  if (status === 429) return json({ message: 'Rate limit exceeded' }, 429);
  return { status, body: `<html><body><h1>${status} Service Temporarily Unavailable</h1></body></html>`, type: 'html' };
}

/** Rows are in the body itself or in its only array. */
function withRows(body: string, change: (rows: unknown[]) => unknown[], envelope: object = {}): string {
  const value: unknown = JSON.parse(body);
  if (Array.isArray(value)) return JSON.stringify(change(value));
  const changed: Record<string, unknown> = { ...(value as object), ...envelope };
  for (const [key, field] of Object.entries(changed)) if (Array.isArray(field)) changed[key] = change(field);
  return JSON.stringify(changed);
}

const distort = {
  'garbled-json': (body: string): string =>
    `${body.slice(0, body.length >> 1)}\u0000]]${body.slice((body.length >> 1) + 3)}`,
  'empty-list': (body: string): string => withRows(body, () => [], { count: 0 }),
  'truncated-page': (body: string): string => withRows(body, (rows) => rows.slice(0, rows.length >> 1)),
};

function distorted({ status, type, body }: Answer, kind: keyof typeof distort): Answer {
  return { status, type, body: distort[kind](body.toString()) };
}

function bytesOf(body: string | Buffer): Buffer {
  return typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
}

/** A new session at each call (seen in server 2.19): a client that keeps cookies would collect them. */
const expressHeaders = (): Record<string, string> => ({
  'X-Powered-By': 'Express',
  'Set-Cookie': `connect.sid=s%3A${randomBytes(12).toString('hex')}; Path=/; HttpOnly`,
});

type Headers = Readonly<Record<string, string>>;

function headersOf(answer: Answer, length: number, common: Headers): Record<string, string | number> {
  return {
    'Content-Type': `${contentTypes[answer.type]}; charset=utf-8`,
    'Content-Length': length,
    ...common,
    ...answer.headers,
  };
}

interface Envelope {
  readonly common: Headers;
  readonly dateOffsetMs: number;
  readonly ifNoneMatch: string | undefined;
}

function send(response: ServerResponse, answer: Answer, { common, dateOffsetMs, ifNoneMatch }: Envelope): void {
  const bytes = bytesOf(answer.body);
  const headers = headersOf(answer, bytes.length, common);
  const hash = createHash('sha1')
    .update(answer.tag ?? bytes)
    .digest('base64')
    .slice(0, 27);
  headers.ETag = `W/"${bytes.length.toString(16)}-${hash}"`;
  if (dateOffsetMs !== 0) headers.Date = new Date(Date.now() + dateOffsetMs).toUTCString();
  if (answer.status === 200 && ifNoneMatch === headers.ETag) {
    delete headers['Content-Length'];
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(answer.status, headers).end(bytes);
}

function sendHalf(response: ServerResponse, answer: Answer, common: Headers): void {
  const bytes = bytesOf(answer.body);
  response.writeHead(answer.status, headersOf(answer, bytes.length, common));
  // Destroyed only once the half is on its way: the client must see a body that stops, not a refused connection.
  response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
}
