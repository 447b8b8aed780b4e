import { setTimeout as delay } from 'node:timers/promises';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { FollowedRow, FollowedStream, FollowQuery, TableSpec } from '../../stream.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { isBackfillComplete } from '../engine/leases.ts';
import type { StreamKey } from '../engine/streams.ts';
import { readAsOf } from '../reports/status.ts';
import { selectRows } from './select-rows.ts';
import { quoteName, tableName } from './table-sql.ts';

/**
 * Ids of a stream's alive rows, newest first; null until its first full read is through. Streams are named like tables.
 */
export async function readMirroredIds(prisma: PrismaClient, { connectionId, stream }: StreamKey, limit?: number) {
  if (!(await isBackfillComplete(prisma, { connectionId, stream }))) return null;
  const where = { connection_id: connectionId, deleted_at: null, erased_at: null };
  const selection = { select: { id: 'id' }, where, orderBy: 'newest first', limit } as const;
  const rows = await selectRows<{ id: string }>(prisma, tableOf(stream), selection);
  return rows.map(({ id }) => id);
}

/** A stream that another one is read by. Null until its first full read, and while it is staler than it should be. */
export async function followMirrored(prisma: PrismaClient, key: StreamKey): Promise<FollowedStream | null> {
  if (!(await isBackfillComplete(prisma, key)) || (await isStale(prisma, key))) return null;
  return { settledAt: () => readSettledTime(prisma), read: (query) => readFollowed(prisma, key, query) };
}

/** What follows a stream is never fresher than it. One without a schedule is as fresh as a person wants it. */
async function isStale(prisma: PrismaClient, key: StreamKey): Promise<boolean> {
  const where = { connection_id: key.connectionId, stream: key.stream };
  const scheduled = await prisma.syncStream.findFirst({ where: { ...where, fresh_within_seconds: { gt: 0 } } });
  const asOf = scheduled === null ? null : await readAsOf(prisma, key);
  if (scheduled === null || asOf === null) return false;
  return asOf < addMs(await databaseNow(prisma), -scheduled.fresh_within_seconds * 1000);
}

/** No transaction of the mirror takes longer (see `transactionOptions`). */
const LONGEST_TRANSACTION = '60 seconds';

/**
 * Rows carry the time at which their transaction began, and are seen when it is committed. So: up to just before the
 * oldest transaction that is under way; one that has written nothing within seconds only reads. The clock is read
 * first, and the pause lets a transaction that has just begun show up.
 */
async function readSettledTime(prisma: PrismaClient): Promise<number> {
  const now = await databaseNow(prisma);
  await delay(20);
  const [found] = await prisma.$queryRaw<{ settled: number }[]>`
    select floor(extract(epoch from greatest(least(${now}::timestamptz, min(a.xact_start)),
      ${now}::timestamptz - ${LONGEST_TRANSACTION}::interval)) * 1000)::float8 - 1 as settled
    from pg_stat_activity a
    where a.datname = current_database() and a.pid <> pg_backend_pid()
      and (a.backend_xid is not null or a.xact_start > clock_timestamp() - interval '5 seconds')`;
  return found?.settled ?? now.getTime() - 1;
}

async function readFollowed(
  prisma: PrismaClient,
  { connectionId, stream }: StreamKey,
  { behind, untilMs, columns, limit, onlyDeleted }: FollowQuery,
): Promise<readonly FollowedRow[]> {
  const values = columns.map((column) => `'${column}', ${quoteName(column)}`).join(', ');
  const sql = `select synced_at as at, id, deleted_at is not null as "isDeleted",
        jsonb_build_object(${values}) as values
      from ${tableName(tableOf(stream))}
      where connection_id = $1 and (synced_at, id) > ($2::timestamptz, $3) and synced_at <= $4::timestamptz
        and erased_at is null ${onlyDeleted ? 'and deleted_at is not null' : ''}
      order by synced_at, id limit $5::int`;
  const parameters = [connectionId, new Date(behind?.at ?? 0), behind?.id ?? '', new Date(untilMs), limit];
  type Found = Omit<FollowedRow, 'position'> & { readonly at: Date; readonly id: string };
  const [, rows] = await prisma.$transaction([
    // The index has this order; without statistics the planner would read and sort all rows every time.
    prisma.$executeRaw`set local enable_sort = off`,
    prisma.$queryRawUnsafe<Found[]>(sql, ...parameters),
  ]);
  return rows.map(({ at, id, isDeleted, values }) => ({ position: { at: at.getTime(), id }, isDeleted, values }));
}

function tableOf(stream: string) {
  const [schema = '', name = ''] = stream.split('.');
  return { schema, name };
}

/** Ids of a table's rows that are alive and whose column holds one of these values. */
export async function readIdsWhere(
  prisma: PrismaClient,
  { connectionId, table }: { readonly connectionId: string; readonly table: TableSpec },
  { column, values }: { readonly column: string; readonly values: readonly string[] },
): Promise<readonly string[]> {
  if (values.length === 0) return [];
  const rows = await selectRows<{ id: string }>(prisma, table, {
    select: { id: 'id' },
    where: { connection_id: connectionId, [column]: { in: values }, deleted_at: null },
    orderBy: ['id'],
  });
  return rows.map(({ id }) => id);
}
