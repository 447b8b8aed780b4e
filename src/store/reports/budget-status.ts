import type { PrismaClient } from '../../generated/prisma/client.ts';
import { REFUSED_FOR_MS } from '../../stream.ts';
import type { StreamKey } from '../engine/streams.ts';

/** The request budget of one credential as people see it. */
export interface BudgetStatus {
  readonly credential: string;
  /** Milliseconds between two requests in a steady row, as configured and now: longer after a refusal without guidance, or by an announced limit. */
  readonly base_spacing_ms: number;
  readonly spacing_ms: number;
  /** Nobody asks before then; null while nothing blocks. Past while a request tries whether the upstream answers again. */
  readonly blocked_until: Date | null;
  /** A stable word. */
  readonly blocked_reason: string | null;
  /** Granted so far; only grows. */
  readonly requests: number;
}

/** Until when nothing is asked for an account: the server asked to wait, it does not answer, or it refused the credential. By connection. */
export async function readPauses(prisma: PrismaClient): Promise<ReadonlyMap<string, Date>> {
  const rows = await prisma.$queryRaw<{ connection_id: string; until: Date }[]>`
    select s.connection_id, max(p.until) as until
    from sync.streams s join sync.budgets b on b.credential = s.credential
    cross join lateral (select greatest(b.blocked_until, case when b.opened_at is not null then b.wake_at end,
      b.refused_at + make_interval(secs => ${REFUSED_FOR_MS / 1000}::float8)) as until) p
    where p.until > now() group by s.connection_id`;
  return new Map(rows.map(({ connection_id, until }) => [connection_id, until]));
}

export interface ServerPause {
  readonly until: Date;
  /** A stable word. */
  readonly reason: string;
}

/** The wait that the server asked for, for one credential; null where there is none. */
export async function readServerPause(prisma: PrismaClient, credential: string): Promise<ServerPause | null> {
  const [row] = await prisma.$queryRaw<{ until: Date; reason: string }[]>`
    select blocked_until as until, coalesce(blocked_reason, 'it asked to wait') as reason
    from sync.budgets where credential = ${credential} and blocked_until > now()`;
  return row ?? null;
}

/** What a person who asked for a run has to know; empty when it begins at once. */
export async function whyItWaits(prisma: PrismaClient, { connectionId, stream }: StreamKey): Promise<string> {
  const row = await prisma.syncStream.findUnique({
    where: { connection_id_stream: { connection_id: connectionId, stream } },
    select: { credential: true },
  });
  const pause = row?.credential == null ? null : await readServerPause(prisma, row.credential);
  if (pause === null) return '';
  return `The server asked to wait until ${pause.until.toISOString()} (${pause.reason}): the run begins then, or at once after: leadmirror resume ${stream} --connection ${connectionId}`;
}

export async function readBudgets(prisma: PrismaClient): Promise<BudgetStatus[]> {
  return prisma.$queryRaw<BudgetStatus[]>`
    select credential, base_spacing_ms,
      greatest(spacing_ms, case when learnt_at > now() - interval '1 hour' then learnt_spacing_ms end) as spacing_ms,
      case when opened_at is not null then wake_at when blocked_until > now() then blocked_until end as blocked_until,
      case when opened_at is not null then 'circuit open: ' || coalesce(failure_reason, 'network')
        when blocked_until > now() then blocked_reason end as blocked_reason,
      requests::float8 as requests
    from sync.budgets order by credential`;
}
