import type { ChildProcess } from 'node:child_process';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { closeSync, openSync, writeSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { type AddressInfo, Server } from 'node:net';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { erasedChannel, type Kind, type Said, type Secret, saidChannel, secretChannel } from './record.ts';
import { TextPieces } from './text-pieces.ts';

/** What is written down: one line of JSON each. */
export type Line =
  | (Said & { readonly test: string })
  | ({ readonly kind: 'secret' } & Secret)
  | ({ readonly kind: 'erased' } & Secret);

const BUFFER_BYTES = 65_536;
const ANSWERS_MS = 1_000;

/**
 * Writes down what a test file makes our program say: words, stdout and stderr of every child process, every line of a pino logger of this process, whoever
 * keeps it, and every answer of a fastify server of this process or of a child's that is fetched. It listens where Node and those two packages announce
 * themselves, so no test has to think of it, and none can forget it. The simulated upstreams of this process, plain servers of Node, are left out: it is
 * their job to give data out.
 */
export class Recorder {
  readonly #fd: number;
  readonly #closers: (() => void)[] = [];
  /** Takes what is still being said, such as events that end with their page, for said. */
  readonly #open = new Set<() => void>();
  readonly #reading = new Set<Promise<void>>();
  /** Ports that this process answers on: what they say is written down by their server, or is an upstream's. */
  readonly #ownPorts = new Set<number>();
  #buffer: string[] = [];
  #buffered = 0;
  #isClosed = false;
  /** File and name of the running test. */
  test: string;

  constructor({ directory, name, test }: { directory: string; name: string; test: string }) {
    this.#fd = openSync(join(directory, `${name}.jsonl`), 'a');
    this.test = test;
    this.#listen('child_process', (message) => this.#watchChild((message as { process: ChildProcess }).process));
    this.#listen('fastify.initialization', (message) =>
      this.#watchServer((message as { fastify: FastifyInstance }).fastify),
    );
    this.#closers.push(onListening((port) => this.#ownPorts.add(port)));
    this.#listen(saidChannel.name, (message) => this.#say(message as Said));
    this.#listen(secretChannel.name, (message) => this.#write({ kind: 'secret', ...(message as Secret) }));
    this.#listen(erasedChannel.name, (message) => this.#write({ kind: 'erased', ...(message as Secret) }));
    this.#watchLogs();
  }

  /** The same `fetch`, with what children answer written down. */
  wrapFetch(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
    return async (input, init) => {
      const response = await fetch(input, init);
      const { port, pathname } = new URL(response.url || 'http://nowhere');
      const isEndless = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
      if (this.#ownPorts.has(Number(port)) || isEndless) return response;
      const what = `${init?.method ?? 'GET'} ${pathname}`;
      const reading = this.#read(what, response.clone()).finally(() => this.#reading.delete(reading));
      this.#reading.add(reading);
      return response;
    };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const timer = new AbortController();
    const late = new Promise((resolve) => {
      const timeout = setTimeout(resolve, ANSWERS_MS);
      timer.signal.addEventListener('abort', () => clearTimeout(timeout));
    });
    await Promise.race([Promise.all(this.#reading), late]);
    timer.abort();
    for (const close of this.#closers) close();
    for (const finish of this.#open) finish();
    this.#flush();
    this.#isClosed = true;
    closeSync(this.#fd);
  }

  #listen(name: string | symbol, listener: (message: unknown) => void): void {
    subscribe(name, listener);
    this.#closers.push(() => unsubscribe(name, listener));
  }

  #watchLogs(): void {
    const { end } = tracingChannel('pino_asJson');
    const listener = (message: unknown) =>
      this.#say({ kind: 'log', what: 'log', text: (message as { result: string }).result });
    end.subscribe(listener);
    this.#closers.push(() => end.unsubscribe(listener));
  }

  #watchChild(child: ChildProcess): void {
    // It is announced before it has its streams and its words.
    queueMicrotask(() => {
      const words = wordsOf(child);
      const what = words.filter((word) => !word.startsWith('{')).join(' ');
      this.#say({ kind: 'command', what, text: words.join(' ') });
      for (const name of ['stdout', 'stderr'] as const) {
        const stream = child[name];
        if (stream !== null && stream !== undefined) this.#watchStream(stream, what);
      }
    });
  }

  /** Not a listener of its own, which would make data flow before those who want it are there. */
  #watchStream(stream: Readable, what: string): void {
    const pieces = this.#pieces('output', what);
    const finish = () => {
      pieces.end();
      this.#open.delete(finish);
    };
    const emit = stream.emit.bind(stream);
    stream.emit = (name: string | symbol, ...values: unknown[]) => {
      if (name === 'data') pieces.add(values[0]);
      if (name === 'close') finish();
      return emit(name, ...(values as []));
    };
    this.#open.add(finish);
  }

  #watchServer(server: FastifyInstance): void {
    server.addHook('onRequest', (request, reply, done) => {
      this.#watchAnswer(reply.raw, `${request.method} ${request.url.split('?', 1)[0]}`);
      done();
    });
  }

  /** What is sent is seen here, also by routes that write to the connection themselves, as the one for events does. */
  #watchAnswer(raw: ServerResponse, what: string): void {
    const pieces = this.#pieces('answer', what);
    const { writeHead, write, end } = raw;
    let head = '';
    const finish = () => {
      // Node's own end may write through this object, and nothing is to be heard twice.
      Object.assign(raw, { writeHead, write, end });
      if (head !== '') pieces.add(`\n${head}`);
      pieces.end();
      this.#open.delete(finish);
    };
    raw.writeHead = (...values: unknown[]) => {
      head = headersOf({ ...raw.getHeaders(), ...(values.at(-1) as object) });
      return Reflect.apply(writeHead, raw, values);
    };
    raw.write = (...values: unknown[]) => {
      pieces.add(values[0]);
      return Reflect.apply(write, raw, values);
    };
    raw.end = (...values: unknown[]) => {
      pieces.add(values[0]);
      finish();
      return Reflect.apply(end, raw, values);
    };
    this.#open.add(finish);
  }

  async #read(what: string, response: Response): Promise<void> {
    try {
      this.#say({ kind: 'answer', what, text: `${await response.text()}\n${JSON.stringify([...response.headers])}` });
    } catch {
      // The test sees it too.
    }
  }

  #pieces(kind: Kind, what: string): TextPieces {
    return new TextPieces((text) => this.#say({ kind, what, text }));
  }

  #say({ kind, what, text }: Said): void {
    this.#write({ kind, what, test: this.test, text });
  }

  #write(line: Line): void {
    if (this.#isClosed) return;
    const text = `${JSON.stringify(line)}\n`;
    this.#buffered += text.length;
    this.#buffer.push(text);
    if (this.#buffered > BUFFER_BYTES) this.#flush();
  }

  #flush(): void {
    if (this.#buffer.length > 0) writeSync(this.#fd, this.#buffer.join(''));
    this.#buffer = [];
    this.#buffered = 0;
  }
}

