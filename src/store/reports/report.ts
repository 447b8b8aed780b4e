import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import { selectRows } from '../mirror/select-rows.ts';
import { bucketsOf, DAY_MS, dayOf, msOf, type ReportUnit, unitOf } from './report-days.ts';
import { asLines, type PastFigures, readPast } from './report-past.ts';

/**
 * The main figures of schema `reporting` over some days. Sums and percentiles only: no name, address or text of a person, but for agents that were asked for.
 *
 * Days are those of each account's own time zone (`reporting.settings`), both ends included. All figures but those of the past come from one snapshot of the database, so they
 * agree with each other while syncs go on.
 */
export interface Report {
  /** `YYYY-MM-DD`, the first and the last day. */
  readonly from: string;
  readonly to: string;
  /** What `at` counts in: days up to three months, weeks (from Monday) up to two years, then months. */
  readonly unit: ReportUnit;
  readonly connections: readonly string[];
  readonly time_zones: readonly string[];
  /** Everything that was upstream then is counted; null: a first full read is not complete. */
  readonly as_of: Date | null;
  /** When the precomputed tables were brought up to the mirror; null: never. */
  readonly refreshed_at: Date | null;
  readonly requests: {
    readonly opened: number;
    readonly closed: number;
    readonly abandoned: number;
    readonly by_time: readonly { readonly at: string; readonly opened: number; readonly closed: number }[];
    readonly by_channel: readonly Share[];
    readonly by_department: readonly Share[];
    /** 24, from midnight. */
    readonly by_hour: readonly number[];
    /** 7, from Monday. */
    readonly by_weekday: readonly number[];
  };
  readonly response_times: ResponseTimes & { readonly by_time: readonly (ResponseTimes & { readonly at: string })[] };
  /** Counts the requests opened in these days. `satisfied`: rated 4 or more. */
  readonly satisfaction: Satisfaction & { readonly by_time: readonly (Satisfaction & { readonly at: string })[] };
  readonly backlog: {
    readonly open: number;
    readonly unanswered: number;
    readonly oldest_opened_at: Date | null;
    readonly under_1_hour: number;
    readonly under_1_day: number;
    readonly under_7_days: number;
    readonly older: number;
  };
  /** Counts the leads created in these days: each step is part of the one before. */
  readonly funnel: Readonly<Record<'leads' | 'with_request' | 'answered' | 'closed' | 'rated', number>>;
  /** Counts the links sent in these days, whenever they were opened. */
  readonly links: {
    readonly sent: number;
    readonly opened: number;
    readonly downloaded: number;
    readonly signed: number;
    readonly won: number;
    readonly lost: number;
    readonly visits: number;
    readonly time_read_seconds: number;
    /** Mean of the opened ones with a value, 0 to 100; null: none has one. */
    readonly percent_read: number | null;
    readonly by_time: readonly { readonly at: string; readonly sent: number; readonly opened: number }[];
  };
  /** Those with the most requests first; null: not asked for. */
  readonly agents: readonly AgentFigures[] | null;
  /** Null: `tiledesk.requests` has no history. */
  readonly past: PastFigures | null;
}

/** One person at the help desk. */
export interface AgentFigures {
  readonly agent: string;
  /** Opened in these days, in which the agent takes part. */
  readonly requests: number;
  readonly answered: number;
  readonly closed: number;
  readonly rated: number;
  readonly average_rating: number | null;
}

/** Part of all opened requests; `name` null: none, or the sum of the small rest when `isRest`. */
export interface Share {
  readonly name: string | null;
  readonly opened: number;
  readonly isRest?: boolean;
}

/** Seconds; null where there is nothing to measure. */
export interface ResponseTimes {
  readonly answered: number;
  readonly first_response_median_seconds: number | null;
  readonly first_response_p90_seconds: number | null;
  /** The part of these within business hours; null also where none are set. */
  readonly first_response_business_median_seconds: number | null;
  readonly first_response_business_p90_seconds: number | null;
  readonly resolved: number;
  readonly resolution_median_seconds: number | null;
  readonly resolution_p90_seconds: number | null;
}

