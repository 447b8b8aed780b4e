import type { PrismaClient } from '../../generated/prisma/client.ts';

/**
 * The main figures of schema `reporting` over some days. Sums and percentiles only: no name, address or text of anybody.
 *
 * Days are those of each account's own time zone (`reporting.settings`), both ends included. All figures come from one snapshot of the database, so they
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
  /** Of the requests opened in these days. `satisfied`: rated 4 or more. */
  readonly satisfaction: Satisfaction & { readonly by_time: readonly (Satisfaction & { readonly at: string })[] };
  /** As it is now. */
  readonly backlog: {
    readonly open: number;
    readonly unanswered: number;
    readonly oldest_opened_at: Date | null;
    readonly under_1_hour: number;
    readonly under_1_day: number;
    readonly under_7_days: number;
    readonly older: number;
  };
  /** Of the leads created in these days: each step is part of the one before. */
  readonly funnel: Readonly<Record<'leads' | 'with_request' | 'answered' | 'closed' | 'rated', number>>;
  /** Of the links sent in these days, whenever they were opened. */
  readonly links: {
    readonly sent: number;
    readonly opened: number;
    readonly downloaded: number;
    readonly signed: number;
    readonly won: number;
    readonly lost: number;
    readonly visits: number;
    readonly time_read_seconds: number;
    /** Mean of the opened ones that tell, 0 to 100; null: none does. */
    readonly percent_read: number | null;
    readonly by_time: readonly { readonly at: string; readonly sent: number; readonly opened: number }[];
  };
}

export type ReportUnit = 'day' | 'week' | 'month';

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
  /** Only this account. */
  readonly connection?: string | undefined;
}

const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 30;
const SHARES = 8;

/** Answers `YYYY-MM-DD` when the text is a day of the calendar, of these centuries, else null. */
export function parseDay(text: string): string | null {
  if (!/^(19[789]\d|2\d{3})-\d{2}-\d{2}$/.test(text)) return null;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) || dayOf(ms) !== text ? null : text;
}

export function unitOf(from: string, to: string): ReportUnit {
  const days = (msOf(to) - msOf(from)) / DAY_MS + 1;
  if (days <= 92) return 'day';
  return days <= 731 ? 'week' : 'month';
}

/** The beginnings of all days, weeks or months that touch the range, in order. */
export function bucketsOf(from: string, to: string, unit: ReportUnit): string[] {
  const buckets: string[] = [];
  for (let day = bucketOf(from, unit); day <= to; day = nextBucket(day, unit)) buckets.push(day);
  return buckets;
}

function bucketOf(day: string, unit: ReportUnit): string {
  if (unit === 'month') return `${day.slice(0, 8)}01`;
  if (unit === 'day') return day;
  const sinceMonday = (new Date(msOf(day)).getUTCDay() + 6) % 7;
  return dayOf(msOf(day) - sinceMonday * DAY_MS);
}

function nextBucket(day: string, unit: ReportUnit): string {
  if (unit !== 'month') return dayOf(msOf(day) + (unit === 'week' ? 7 : 1) * DAY_MS);
  const [year = 0, month = 0] = day.split('-').map(Number);
  return dayOf(Date.UTC(year, month, 1));
}

const msOf = (day: string): number => Date.parse(`${day}T00:00:00Z`);
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Reads the precomputed tables as they are; who wants them newer refreshes them first (`refreshReporting`). */
export async function readReport(prisma: PrismaClient, query: ReportQuery = {}): Promise<Report> {
  return prisma.$transaction(
    async (tx) => {
      const [basis] = await tx.$queryRaw<Basis[]>`
        with own as (
          select s.connection_id, coalesce(z.time_zone, d.time_zone) as time_zone, s.as_of
          from reporting.sources s
          cross join (select time_zone from reporting.settings where connection_id = '*') d
          left join reporting.settings z on z.connection_id = s.connection_id
          where s.is_enabled and (${query.connection ?? null}::text is null or s.connection_id = ${query.connection ?? null}::text))
        select to_char(now() at time zone (select time_zone from reporting.settings where connection_id = '*'), 'YYYY-MM-DD') as today,
          (select refreshed_at from reporting.refreshes) as refreshed_at,
          coalesce((select array_agg(distinct connection_id) from own), '{}') as connections,
          coalesce((select array_agg(distinct time_zone) from own), '{}') as time_zones,
          (select case when bool_and(as_of is not null) then min(as_of) end from own) as as_of`;
      if (basis === undefined) throw new Error('the reporting tables hold no settings');
      const to = query.to ?? later(query.from ?? basis.today, basis.today);
      const from = query.from ?? dayOf(msOf(to) - (DEFAULT_DAYS - 1) * DAY_MS);
      const range = { from, to, unit: unitOf(from, to), connections: basis.connections };
      return {
        ...{ from, to, unit: range.unit, connections: basis.connections, time_zones: basis.time_zones },
        ...{ as_of: basis.as_of, refreshed_at: basis.refreshed_at },
        requests: await readRequests(tx, range),
        response_times: await readResponseTimes(tx, range),
        satisfaction: await readSatisfaction(tx, range),
        backlog: await readBacklog(tx, range),
        funnel: await readFunnel(tx, range),
        links: await readLinks(tx, range),
      };
    },
    { isolationLevel: 'RepeatableRead', maxWait: 10_000, timeout: 60_000 },
  );
}

