import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { CountedList, TableSpec } from '../../stream.ts';
import { selectCount } from './select-rows.ts';
import { quoteName, tableName } from './table-sql.ts';
import { GONE } from './tombstones.ts';

export interface CountQuery {
  readonly connectionId: string;
  readonly table: TableSpec;
  readonly rows?: CountedList['rows'];
}

/** `rows`: up to `at`; null: the sum of all rows, or of those without a date. */
type CountedRow = { readonly at: number | null; readonly rows: number };
type BorderOptions = { readonly untilMs: number; readonly step: number };

/** Without emptied rows that are gone upstream. */
export async function countAlive(prisma: PrismaClient, query: CountQuery): Promise<number> {
  return (await readCounted(prisma, query, null)).reduce((sum, { rows }) => sum + rows, 0);
}

/** Emptied rows among these: no pass shows whether such a row still is what the upstream counts. */
export const countErased = (prisma: PrismaClient, { connectionId, table, rows }: CountQuery): Promise<number> =>
  selectCount(prisma, table, {
    connection_id: connectionId,
    erased_at: { not: null },
    deleted_at: null,
    content_hash: { not: GONE },
    ...(rows !== undefined && { [rows.column]: { in: [String(rows.value)] } }),
  });

const IS_COUNTED = `deleted_at is null and (erased_at is null or content_hash is distinct from '${GONE}')`;

const isOf = (rows: CountQuery['rows'], parameter: string): string =>
  rows === undefined ? `${parameter}::text is null` : `${quoteName(rows.column)}::text = ${parameter}`;

/**
 * The alive rows by creation time, none later than `untilMs`: `borders` are whole seconds at which no row was created,
 * about `step` rows apart; the last one is `untilMs`. `dateless`: rows without a date.
 */
export async function readBorders(prisma: PrismaClient, query: CountQuery, by: BorderOptions) {
  const counted = await readCounted(prisma, query, by);
  const all = counted.flatMap(({ at, rows }) => (at === null ? [] : [{ at, rows }]));
  const last = { at: by.untilMs, rows: all.at(-1)?.rows ?? 0 };
  const dateless = counted.find(({ at }) => at === null)?.rows ?? 0;
  return { borders: [...all.filter(({ at }) => at < by.untilMs), last], dateless };
}

async function readCounted(prisma: PrismaClient, { connectionId, table, rows }: CountQuery, by: BorderOptions | null) {
  const second = by === null ? 'null::timestamptz' : `date_trunc('second', created_at) + interval '1 second'`;
  // A row at a whole second belongs to the next one. Where there is such a row, that second is no border.
  return prisma.$queryRawUnsafe<CountedRow[]>(
    `with seconds as (
      select ${second} as second, count(*) as alive, bool_or(created_at = date_trunc('second', created_at)) as begins
      from ${tableName(table)}
      where connection_id = $1 and ${IS_COUNTED} and (created_at <= $2::timestamptz) is not false
        and (${isOf(rows, '$3')})
      group by 1
    ), summed as (
      select second, case when second is null then alive else sum(alive) over (order by second) end as rows,
        lead(second) over (order by second) as next, lead(begins) over (order by second) as next_begins
      from seconds
    ), free as (
      select second, rows, next is null as is_last, lag(rows, 1, 0) over (order by second) as before from summed
      where second is null or next is null or not (next = second + interval '1 second' and next_begins)
    )
    select (extract(epoch from second) * 1000)::float8 as at, rows::float8 from free
    where second is null or is_last or div(rows, $4::int) > div(before, $4::int)
    order by second`,
    connectionId,
    by === null ? null : new Date(by.untilMs),
    rows === undefined ? null : String(rows.value),
    by?.step ?? 1,
  );
}
