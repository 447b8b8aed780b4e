/** The HTTP shell of a simulated upstream around one `answer` function. Everything it opens ends with `close()`. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type Answer, type Call, type CallInfo, type SandboxReply, unauthorized } from './answer.ts';
import { type FaultRule, type Faults, gatewayAnswer, type RetryAfterForm, spoil } from './faults.ts';

export interface RequestLogEntry extends Omit<CallInfo, 'nth'> {
  /** When the call came in; entries are in the order of the answers. The path is without the version prefix. */
  readonly at: number;
  readonly status: number;
  readonly fault?: string;
  readonly retryAfterMs?: number;
}

export interface LimitOptions {
  /** null: unthrottled. Otherwise calls above this number in any rolling minute get 429. */
  requestsPerMinute?: number | null;
  /** Length of that minute, so that a test need not wait for one. */
  rateWindowMs?: number;
  retryAfter?: RetryAfterForm;
}

export interface ShellOptions extends LimitOptions {
  readonly faults: Faults;
  readonly answer: (call: Call) => SandboxReply;
  readonly route: (path: string) => { path: string; list: string };
  readonly change?: (count: number) => void;
  /** What every answer carries besides its own headers; default: those of Express with a session. */
  readonly headers?: () => Readonly<Record<string, string>>;
  /** The answer of the fault `401-text`; default: Passport's refusal. */
  readonly unauthorized?: (call: Call) => Answer;
}

type Cause = { readonly fault: FaultRule | undefined; readonly answer: () => SandboxReply };

const maxLogEntries = 200_000;

/** A new session at each call (seen in server 2.19): a client that keeps cookies would collect them. */
const expressHeaders = (): Record<string, string> => ({
  'X-Powered-By': 'Express',
  'Set-Cookie': `connect.sid=s%3A${randomBytes(12).toString('hex')}; Path=/; HttpOnly`,
});

export function createHttpShell(options: ShellOptions) {
  const { faults, headers = expressHeaders, change = () => {} } = options;
  const log: RequestLogEntry[] = [];
  const callsByList = new Map<string, number>();
  const refuseAboveLimit = createLimit(options);
  const server = createServer({ keepAliveTimeout: 65_000 }, receive);
  let live: NodeJS.Timeout | undefined;

  function receive(message: IncomingMessage, response: ServerResponse): void {
    const answerTo = (body: string): void => {
      const call = callOf(message, body);
      const refusal = refuseAboveLimit();
      const fault = refusal ? undefined : faults.take(call);
      const act = () => {
        if (!response.destroyed) respond(call, response, { fault, answer: () => refusal ?? options.answer(call) });
      };
      if (fault?.kind === 'slow') setTimeout(act, fault.delayMs ?? 1000).unref();
      else act();
    };
    // A mistake in the sandbox or in a test's hook must be visible, not look like the upstream's own 500.
    const showMistake = (error: unknown): void => {
      const body = String(error instanceof Error ? error.stack : error);
      send({ status: 599, body, type: 'text' }, response);
    };
    text(message).then(answerTo).catch(showMistake);
  }

  function callOf(message: IncomingMessage, body: string): Call {
    const url = new URL(message.url ?? '/', 'http://sandbox.invalid');
    const { path, list } = options.route(url.pathname);
    const nth = (callsByList.get(list) ?? 0) + 1;
    callsByList.set(list, nth);
    const { method = 'GET' } = message;
    return { at: Date.now(), list, nth, method, path, query: url.searchParams, headers: message.headers, body };
  }

  function respond(call: Call, response: ServerResponse, { fault, answer }: Cause): void {
    const refuse = () => options.unauthorized?.(call) ?? unauthorized;
    const reply = fault ? spoil(fault.kind, { rule: fault, answer, refuse }) : answer();
    const { at, method, path, query, list } = call;
    const { status, retryAfterMs } = typeof reply === 'string' ? { status: 0 } : reply;
    log.push({ at, method, path, query, list, status, fault: fault?.kind, retryAfterMs });
    if (log.length > maxLogEntries) log.shift();
    if (reply === 'hang') return;
    if (reply === 'reset') response.socket?.resetAndDestroy();
    else send(reply, response, fault?.kind === 'cut');
  }

  function send(answer: Answer, response: ServerResponse, isCut = false): void {
    const bytes = Buffer.from(answer.body);
    const etag = `W/"${bytes.length.toString(16)}-${createHash('sha1').update(bytes).digest('base64').slice(0, 27)}"`;
    response.setHeaders(new Map(Object.entries({ ETag: etag, ...headers(), ...answer.headers })));
    response.setHeader('Content-Type', `${contentTypes[answer.type]}; charset=utf-8`);
    if (faults.dateOffsetMs !== 0) response.setHeader('Date', new Date(Date.now() + faults.dateOffsetMs).toUTCString());
    if (answer.status === 200 && response.req.headers['if-none-match'] === etag) {
      response.writeHead(304).end();
      return;
    }
    response.writeHead(answer.status, { 'Content-Length': bytes.length });
    // Destroyed only once the half is on its way: the client must see a body that stops, not a refused connection.
    if (isCut) response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
    else response.end(bytes);
  }

  const stopLive = (): void => clearInterval(live);

  return {
    faults,
    log: log as readonly RequestLogEntry[],
    async listen({ port = 0, host = '127.0.0.1' }: { port?: number; host?: string } = {}) {
      server.listen(port, host);
      await once(server, 'listening');
      const { port: used } = server.address() as AddressInfo;
      return { port: used, url: `http://${host.includes(':') ? `[${host}]` : host}:${used}` };
    },
    async close() {
      stopLive();
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
    clearLog() {
      log.length = 0;
    },
    startLive({ changesPerSecond = 5 }: { changesPerSecond?: number } = {}) {
      stopLive();
      // Timers fire at most every 20 ms, so a high rate makes several changes at once.
      const everyMs = Math.max(20, 1000 / changesPerSecond);
      let owed = 0;
      live = setInterval(() => {
        owed += (everyMs / 1000) * changesPerSecond;
        change(Math.floor(owed));
        owed %= 1;
      }, everyMs).unref();
    },
    stopLive,
  };
}

const contentTypes = { json: 'application/json', text: 'text/plain', html: 'text/html' } as const;

/** A rolling minute over admitted calls; refused ones do not count. */
function createLimit({ requestsPerMinute, rateWindowMs = 60_000, retryAfter = 'seconds' }: LimitOptions) {
  let admitted: number[] = [];
  return (): Answer | undefined => {
    if (requestsPerMinute === null || requestsPerMinute === undefined) return undefined;
    const now = performance.now();
    admitted = admitted.filter((at) => at > now - rateWindowMs);
    const oldest = admitted[0];
    if (oldest !== undefined && admitted.length >= requestsPerMinute) {
      return gatewayAnswer(429, retryAfter, oldest + rateWindowMs - now);
    }
    admitted.push(now);
    return undefined;
  };
}