const later = (one: string, other: string): string => (one > other ? one : other);

interface Basis {
  readonly today: string;
  readonly refreshed_at: Date | null;
  readonly connections: string[];
  readonly time_zones: string[];
  readonly as_of: Date | null;
}

type Tx = Pick<PrismaClient, '$queryRaw'>;

interface Range {
  readonly from: string;
  readonly to: string;
  readonly unit: ReportUnit;
  readonly connections: string[];
}

async function readRequests(tx: Tx, { from, to, unit, connections }: Range): Promise<Report['requests']> {
  const days = await tx.$queryRaw<{ at: string; opened: number; closed: number; abandoned: number }[]>`
    select to_char(date_trunc(${unit}, day), 'YYYY-MM-DD') as at, sum(opened)::float8 as opened, sum(closed)::float8 as closed,
      sum(abandoned)::float8 as abandoned
    from reporting.requests_daily where connection_id = any(${connections}) and day between ${from}::date and ${to}::date group by 1`;
  const shares = await tx.$queryRaw<{ kind: string; name: string | null; opened: number }[]>`
    select 'channel' as kind, channel as name, sum(opened)::float8 as opened
    from reporting.requests_daily where connection_id = any(${connections}) and day between ${from}::date and ${to}::date and opened > 0 group by 2
    union all
    select 'department', coalesce(department, department_id), sum(opened)::float8
    from reporting.requests_daily where connection_id = any(${connections}) and day between ${from}::date and ${to}::date and opened > 0 group by 2
    order by 3 desc, 2`;
  const clock = await tx.$queryRaw<{ weekday: number; hour: number; opened: number }[]>`
    select extract(isodow from opened_on)::int as weekday, opened_hour::int as hour, count(*)::float8 as opened
    from reporting.requests where connection_id = any(${connections}) and opened_on between ${from}::date and ${to}::date group by 1, 2`;
  const found = new Map(days.map((day) => [day.at, day]));
  const sharesOf = (kind: string) => largest(shares.filter((share) => share.kind === kind));
  const countIf = (is: (slot: { weekday: number; hour: number }) => boolean) => sum(clock.filter(is), 'opened');
  return {
    opened: sum(days, 'opened'),
    closed: sum(days, 'closed'),
    abandoned: sum(days, 'abandoned'),
    by_time: bucketsOf(from, to, unit).map((at) => ({
      at,
      opened: found.get(at)?.opened ?? 0,
      closed: found.get(at)?.closed ?? 0,
    })),
    by_channel: sharesOf('channel'),
    by_department: sharesOf('department'),
    by_hour: Array.from({ length: 24 }, (_, hour) => countIf((slot) => slot.hour === hour)),
    by_weekday: Array.from({ length: 7 }, (_, day) => countIf((slot) => slot.weekday === day + 1)),
  };
}

/** The greatest by name; what is left over as one. */
function largest(shares: readonly { readonly name: string | null; readonly opened: number }[]): Share[] {
  const shown = shares.slice(0, shares.length > SHARES ? SHARES - 1 : SHARES);
  const rest = sum(shares.slice(shown.length), 'opened');
  return [
    ...shown.map(({ name, opened }) => ({ name, opened })),
    ...(rest > 0 ? [{ name: null, opened: rest, isRest: true }] : []),
  ];
}

async function readResponseTimes(tx: Tx, range: Range): Promise<Report['response_times']> {
  const { from, to, unit, connections } = range;
  const rows = await tx.$queryRaw<
    { at: string | null; answered: number; first: number[] | null; resolved: number; resolution: number[] | null }[]
  >`
    select to_char(date_trunc(${unit}, opened_on), 'YYYY-MM-DD') as at, count(first_response_seconds)::float8 as answered,
      percentile_cont(array[0.5, 0.9]) within group (order by first_response_seconds::float8) as first,
      count(resolution_seconds)::float8 as resolved,
      percentile_cont(array[0.5, 0.9]) within group (order by resolution_seconds::float8) as resolution
    from reporting.requests where connection_id = any(${connections}) and opened_on between ${from}::date and ${to}::date
    group by grouping sets ((), (1))`;
  const found = new Map(rows.map((row) => [row.at, row]));
  const timesOf = (at: string | null): ResponseTimes => {
    const row = found.get(at);
    return {
      answered: row?.answered ?? 0,
      first_response_median_seconds: row?.first?.[0] ?? null,
      first_response_p90_seconds: row?.first?.[1] ?? null,
      resolved: row?.resolved ?? 0,
      resolution_median_seconds: row?.resolution?.[0] ?? null,
      resolution_p90_seconds: row?.resolution?.[1] ?? null,
    };
  };
  return { ...timesOf(null), by_time: bucketsOf(from, to, unit).map((at) => ({ at, ...timesOf(at) })) };
}

