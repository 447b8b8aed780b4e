import fastify, { type FastifyInstance } from 'fastify';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { countRows, readStatus } from '../store/status.ts';

export interface OpsParts {
  readonly prisma: PrismaClient;
  /** Rejects when the queue does not answer; absent where this process has no queue. */
  readonly pingQueue?: () => Promise<void>;
}

export interface OpsServer {
  readonly url: string;
  close(): Promise<void>;
}

/** How long a probe may take before it counts as no answer. */
const PROBE_MS = 3_000;

/** The process's own HTTP side: is it up, is it ready, what state are the streams in. Read-only, no personal data. */
export async function startOpsServer(
  parts: OpsParts,
  address: { readonly host: string; readonly port: number },
): Promise<OpsServer> {
  const server = createOpsServer(parts);
  const url = await server.listen(address);
  return { url, close: () => server.close() };
}

export function createOpsServer({ prisma, pingQueue }: OpsParts): FastifyInstance {
  const server = fastify({ logger: false, forceCloseConnections: true });
  server.addHook('onSend', async (_request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });

  server.get('/healthz', async () => ({ status: 'ok' }));

  server.get('/readyz', async (_request, reply) => {
    const [database, queue] = await Promise.all([
      answers(async () => {
        await prisma.$queryRaw`select 1 from sync.runs limit 1`;
      }),
      pingQueue === undefined ? true : answers(pingQueue),
    ]);
    reply.code(database && queue ? 200 : 503);
    return { status: database && queue ? 'ready' : 'not ready', database, queue };
  });

  server.get('/api/status', async () => {
    const streams = await readStatus(prisma);
    const names = [...new Set(streams.map(({ stream }) => stream))];
    const counts = new Map(
      await Promise.all(names.map(async (name) => [name, await countRows(prisma, name)] as const)),
    );
    return {
      streams: streams.map((line) => ({
        ...line,
        lag_seconds: line.lag_seconds === null ? null : Number(line.lag_seconds),
        open_quarantine: Number(line.open_quarantine),
        proof_rows: line.proof_rows === null ? null : Number(line.proof_rows),
        rows: counts.get(line.stream)?.get(line.connection_id)?.alive ?? 0,
      })),
    };
  });
  return server;
}

async function answers(probe: () => Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), PROBE_MS);
  });
  const answered = probe().then(
    () => true,
    () => false,
  );
  return Promise.race([answered, late]).finally(() => clearTimeout(timer));
}