const portListeners = new Set<(port: number) => void>();
const { listen } = Server.prototype;
Server.prototype.listen = function (this: Server, ...values: unknown[]) {
  this.once('listening', () => {
    const address = this.address() as AddressInfo | string | null;
    if (address !== null && typeof address === 'object') for (const tell of portListeners) tell(address.port);
  });
  return Reflect.apply(listen, this, values);
} as typeof listen;

/**
 * Tells each port that a server of this process listens on, until the returned function is called. Not by Node's own channel for requests: now and then,
 * for all the tests of a file, that one was silent.
 */
function onListening(tell: (port: number) => void): () => void {
  portListeners.add(tell);
  return () => void portListeners.delete(tell);
}

/** `leadmirror`, `sync`, `--json`; of any other program its own name first. A program that could not be started has none. */
function wordsOf({ spawnfile, spawnargs = [] }: ChildProcess): string[] {
  const words = spawnfile === process.execPath ? spawnargs.slice(1) : [spawnfile, ...spawnargs.slice(1)];
  return words.map((word, i) => (i === 0 ? basename(word, '.js') : word));
}

/** The cookie is for one browser alone, and of no use without it; every other header is looked at. */
function headersOf(headers: object): string {
  return JSON.stringify(headers, (name, value) => (name.toLowerCase() === 'set-cookie' ? undefined : value));
}