export interface Satisfaction {
  readonly rated: number;
  readonly satisfied: number;
  readonly average_rating: number | null;
}

export interface ReportQuery {
  /** `YYYY-MM-DD`; absent: 30 days that end with `to`. */
  readonly from?: string | undefined;
  /** Absent: today, by the time zone that holds for accounts without one of their own. */
  readonly to?: string | undefined;
  readonly connection?: string | undefined;
  /** Names the people at the help desk. */
  readonly agents?: boolean | undefined;
}

const DEFAULT_DAYS = 30;
const SHARES = 8;

/** Reads the precomputed tables as they are; who wants them newer refreshes them first (`refreshReporting`). */
export async function readReport(prisma: PrismaClient, asked: ReportQuery = {}): Promise<Report> {
  const report = await prisma.$transaction(
    async (tx) => {
      const [basis] = await tx.$queryRaw<Basis[]>`
        with own as (
          select s.connection_id, coalesce(z.time_zone, d.time_zone) as time_zone, s.as_of
          from reporting.sources s
          cross join (select time_zone from reporting.settings where connection_id = '*') d
          left join reporting.settings z on z.connection_id = s.connection_id
          where s.is_enabled and (${asked.connection ?? null}::text is null or s.connection_id = ${asked.connection ?? null}::text))
        select to_char(now() at time zone (select time_zone from reporting.settings where connection_id = '*'), 'YYYY-MM-DD') as today,
          (select refreshed_at from reporting.refreshes) as refreshed_at,
          coalesce((select array_agg(distinct connection_id) from own), '{}') as connections,
          coalesce((select array_agg(distinct time_zone) from own), '{}') as time_zones,
          (select case when bool_and(as_of is not null) then min(as_of) end from own) as as_of`;
      if (basis === undefined) throw new Error('the reporting tables hold no settings');
      const { today, ...rest } = basis;
      const to = asked.to ?? later(asked.from ?? today, today);
      const from = asked.from ?? dayOf(msOf(to) - (DEFAULT_DAYS - 1) * DAY_MS);
      const range = { from, to, unit: unitOf(from, to) };
      const figures = await readFigures(tx, { ...range, connections: basis.connections }, asked.agents);
      return { ...range, ...rest, ...arrange(figures, bucketsOf(from, to, range.unit)) };
    },
    { isolationLevel: 'RepeatableRead', maxWait: 10_000, timeout: 60_000 },
  );
  return { ...report, past: await readPast(prisma, report) };
}

const later = (one: string, other: string): string => (one > other ? one : other);

interface Basis extends Pick<Report, 'as_of' | 'refreshed_at' | 'connections' | 'time_zones'> {
  readonly today: string;
}

/** One line for each day, week or month, and one for all of them (`at` null). */
type OverTime<T> = readonly (T & { readonly at: string | null })[];

interface Figures {
  readonly requests: OverTime<{ opened: number; closed: number; abandoned: number }>;
  readonly channels: readonly Omit<Share, 'isRest'>[];
  readonly departments: readonly Omit<Share, 'isRest'>[];
  readonly clock: readonly { readonly weekday: number; readonly hour: number; readonly opened: number }[];
  readonly times: OverTime<{
    answered: number;
    first: readonly number[] | null;
    business: readonly number[] | null;
    resolved: number;
    resolution: readonly number[] | null;
  }>;
  readonly ratings: OverTime<{ rated: number; satisfied: number; total: number }>;
  readonly backlog: readonly (Omit<Report['backlog'], 'oldest_opened_at'> & { oldest_opened_at: string | null })[];
  readonly funnel: readonly Report['funnel'][];
  readonly links: OverTime<Omit<Report['links'], 'by_time'>>;
  readonly agents: Report['agents'];
}

