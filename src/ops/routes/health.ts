import type { FastifyInstance } from 'fastify';
import { within } from '../../clock.ts';
import { assertWritable } from '../../store/engine/processes.ts';
import { selectRows } from '../../store/mirror/select-rows.ts';
import type { OpsParts } from '../parts.ts';

/** How long a probe may take before it counts as no answer. */
const PROBE_MS = 3_000;

const MIGRATIONS = { schema: 'sync', name: '_prisma_migrations' };

/** Is the process up; is everything there that it needs to work. Open to all; returns nothing else. */
export function addHealthRoutes(server: FastifyInstance, { prisma, queue, migrations = [] }: OpsParts): void {
  server.get('/healthz', async () => ({ status: 'ok' }));

  server.get('/readyz', async (_request, reply) => {
    const [applied, isQueueThere] = await Promise.all([
      inTime(async () => {
        await assertWritable(prisma);
        const rows = await selectRows<{ name: string }>(prisma, MIGRATIONS, {
          select: { name: 'migration_name' },
          where: { finished_at: { not: null }, rolled_back_at: null },
        });
        return new Set(rows.map(({ name }) => name));
      }),
      queue === undefined ? true : inTime(() => queue.ping().then(() => true)),
    ]);
    const answers = {
      database: applied !== null,
      queue: isQueueThere ?? false,
      migrations: applied !== null && migrations.every((name) => applied.has(name)),
    };
    const isReady = Object.values(answers).every(Boolean);
    reply.code(isReady ? 200 : 503);
    return { status: isReady ? 'ready' : 'not ready', ...answers };
  });
}

/** Null when it fails or takes too long. */
const inTime = <T>(probe: () => Promise<T>): Promise<T | null> => within(PROBE_MS, probe()).catch(() => null);
