import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { readChanges } from '../../store/mirror/feed.ts';
import { findRuns } from '../../store/reports/run-history.ts';
import { readHours } from '../../store/reports/run-hours.ts';
import type { LiveStatus } from '../live.ts';
import type { OpsParts } from '../parts.ts';
import { toRunFacts } from '../read-status.ts';
import { STATUS_VERSION } from '../status-document.ts';
import { parsed } from './replies.ts';

const runsQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(50),
  connection: z.string().optional(),
  stream: z.string().optional(),
  outcome: z.enum(['running', 'succeeded', 'partial', 'failed', 'postponed', 'cancelled']).optional(),
  // An id of the table, which is a bigint there.
  before: z
    .string()
    .regex(/^\d{1,19}$/, 'must be the id of a run')
    .transform(BigInt)
    .refine((id) => id > 0n && id < 2n ** 63n, 'must be the id of a run')
    .optional(),
});

const consumer = z.string().min(1).max(200);
const cursor = z.string().regex(/^\d{1,18}$/, 'must be the cursor of a change');
const changesQuery = z.object({
  consumer,
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
  behind: cursor.nullable().default(null),
});
const acknowledgement = z.object({ consumer, ack: cursor.nullable().default(null) });

export function addApiRoutes(server: FastifyInstance, { prisma }: OpsParts, live: LiveStatus): void {
  server.get('/api/status', async () => live.current());

  server.get('/api/runs', async (request) => {
    const { connection, ...query } = parsed(runsQuery, request.query);
    const { limit } = query;
    const runs = await findRuns(prisma, { ...query, connectionId: connection });
    const last = runs.at(-1);
    // Hand it back as `before` for the next page.
    const next = last !== undefined && runs.length === limit ? Number(last.id) : null;
    return { version: STATUS_VERSION, runs: runs.map(toRunFacts), next_before: next };
  });

  server.get('/api/changes', async ({ query }) => ({
    version: STATUS_VERSION,
    changes: await readChanges(prisma, parsed(changesQuery, query)),
  }));

  // Registers a consumer, and acknowledges what it has processed.
  server.post('/api/changes', async ({ body }) => ({
    version: STATUS_VERSION,
    changes: await readChanges(prisma, { ...parsed(acknowledgement, body), limit: 0 }),
  }));

  server.get<{ Params: { connection: string; stream?: string } }>(
    '/api/history/:connection/:stream?',
    async ({ params: { connection, stream } }) => ({
      version: STATUS_VERSION,
      hours: await readHours(prisma, { connectionId: connection, stream }),
    }),
  );
}