/** Every part is a list of lines, as JSON. */
async function readFigures(
  tx: Prisma.TransactionClient,
  { from, to, unit, connections }: Pick<Report, 'from' | 'to' | 'unit' | 'connections'>,
  isNaming = false,
): Promise<Figures> {
  const own = Prisma.sql`where connection_id = any(${[...connections]})`;
  const during = (day: string) => Prisma.sql`${own} and ${Prisma.raw(day)} between ${from}::date and ${to}::date`;
  const at = (day: string) => Prisma.sql`to_char(date_trunc(${unit}, ${Prisma.raw(day)}), 'YYYY-MM-DD') as at`;
  const [figures] = await tx.$queryRaw<Figures[]>`
    select ${asLines(Prisma.sql`
      select ${at('day')}, coalesce(sum(opened), 0) as opened, coalesce(sum(closed), 0) as closed, coalesce(sum(abandoned), 0) as abandoned
      from reporting.requests_daily ${during('day')} group by grouping sets ((), (1))`)} as requests,
    ${asLines(Prisma.sql`
      select channel as name, sum(opened) as opened
      from reporting.requests_daily ${during('day')} and opened > 0 group by 1 order by 2 desc, 1`)} as channels,
    ${asLines(Prisma.sql`
      select coalesce(department, 'without a name, …' || right(department_id, 6)) as name, sum(opened) as opened
      from reporting.requests_daily ${during('day')} and opened > 0 group by 1 order by 2 desc, 1`)} as departments,
    ${asLines(Prisma.sql`
      select extract(isodow from opened_on) as weekday, opened_hour as hour, count(*) as opened
      from reporting.requests ${during('opened_on')} group by 1, 2`)} as clock,
    ${asLines(Prisma.sql`
      select ${at('opened_on')}, count(first_response_seconds) as answered,
        percentile_cont(array[0.5, 0.9]) within group (order by first_response_seconds::float8) as first,
        percentile_cont(array[0.5, 0.9]) within group (order by first_response_business_seconds::float8) as business,
        count(resolution_seconds) as resolved,
        percentile_cont(array[0.5, 0.9]) within group (order by resolution_seconds::float8) as resolution
      from reporting.requests ${during('opened_on')} group by grouping sets ((), (1))`)} as times,
    ${asLines(Prisma.sql`
      select ${at('day')}, coalesce(sum(rated), 0) as rated, coalesce(sum(satisfied), 0) as satisfied, coalesce(sum(rating_sum), 0) as total
      from reporting.csat ${during('day')} group by grouping sets ((), (1))`)} as ratings,
    ${asLines(Prisma.sql`
      select coalesce(sum(open), 0) as open, coalesce(sum(unanswered), 0) as unanswered, min(oldest_opened_at) as oldest_opened_at,
        coalesce(sum(under_1_hour), 0) as under_1_hour, coalesce(sum(under_1_day), 0) as under_1_day,
        coalesce(sum(under_7_days), 0) as under_7_days, coalesce(sum(older), 0) as older
      from reporting.open_backlog ${own}`)} as backlog,
    ${asLines(Prisma.sql`
      select coalesce(sum(leads), 0) as leads, coalesce(sum(with_request), 0) as with_request, coalesce(sum(answered), 0) as answered,
        coalesce(sum(closed), 0) as closed, coalesce(sum(rated), 0) as rated
      from reporting.lead_funnel ${during('day')}`)} as funnel,
    ${asLines(Prisma.sql`
      select ${at('sent_on')}, count(*) as sent, count(*) filter (where is_opened) as opened, count(*) filter (where is_downloaded) as downloaded,
        count(*) filter (where is_signed) as signed, count(*) filter (where verdict = 'won') as won, count(*) filter (where verdict = 'lost') as lost,
        coalesce(sum(visits), 0) as visits, coalesce(sum(time_read_seconds), 0) as time_read_seconds,
        avg(percent_read) filter (where is_opened) as percent_read
      from reporting.link_engagement ${during('sent_on')} group by grouping sets ((), (1))`)} as links,
    case when ${isNaming} then ${asLines(Prisma.sql`
      select coalesce(agent, 'without a name, …' || right(agent_id, 6)) as agent, sum(requests) as requests, sum(answered) as answered, sum(closed) as closed,
        sum(rated) as rated, sum(rating_sum) / nullif(sum(rated), 0) as average_rating
      from reporting.agent_activity ${during('day')} group by 1 order by 2 desc, 1 limit 200`)} end as agents`;
  if (figures === undefined) throw new Error('a selection without a line');
  return figures;
}

