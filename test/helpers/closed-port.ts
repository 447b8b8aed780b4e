import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/** Below the ports that systems hand out by themselves: one of those may belong to another connection a moment later. */
const FIRST = 26_000;
const COUNT = 6_500;
let next = process.pid * 61;

/** A port of this machine where nothing listens, now and later. */
export async function findClosedPort(): Promise<number> {
  const [port = 0] = await findClosedPorts(1);
  return port;
}

/** All different: they are taken until the last one is found. */
export async function findClosedPorts(count: number): Promise<number[]> {
  const taken: { readonly port: number; readonly server: Server }[] = [];
  for (let tries = 0; taken.length < count; tries++) {
    if (tries === COUNT) throw new Error('no free port');
    next += 1;
    const port = FIRST + (next % COUNT);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (isFree) taken.push({ port, server });
  }
  for (const { server } of taken) {
    server.close();
    await once(server, 'close');
  }
  return taken.map(({ port }) => port);
}
