import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import type { DataLocation } from './location.ts';
import { readPrivate } from './private-files.ts';

/** Loopback only: other computers must not connect. */
export const HOST = '127.0.0.1';

/** Below the ports that systems hand out to outgoing connections, which would take ours while the server is down. */
const FIRST_PORT = 15_432;
const PORT_COUNT = 10_000;
const ATTEMPTS = 50;

/** Always the same for one home, so that the psql line stays the same, and most likely another for the next home. */
export function preferredPort(base: string): number {
  return FIRST_PORT + (createHash('sha256').update(base).digest().readUInt32BE(0) % PORT_COUNT);
}

/** A free port: the one of the last start if possible, which Postgres itself keeps, else the next free one. */
export async function choosePort({ base, dataDirectory }: DataLocation): Promise<number> {
  const options = await readPrivate(join(dataDirectory, 'postmaster.opts')).catch(() => null);
  const remembered = Number(/"port=(\d+)"/.exec(options ?? '')?.[1]);
  if (remembered > 0 && remembered < 65_536 && (await isFree(remembered))) return remembered;
  const preferred = preferredPort(base);
  for (let port = preferred; port < preferred + ATTEMPTS; port++) {
    if (await isFree(port)) return port;
  }
  return listenOnce(0);
}

function isFree(port: number): Promise<boolean> {
  return listenOnce(port).then(
    () => true,
    () => false,
  );
}

async function listenOnce(port: number): Promise<number> {
  const server = createServer().listen({ host: HOST, port, exclusive: true });
  await once(server, 'listening');
  const { port: used } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return used;
}
