import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { type BudgetStatus, readBudgets } from './budget-status.ts';
import { countRows, type RowCounts, readStatus, type StreamState } from './status.ts';

/** What there is to measure about a stream; times in seconds since 1970, all by the database's clock. */
export interface StreamFacts {
  readonly connection_id: string;
  readonly stream: string;
  readonly state: StreamState;
  readonly lag_seconds: number | null;
  /** Null: read by hand only. */
  readonly fresh_within_seconds: number | null;
  /** The circuit of its account is open. */
  readonly is_unanswered: boolean;
  /** Blocked for no other reason: it goes on by itself. */
  readonly is_held: boolean;
  readonly last_success_at: number | null;
  /** The oldest of its lists: what the stream as a whole is known to have. */
  readonly watermark_at: number | null;
  readonly open_quarantine: number;
  readonly drift_fields: number;
  readonly proof_age_seconds: number | null;
  readonly proof_rows: number | null;
  /** 0 once a later full walk settled them. */
  readonly proof_differences: number | null;
}

export interface MetricFacts {
  readonly streams: readonly StreamFacts[];
  readonly budgets: readonly BudgetStatus[];
  /** Leases held now, by pass: a stream may hold several. */
  readonly activeRuns: ReadonlyMap<string, number>;
  /** Open alerts by kind. */
  readonly alerts: ReadonlyMap<string, number>;
}

/** One statement per kind of fact, whatever the number of streams. */
export async function readMetricFacts(prisma: PrismaClient): Promise<MetricFacts> {
  const now = await databaseNow(prisma);
  const [lines, configured, unanswered, budgets, drift, active, alerts] = await Promise.all([
    readStatus(prisma),
    prisma.syncStream.findMany({ where: { enabled: true } }),
    prisma.syncBudget.findMany({ where: { opened_at: { not: null } } }),
    readBudgets(prisma),
    prisma.syncSchemaDrift.groupBy({ by: ['connection_id', 'stream'], _count: true }),
    prisma.syncCheckpoint.groupBy({ by: ['pass'], where: { lease_until: { gt: now } }, _count: true }),
    prisma.syncAlert.groupBy({ by: ['kind'], where: { opened_at: { not: null }, closed_at: null }, _count: true }),
  ]);
  const settings = new Map(configured.map((row) => [keyOf(row), row]));
  const driftFields = new Map(drift.map((row) => [keyOf(row), row._count]));
  const open = new Set(unanswered.map(({ credential }) => credential));
  const streams = lines.map((line): StreamFacts => {
    const own = settings.get(keyOf(line));
    const watermarks = Object.values(line.watermark ?? {}).map((at) => Date.parse(at) / 1000);
    return {
      connection_id: line.connection_id,
      stream: line.stream,
      state: line.state,
      lag_seconds: numberOf(line.lag_seconds),
      fresh_within_seconds: own?.fresh_within_seconds || null,
      is_unanswered: open.has(own?.credential ?? ''),
      is_held: line.reason_code === 'circuit_open',
      last_success_at: line.last_success_at && line.last_success_at.getTime() / 1000,
      watermark_at: watermarks.length === 0 ? null : Math.min(...watermarks),
      open_quarantine: Number(line.open_quarantine),
      drift_fields: driftFields.get(keyOf(line)) ?? 0,
      proof_age_seconds: line.proof_at && (now.getTime() - line.proof_at.getTime()) / 1000,
      proof_rows: numberOf(line.proof_rows),
      proof_differences: line.proof_settled ? 0 : line.proof_differences,
    };
  });
  return {
    streams,
    budgets,
    activeRuns: new Map(active.map(({ pass, _count: held }) => [pass, held])),
    alerts: new Map(alerts.map(({ kind, _count: count }) => [kind, count])),
  };
}

const keyOf = ({ connection_id, stream }: { connection_id: string; stream: string }) => `${connection_id}/${stream}`;
const numberOf = (value: bigint | null): number | null => (value === null ? null : Number(value));

/** Rows of each stream by connection; a full read of the tables, so not for every scrape. */
export async function readRowFacts(
  prisma: PrismaClient,
  streams: readonly string[],
): Promise<ReadonlyMap<string, ReadonlyMap<string, RowCounts>>> {
  const counts = new Map<string, ReadonlyMap<string, RowCounts>>();
  for (const stream of streams) counts.set(stream, await countRows(prisma, stream));
  return counts;
}