function arrange(figures: Figures, buckets: readonly string[]) {
  const { channels, departments, clock } = figures;
  const [backlog] = figures.backlog;
  const [funnel] = figures.funnel;
  if (backlog === undefined || funnel === undefined) throw new Error('a sum without a line');
  const oldest = backlog.oldest_opened_at;
  const requests = overTime(figures.requests, { opened: 0, closed: 0, abandoned: 0 });
  const times = overTime(figures.times, { answered: 0, first: null, business: null, resolved: 0, resolution: null });
  const ratings = overTime(figures.ratings, { rated: 0, satisfied: 0, total: 0 });
  const noLinks = { sent: 0, opened: 0, downloaded: 0, signed: 0, won: 0, lost: 0, visits: 0, time_read_seconds: 0 };
  const links = overTime(figures.links, { ...noLinks, percent_read: null });
  const countIf = (is: (slot: Figures['clock'][number]) => boolean) => sum(clock.filter(is));
  const timesOf = (at: string | null): ResponseTimes => {
    const { answered, first, business, resolved, resolution } = times(at);
    return {
      answered,
      first_response_median_seconds: first?.[0] ?? null,
      first_response_p90_seconds: first?.[1] ?? null,
      first_response_business_median_seconds: business?.[0] ?? null,
      first_response_business_p90_seconds: business?.[1] ?? null,
      resolved,
      resolution_median_seconds: resolution?.[0] ?? null,
      resolution_p90_seconds: resolution?.[1] ?? null,
    };
  };
  const satisfactionOf = (at: string | null): Satisfaction => {
    const { rated, satisfied, total } = ratings(at);
    return { rated, satisfied, average_rating: rated === 0 ? null : total / rated };
  };
  return {
    requests: {
      ...requests(null),
      by_time: buckets.map((at) => ({ at, opened: requests(at).opened, closed: requests(at).closed })),
      by_channel: largest(channels),
      by_department: largest(departments),
      by_hour: Array.from({ length: 24 }, (_, hour) => countIf((slot) => slot.hour === hour)),
      by_weekday: Array.from({ length: 7 }, (_, day) => countIf((slot) => slot.weekday === day + 1)),
    },
    response_times: { ...timesOf(null), by_time: buckets.map((at) => ({ at, ...timesOf(at) })) },
    satisfaction: { ...satisfactionOf(null), by_time: buckets.map((at) => ({ at, ...satisfactionOf(at) })) },
    backlog: { ...backlog, oldest_opened_at: oldest === null ? null : new Date(oldest) },
    funnel,
    agents: figures.agents,
    links: { ...links(null), by_time: buckets.map((at) => ({ at, sent: links(at).sent, opened: links(at).opened })) },
  };
}

/** The line of a day, week or month, or that of all of them (null). */
function overTime<T>(rows: OverTime<T>, none: T): (at: string | null) => T {
  const found = new Map<string | null, unknown>(rows.map(({ at, ...values }) => [at, values]));
  return (at) => (found.get(at) ?? none) as T;
}

/** The greatest by name; what is left over as one. */
function largest(shares: readonly { readonly name: string | null; readonly opened: number }[]): Share[] {
  const shown = shares.slice(0, shares.length > SHARES ? SHARES - 1 : SHARES);
  const rest = sum(shares.slice(shown.length));
  return [
    ...shown.map(({ name, opened }) => ({ name, opened })),
    ...(rest > 0 ? [{ name: null, opened: rest, isRest: true }] : []),
  ];
}

const sum = (rows: readonly { readonly opened: number }[]): number =>
  rows.reduce((total, { opened }) => total + opened, 0);

/** The accounts that the precomputed tables know and that are configured, by id. */
export async function readReportedConnections(prisma: PrismaClient): Promise<string[]> {
  const sources = { schema: 'reporting', name: 'sources' };
  const selection = {
    select: { id: 'connection_id' },
    where: { is_enabled: true },
    orderBy: ['connection_id'],
  } as const;
  return [...new Set((await selectRows<{ id: string }>(prisma, sources, selection)).map(({ id }) => id))];
}
