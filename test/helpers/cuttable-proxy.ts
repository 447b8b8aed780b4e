import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { findClosedPort } from './closed-port.ts';

export interface CuttableProxy {
  /** The given URL, by way of the proxy. */
  readonly url: string;
  /** The server is away: connections break, new ones are refused. */
  cut(): Promise<void>;
  restore(): Promise<void>;
  /** Connections that are open now stay open and carry nothing any more, as after a firewall forgot them; new ones work. */
  freeze(): void;
  /** After so many more bytes nothing is carried any more, in no direction, on open connections and on new ones, which are still taken. */
  silence(afterBytes?: number): void;
  /** Everything that was held back arrives, and all goes on. */
  speak(): void;
  close(): Promise<void>;
}

/** Stands between a client and its server, to take the server away without touching it. */
export async function createCuttableProxy(target: string): Promise<CuttableProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let server: Server | null = null;
  // Not one that another connection may be given while the server is away.
  const ownPort = await findClosedPort();

  let bytesLeft = Number.POSITIVE_INFINITY;
  const waiting: (() => void)[] = [];
  const createValve = () =>
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        const carry = (rest: Buffer) => {
          const part = rest.subarray(0, bytesLeft);
          bytesLeft -= part.length;
          this.push(part);
          if (part.length === rest.length) done();
          else waiting.push(() => carry(rest.subarray(part.length)));
        };
        carry(chunk);
      },
    });

  async function restore() {
    server = createServer((near) => {
      const far = connect(Number(port), hostname);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
      }
      near.pipe(createValve()).pipe(far).pipe(createValve()).pipe(near);
    }).listen(ownPort, '127.0.0.1');
    await once(server, 'listening');
  }

  async function cut() {
    if (server === null) return;
    const closed = once(server, 'close');
    server.close();
    server = null;
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  function freeze() {
    for (const socket of sockets) socket.unpipe().pause();
  }

  function silence(afterBytes = 0) {
    bytesLeft = afterBytes;
  }

  function speak() {
    bytesLeft = Number.POSITIVE_INFINITY;
    for (const goOn of waiting.splice(0)) goOn();
  }

  await restore();
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String(ownPort);
  return { url: url.href, cut, restore, freeze, silence, speak, close: cut };
}
