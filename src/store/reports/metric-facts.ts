import type { PrismaClient } from '../../generated/prisma/client.ts';
import { isProofSettled, isStreamInUse } from './alert-conditions.ts';
import { countRows, type RowCounts, type StreamState } from './status.ts';

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

export interface BudgetFacts {
  readonly credential: string;
  readonly base_spacing_ms: number;
  readonly spacing_ms: number;
  /** 0: not blocked. */
  readonly blocked_seconds: number;
  /** `closed` too where nobody asks any more: no enabled, unpaused stream is paid from it. */
  readonly circuit: 'closed' | 'half_open' | 'open';
  /** Requests granted to all processes since the row is there. */
  readonly requests: number;
}

export interface MetricFacts {
  readonly streams: readonly StreamFacts[];
  readonly budgets: readonly BudgetFacts[];
  /** Leases held now, by pass: a stream may hold several. */
  readonly activeRuns: ReadonlyMap<string, number>;
  /** Open alerts by kind. */
  readonly alerts: ReadonlyMap<string, number>;
}

/** One statement per kind of fact, whatever the number of streams. */
export async function readMetricFacts(prisma: PrismaClient): Promise<MetricFacts> {
  const [streams, budgets, active, alerts] = await Promise.all([
    prisma.$queryRaw<StreamFacts[]>`
      select v.connection_id, v.stream, v.state, v.lag_seconds::float8, nullif(s.fresh_within_seconds, 0) as fresh_within_seconds,
        o.credential is not null as is_unanswered,
        v.reason_code = 'circuit_open' as is_held,
        extract(epoch from v.last_success_at)::float8 as last_success_at,
        (select extract(epoch from min(w.value::timestamptz)) from jsonb_each_text(v.watermark) w)::float8 as watermark_at,
        v.open_quarantine::float8, coalesce(d.fields, 0)::float8 as drift_fields,
        extract(epoch from now() - v.proof_at)::float8 as proof_age_seconds, v.proof_rows::float8,
        case when v.proof_differences > 0 and ${isProofSettled} then 0 else v.proof_differences end::float8 as proof_differences
      from sync.status v
      join sync.streams s using (connection_id, stream)
      left join sync.budgets o on o.credential = s.credential and o.opened_at is not null
      left join (select connection_id, stream, count(*) as fields from sync.schema_drift group by 1, 2) d using (connection_id, stream)`,
    readBudgetFacts(prisma),
    prisma.$queryRaw<{ pass: string; held: number }[]>`
      select pass, count(*)::int as held from sync.checkpoints where lease_until > clock_timestamp() group by pass`,
    prisma.$queryRaw<{ kind: string; open: number }[]>`
      select kind, count(*)::int as open from sync.alerts where opened_at is not null and closed_at is null group by kind`,
  ]);
  return {
    streams,
    budgets,
    activeRuns: new Map(active.map(({ pass, held }) => [pass, held])),
    alerts: new Map(alerts.map(({ kind, open }) => [kind, open])),
  };
}

async function readBudgetFacts(prisma: Pick<PrismaClient, '$queryRaw'>): Promise<readonly BudgetFacts[]> {
  return prisma.$queryRaw<BudgetFacts[]>`
    select credential, base_spacing_ms,
      greatest(spacing_ms, case when learnt_at > now() - interval '1 hour' then learnt_spacing_ms end) as spacing_ms,
      greatest(0, coalesce(extract(epoch from blocked_until - clock_timestamp()), 0))::float8 as blocked_seconds,
      case when opened_at is null or not ${isStreamInUse} then 'closed'
        when probe_until > clock_timestamp() then 'half_open' else 'open' end as circuit,
      requests::float8
    from sync.budgets b order by credential`;
}

/** Rows of each stream by connection; a full read of the tables, so not for every scrape. */
export async function readRowFacts(
  prisma: PrismaClient,
  streams: readonly string[],
): Promise<ReadonlyMap<string, ReadonlyMap<string, RowCounts>>> {
  const counts = new Map<string, ReadonlyMap<string, RowCounts>>();
  for (const stream of streams) counts.set(stream, await countRows(prisma, stream));
  return counts;
}
