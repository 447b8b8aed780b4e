import { once } from 'node:events';
import { createServer, connect as openSocket, type Socket } from 'node:net';

/**
 * As PgBouncer looks from outside (seen in 1.18): the number of the server's process is its own invention, and a start-up packet with `options` is refused.
 * Everything else is passed on.
 */
export async function startPooler(
  url: string,
  /** Sharing: as in transaction mode, where nobody hears what was notified. */
  { isSharing = false } = {},
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = openSocket(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket.on('error', () => {}).on('close', () => client.destroy() && upstream.destroy()));
    }
    client.once('data', (startUp) => {
      if (startUp.includes('\0options\0')) return void client.end(REFUSAL);
      upstream.write(startUp);
      client.pipe(upstream);
    });
    let isKeyPassed = false;
    upstream.on('data', (data) => {
      // What the server says before the first question comes in whole messages.
      for (let at = 0; !isKeyPassed && data.length >= at + 9; at += 1 + data.readUInt32BE(at + 1)) {
        if (data.toString('latin1', at, at + 1) !== 'K') continue;
        data.writeUInt32BE(4_242_424, at + 5);
        isKeyPassed = true;
      }
      client.write(isSharing ? withoutNotices(data) : data);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pooled = new URL(url);
  pooled.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url: pooled.href,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const REFUSAL = errorMessage({ S: 'FATAL', C: '08P01', M: 'unsupported startup parameter: options' });

function errorMessage(fields: Readonly<Record<string, string>>): Buffer {
  const body = `${Object.entries(fields)
    .map(([name, value]) => `${name}${value}\0`)
    .join('')}\0`;
  const head = Buffer.alloc(5);
  head.write('E', 'latin1');
  head.writeUInt32BE(4 + Buffer.byteLength(body), 1);
  return Buffer.concat([head, Buffer.from(body)]);
}

/** Of whole messages, those that are no notification. */
function withoutNotices(data: Buffer): Buffer {
  const kept: Buffer[] = [];
  for (let at = 0; at < data.length; ) {
    const end = data.length >= at + 5 ? at + 1 + data.readUInt32BE(at + 1) : data.length;
    if (data.toString('latin1', at, at + 1) !== 'A') kept.push(data.subarray(at, end));
    at = end;
  }
  return Buffer.concat(kept);
}
