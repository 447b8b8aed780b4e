import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Gauge } from 'prom-client';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import { readMetricFacts } from '../store/reports/metric-facts.ts';
import { countRows } from '../store/reports/status.ts';
import type { ProcessMetrics } from './metrics/process-metrics.ts';
import { renderStored } from './metrics/stored-metrics.ts';
import { Remembered } from './remembered.ts';

interface MetricsParts {
  readonly prisma: PrismaClient;
  readonly logger: Logger;
  readonly processMetrics: ProcessMetrics;
  /** More streams than this get no series of their own; 0: none ever does. */
  readonly maxStreams: number;
  /** Jobs by lane and state, null when the queue does not answer; never throws. Absent: this process has no queue. */
  readonly readQueue?: () => Promise<Readonly<Record<string, Readonly<Record<string, number>>>> | null>;
}

/** Prometheus gives up after ten seconds: rather older facts than none. */
const ANSWER_MS = 5_000;

/** `GET /metrics`: what this process did, and what the database knows of all processes. */
export function registerMetrics(server: FastifyInstance, parts: MetricsParts): void {
  const { processMetrics, readQueue, logger } = parts;
  const { registry } = processMetrics;
  // Only on request: watching the event loop costs a little all the time.
  collectDefaultMetrics({ register: registry, prefix: 'leadmirror_' });
  const stored = createStoredText(parts);
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers });
  const databaseUp = gauge('leadmirror_database_up', '1 when the database answered last, else 0.');
  const factsAge = gauge('leadmirror_facts_age_seconds', 'How long ago the facts from the database were read.');
  const factsSeconds = gauge('leadmirror_facts_read_seconds', 'How long that took.');
  const queueUp = gauge('leadmirror_queue_up', '1 when the queue answers, else 0.');
  const queueJobs = gauge('leadmirror_queue_jobs', 'Jobs in the queue.', ['lane', 'state']);

  let wasUp = true;
  server.get('/metrics', async (_request, reply) => {
    const [text, lanes] = await Promise.all([stored.getWithin(ANSWER_MS), readQueue?.()]);
    if (wasUp && !stored.isHealthy) logger.warn('metrics: the database does not answer');
    wasUp = stored.isHealthy;
    databaseUp.set(wasUp ? 1 : 0);
    if (stored.ageMs !== null) factsAge.set(stored.ageMs / 1000);
    factsSeconds.set(stored.tookMs / 1000);
    if (lanes !== undefined) queueUp.set(lanes === null ? 0 : 1);
    queueJobs.reset();
    for (const [lane, depths] of Object.entries(lanes ?? {})) {
      for (const [state, count] of Object.entries(depths)) queueJobs.set({ lane, state }, count);
    }
    reply.header('content-type', registry.contentType);
    return `${await registry.metrics()}\n${text ?? ''}`;
  });
}

/** Bounds the time spent on queries, however often it is scraped and however many streams there are. */
function createStoredText({ prisma, maxStreams }: MetricsParts): Remembered<string> {
  let names: readonly string[] = [];
  // A full read of the tables, one after the other.
  const count = async () => {
    const counts = new Map<string, Awaited<ReturnType<typeof countRows>>>();
    for (const name of names) counts.set(name, await countRows(prisma, name));
    return counts;
  };
  const rows = new Remembered(count, { minAgeMs: 60_000, restShare: 50 });
  const read = async () => {
    const facts = await readMetricFacts(prisma);
    names = [...new Set(facts.streams.map(({ stream }) => stream))].sort();
    return renderStored({ ...facts, rows: await rows.getWithin(ANSWER_MS / 2) }, { maxStreams });
  };
  return new Remembered(read, { minAgeMs: 5_000, restShare: 10 });
}