async function readSatisfaction(tx: Tx, { from, to, unit, connections }: Range): Promise<Report['satisfaction']> {
  const rows = await tx.$queryRaw<{ at: string; rated: number; satisfied: number; total: number }[]>`
    select to_char(date_trunc(${unit}, day), 'YYYY-MM-DD') as at, sum(rated)::float8 as rated, sum(satisfied)::float8 as satisfied,
      sum(rating_sum)::float8 as total
    from reporting.csat where connection_id = any(${connections}) and day between ${from}::date and ${to}::date group by 1`;
  const found = new Map(rows.map((row) => [row.at, row]));
  const read = ({ rated, satisfied, total }: { rated: number; satisfied: number; total: number }): Satisfaction => ({
    rated,
    satisfied,
    average_rating: rated === 0 ? null : total / rated,
  });
  return {
    ...read({ rated: sum(rows, 'rated'), satisfied: sum(rows, 'satisfied'), total: sum(rows, 'total') }),
    by_time: bucketsOf(from, to, unit).map((at) => ({
      at,
      ...read(found.get(at) ?? { rated: 0, satisfied: 0, total: 0 }),
    })),
  };
}

async function readBacklog(tx: Tx, { connections }: Range): Promise<Report['backlog']> {
  const [row] = await tx.$queryRaw<Report['backlog'][]>`
    select coalesce(sum(open), 0)::float8 as open, coalesce(sum(unanswered), 0)::float8 as unanswered, min(oldest_opened_at) as oldest_opened_at,
      coalesce(sum(under_1_hour), 0)::float8 as under_1_hour, coalesce(sum(under_1_day), 0)::float8 as under_1_day,
      coalesce(sum(under_7_days), 0)::float8 as under_7_days, coalesce(sum(older), 0)::float8 as older
    from reporting.open_backlog where connection_id = any(${connections})`;
  if (row === undefined) throw new Error('a sum without a line');
  return row;
}

async function readFunnel(tx: Tx, { from, to, connections }: Range): Promise<Report['funnel']> {
  const [row] = await tx.$queryRaw<Report['funnel'][]>`
    select coalesce(sum(leads), 0)::float8 as leads, coalesce(sum(with_request), 0)::float8 as with_request, coalesce(sum(answered), 0)::float8 as answered,
      coalesce(sum(closed), 0)::float8 as closed, coalesce(sum(rated), 0)::float8 as rated
    from reporting.lead_funnel where connection_id = any(${connections}) and day between ${from}::date and ${to}::date`;
  if (row === undefined) throw new Error('a sum without a line');
  return row;
}

async function readLinks(tx: Tx, { from, to, unit, connections }: Range): Promise<Report['links']> {
  const rows = await tx.$queryRaw<
    {
      at: string;
      sent: number;
      opened: number;
      downloaded: number;
      signed: number;
      won: number;
      lost: number;
      visits: number;
      seconds: number;
      percent: number;
      telling: number;
    }[]
  >`
    select to_char(date_trunc(${unit}, sent_on), 'YYYY-MM-DD') as at, count(*)::float8 as sent, count(*) filter (where is_opened)::float8 as opened,
      count(*) filter (where is_downloaded)::float8 as downloaded, count(*) filter (where is_signed)::float8 as signed,
      count(*) filter (where verdict = 'won')::float8 as won, count(*) filter (where verdict = 'lost')::float8 as lost,
      coalesce(sum(visits), 0)::float8 as visits, coalesce(sum(time_read_seconds), 0)::float8 as seconds,
      coalesce(sum(percent_read) filter (where is_opened), 0)::float8 as percent, count(percent_read) filter (where is_opened)::float8 as telling
    from reporting.link_engagement where connection_id = any(${connections}) and sent_on between ${from}::date and ${to}::date group by 1`;
  const found = new Map(rows.map((row) => [row.at, row]));
  const total = (name: keyof Omit<(typeof rows)[number], 'at'>) => sum(rows, name);
  return {
    sent: total('sent'),
    opened: total('opened'),
    downloaded: total('downloaded'),
    signed: total('signed'),
    won: total('won'),
    lost: total('lost'),
    visits: total('visits'),
    time_read_seconds: total('seconds'),
    percent_read: total('telling') === 0 ? null : total('percent') / total('telling'),
    by_time: bucketsOf(from, to, unit).map((at) => ({
      at,
      sent: found.get(at)?.sent ?? 0,
      opened: found.get(at)?.opened ?? 0,
    })),
  };
}

function sum<K extends string>(rows: readonly { readonly [key in K]: number }[], name: K): number {
  return rows.reduce((total, row) => total + row[name], 0);
}

/** The accounts that the precomputed tables know and that are configured, by id. */
export async function readReportedConnections(prisma: PrismaClient): Promise<string[]> {
  const rows = await prisma.$queryRaw<{ connection_id: string }[]>`
    select distinct connection_id from reporting.sources where is_enabled order by 1`;
  return rows.map((row) => row.connection_id);
}
