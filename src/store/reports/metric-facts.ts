import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { readBudgets } from './budget-status.ts';
import { readStatus } from './status.ts';

export type MetricFacts = Awaited<ReturnType<typeof readMetricFacts>>;
export type StreamMetrics = MetricFacts['streams'][number];

/**
 * What there is to measure: times in seconds since 1970, all by the database's clock. One statement per kind of fact, whatever the number of streams.
 */
export async function readMetricFacts(prisma: PrismaClient) {
  const now = await databaseNow(prisma);
  const [lines, configured, unanswered, budgets, drift, active, alerts, feed] = await Promise.all([
    readStatus(prisma),
    prisma.syncStream.findMany({ where: { enabled: true } }),
    prisma.syncBudget.findMany({ where: { opened_at: { not: null } } }),
    readBudgets(prisma),
    prisma.syncSchemaDrift.groupBy({ by: ['connection_id', 'stream'], _count: true }),
    prisma.syncCheckpoint.groupBy({ by: ['pass'], where: { lease_until: { gt: now } }, _count: true }),
    prisma.syncAlert.groupBy({ by: ['kind'], where: { opened_at: { not: null }, closed_at: null }, _count: true }),
    prisma.$queryRaw<{ consumer: string; lag_seconds: number }[]>`select * from sync.feed_lags()`,
  ]);
  const settings = new Map(configured.map((row) => [keyOf(row), row]));
  const driftFields = new Map(drift.map((row) => [keyOf(row), row._count]));
  const open = new Set(unanswered.map(({ credential }) => credential));
  const streams = lines.map((line) => {
    const own = settings.get(keyOf(line));
    const watermarks = Object.values(line.watermark ?? {}).map((at) => Date.parse(at) / 1000);
    return {
      connection_id: line.connection_id,
      stream: line.stream,
      state: line.state,
      lag_seconds: numberOf(line.lag_seconds),
      // Null: read by hand only.
      fresh_within_seconds: own?.fresh_within_seconds || null,
      // The circuit of its account is open.
      is_unanswered: open.has(own?.credential ?? ''),
      // Blocked for no other reason: it goes on by itself.
      is_circuit_open: line.reason_code === 'circuit_open',
      last_success_at: line.last_success_at && line.last_success_at.getTime() / 1000,
      // The oldest of its lists: what the stream as a whole is known to have.
      watermark_at: watermarks.length === 0 ? null : Math.min(...watermarks),
      open_quarantine: Number(line.open_quarantine),
      drift_fields: driftFields.get(keyOf(line)) ?? 0,
      verification_age_seconds: line.verified_at && (now.getTime() - line.verified_at.getTime()) / 1000,
      verified_rows: numberOf(line.verified_rows),
      // 0 once a later full sync settled them.
      verification_differences: line.verification_settled ? 0 : line.verification_differences,
    };
  });
  return {
    streams,
    budgets,
    // Current leases, by pass: a stream may have several.
    activeRuns: new Map(active.map(({ pass, _count: count }) => [pass, count])),
    // Open ones by kind.
    alerts: new Map(alerts.map(({ kind, _count: count }) => [kind, count])),
    feed,
  };
}

const keyOf = ({ connection_id, stream }: { connection_id: string; stream: string }) => `${connection_id}/${stream}`;
const numberOf = (value: bigint | null): number | null => (value === null ? null : Number(value));
