import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { bindBytes } from '../driver-adapter.ts';
import type { CheckpointKey } from '../engine/leases.ts';
import { tableName } from './table-sql.ts';

/*
 * The ids that a full sync of an unsorted list has seen: written in its pages' transactions, as far as the checkpoint.
 *
 * The table fills and empties faster than statistics follow. `lateral … limit 1` keeps the planner to one look-up by
 * key per row; left to itself it takes the table for tiny, and a walk of 60,000 rows becomes quadratic.
 */

const columnsOf = ({ connectionId, stream, pass }: CheckpointKey) => ({ connection_id: connectionId, stream, pass });

export async function keepSeenIds(prisma: PrismaClient, key: CheckpointKey, list: string, ids: readonly string[]) {
  const data = ids.map((id) => ({ ...columnsOf(key), list, id }));
  await prisma.syncSeenId.createMany({ data, skipDuplicates: true });
}

/** The statement that keeps ids with a page. `from`: the condition under which it happens. */
export function seenIdsSql(
  { connectionId, stream, pass }: CheckpointKey,
  list: string,
  { ids, from }: { readonly ids: readonly string[]; readonly from: Prisma.Sql },
): Prisma.Sql {
  return Prisma.sql`
    insert into sync.seen_ids (connection_id, stream, pass, list, id)
    select ${connectionId}, ${stream}, ${pass}, ${list}, unnest(${ids}::text[])
    ${from}
    on conflict do nothing`;
}

export async function readSeenIds(
  prisma: PrismaClient,
  { connectionId, stream, pass }: CheckpointKey,
  list: string,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const rows = await prisma.$queryRaw<{ id: string }[]>`
    select asked.id from unnest(${ids}::text[]) as asked(id)
    cross join lateral (
      select 1 from sync.seen_ids s
      where s.connection_id = ${connectionId} and s.stream = ${stream} and s.pass = ${pass} and s.id = asked.id
        and s.list = ${list}
      limit 1
    ) seen`;
  return new Set(rows.map(({ id }) => id));
}

export const countSeenIds = (prisma: PrismaClient, key: CheckpointKey, list: string): Promise<number> =>
  prisma.syncSeenId.count({ where: { ...columnsOf(key), list } });

/** Ids that the walk was shown and that have no row: in quarantine, or left out on purpose. */
export async function readSeenWithoutRow(prisma: PrismaClient, key: CheckpointKey, table: TableSpec) {
  const rows = await prisma.$queryRawUnsafe<{ id: string }[]>(
    `select distinct s.id from sync.seen_ids s
      where s.connection_id = $1 and s.stream = $2 and s.pass = $3
        and not exists (select from ${tableName(table)} t where t.connection_id = $1 and t.id = s.id)`,
    ...Object.values(columnsOf(key)),
  );
  return rows.map(({ id }) => id);
}

export async function deleteSeenIds(prisma: PrismaClient, key: CheckpointKey): Promise<void> {
  await prisma.syncSeenId.deleteMany({ where: columnsOf(key) });
}

/** Those of the rows (of a page, encoded) that the mirror holds, alive, in exactly this version. */
export async function readUnchangedIds(
  prisma: PrismaClient,
  connectionId: string,
  table: TableSpec,
  json: Buffer | null,
): Promise<ReadonlySet<string>> {
  if (json === null) return new Set();
  const statement = `
    select r.id from jsonb_to_recordset($1::jsonb) as r(id text, raw jsonb)
    cross join lateral (
      select * from ${tableName(table)} s where s.connection_id = $2 and s.id = r.id limit 1
    ) t
    where t.erased_at is not null or (t.deleted_at is null and t.content_hash = md5(r.raw::text))`;
  const rows = await bindBytes(json, (reference) =>
    prisma.$queryRawUnsafe<{ id: string }[]>(statement, reference, connectionId),
  );
  return new Set(rows.map(({ id }) => id));
}
