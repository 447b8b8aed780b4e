import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Clock } from '../../src/clock.ts';
import type { Logger } from '../../src/logger.ts';

/** What the server does with one request. Those beyond the script get the last entry again. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface TestServer {
  readonly url: string;
  readonly port: number;
  /** `GET /path?query` of every request, in order. */
  readonly requests: string[];
  readonly headers: IncomingMessage['headers'][];
  /** Every connection ever accepted. */
  readonly sockets: ReadonlySet<Socket>;
  script(...answers: Answer[]): void;
  close(): Promise<void>;
}

/** A real server on a free port that does as scripted. */
export async function startServer(): Promise<TestServer> {
  let answers: Answer[] = [text(200, '{}')];
  const requests: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const sockets = new Set<Socket>();
  const listener: RequestListener = (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    headers.push(request.headers);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    answer?.(request, response);
  };
  const server = createServer(listener);
  server.on('connection', (socket) => sockets.add(socket));
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    headers,
    sockets,
    script: (...next) => {
      answers = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Starts any server on a free port of this machine. */
export async function listen(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): AddressInfo | string | null;
}): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

export function text(status: number, body: string, headers: Record<string, string> = {}): Answer {
  return (_request, response) => response.writeHead(status, headers).end(body);
}

export function json(value: unknown, headers: Record<string, string> = {}): Answer {
  return text(200, JSON.stringify(value), { 'content-type': 'application/json', ...headers });
}

export interface TestClock extends Clock {
  /** Every wait that was asked for, in order. */
  readonly waits: number[];
  advance(ms: number): void;
}

/** Time that passes only by waiting: a sleep ends at once and moves the clock on by its length. */
export function createTestClock(startMs = Date.UTC(2026, 0, 1)): TestClock {
  let now = startMs;
  const waits: number[] = [];
  return {
    waits,
    now: () => now,
    advance: (ms) => {
      now += ms;
    },
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      waits.push(ms);
      now += ms;
    },
  };
}

/** Collects log lines, everything down to `trace`. */
export function createLogCapture(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  return { logger: pino({ level: 'trace' }, stream), lines };
}

/** The error of a promise that must fail. */
export async function failureOf(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in outcome) throw new Error('expected a failure');
  return outcome.error as Error & { code?: string };
}

/** Everything of an error that a logger could print: messages, stacks and own fields down the chain of causes. */
export function everythingIn(error: unknown, depth = 0): string {
  if (typeof error !== 'object' || error === null || depth > 5) return String(error);
  const fields = Object.getOwnPropertyNames(error).map((name) => {
    return `${name}=${everythingIn((error as Record<string, unknown>)[name], depth + 1)}`;
  });
  return fields.join('\n');
}
