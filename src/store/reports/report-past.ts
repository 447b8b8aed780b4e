import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import type { ReportUnit } from './report-days.ts';

/**
 * What only versions of requests know. Days from before history was on, and those that have not ended, are left out. The true number is between
 * `least` and `most`.
 */
export interface PastFigures {
  /** At the end of each day; of a week or month at the end of the last day that is known. */
  readonly backlog: readonly Between<{ readonly at: string; readonly open: number }>[];
  /** Median time for which closed requests were open, by the week (from Monday) in which they were opened; a reopened one until it was closed again. */
  readonly closings: readonly Between<{ readonly at: string; readonly closed: number }>[];
}

/** Requests, or seconds. */
type Between<T> = T & { readonly least: number; readonly most: number };

export interface PastQuery {
  readonly from: string;
  readonly to: string;
  readonly unit: ReportUnit;
  readonly connections: readonly string[];
}

/** Null: `tiledesk.requests` has no history, or it is off. */
export async function readPast(prisma: PrismaClient, query: PastQuery): Promise<PastFigures | null> {
  const history = await prisma.syncHistory.findUnique({ where: { stream: 'tiledesk.requests' } });
  if (history === null || history.off_since !== null) return null;
  const [figures] = await prisma.$queryRaw<PastFigures[]>`
    select ${asLines(backlogSql(query, history.on_since))} as backlog, ${asLines(closingsSql(query, history.on_since))} as closings`;
  return figures ?? { backlog: [], closings: [] };
}

/** The rows of a query as one list of JSON, so that several can be asked for at once. */
export const asLines = (of: Prisma.Sql): Prisma.Sql => Prisma.sql`(select coalesce(json_agg(l), '[]') from (${of}) l)`;

function backlogSql({ from, to, unit, connections }: PastQuery, since: Date): Prisma.Sql {
  const own = [...connections];
  return Prisma.sql`
    with known as (
      select (${since}::timestamptz at time zone z.time_zone)::date as first, (min(s.as_of) at time zone z.time_zone)::date - 1 as last
      from reporting.settings z join reporting.sources s on s.stream = 'tiledesk.requests' and s.connection_id = any(${own})
      where z.connection_id = '*' group by z.time_zone
    ), days as (
      select d::date as day from known, generate_series(greatest(first, ${from}::date), least(last, ${to}::date), interval '1 day') d
    ), sums as (
      select day, sum(open) as open, sum(open_least) as least, sum(open_most) as most
      from reporting.backlog_daily where connection_id = any(${own}) and not is_estimated group by day
    )
    select distinct on (at) to_char(date_trunc(${unit}, day), 'YYYY-MM-DD') as at,
      coalesce(open, 0)::float8 as open, coalesce(least, 0)::float8 as least, coalesce(most, 0)::float8 as most
    from days left join sums using (day) order by at, day desc`;
}

/** `offset 0`: the times are worked out for the requests of these days only. */
function closingsSql({ from, to, connections }: PastQuery, since: Date): Prisma.Sql {
  return Prisma.sql`
    select to_char(date_trunc('week', r.opened_on), 'YYYY-MM-DD') as at, count(*)::int as closed,
      percentile_cont(0.5) within group (order by t.unassigned_ms_least + t.assigned_ms_least) / 1000 as least,
      percentile_cont(0.5) within group (order by t.unassigned_ms_most + t.assigned_ms_least) / 1000 as most
    from reporting.requests r cross join lateral (
      select * from reporting.status_times t where t.connection_id = r.connection_id and t.id = r.id offset 0) t
    where r.connection_id = any(${[...connections]}) and r.opened_on between ${from}::date and ${to}::date
      and r.status = 1000 and r.opened_at >= ${since}
    group by 1 order by 1`;
}
