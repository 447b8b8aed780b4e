import { randomUUID } from 'node:crypto';
import type { Prisma, PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { tableName } from '../mirror/table-sql.ts';
import { hasColumn, type Relation, readRelations } from '../relations.ts';
import { removeKeptConnection } from './connections.ts';
import { cancelRuns, pauseStream } from './control.ts';

/*
 * Erases everything of one account. The mark `erasing_at` is the first thing written and its row the last one deleted,
 * so that an erasure that was killed goes on where it stopped, by the same command:
 *
 *   begin    the mark; no process mirrors the account any more. Its streams are paused and its runs ended.
 *   rows     every table with a column connection_id, a few thousand rows at a time, until none has any.
 *   end      what the account shared a sign-in with decides about the sign-in; then streams, secret and mark.
 *
 * `sync.suppressions` stays: keyed hashes that keep erased persons from coming back, should the account be added again.
 */

const KEPT = ['sync.suppressions', 'sync.streams'];
const ROWS = 10_000;

export type ErasedRows = Record<string, number>;

/** False when nothing is known of such an account. */
export async function beginErasure(prisma: PrismaClient, id: string): Promise<boolean> {
  const streams = await prisma.syncStream.findMany({ where: { connection_id: id } });
  const row = await prisma.syncConnection.findUnique({ where: { id } });
  if (row === null && streams.length === 0) return false;
  if (row === null || row.erasing_at === null) {
    const mark = { entry: {}, version: randomUUID(), erasing_at: await databaseNow(prisma) };
    await prisma.syncConnection.upsert({ where: { id }, create: { id, ...mark }, update: mark });
  }
  for (const { stream } of streams) {
    await pauseStream(prisma, { connectionId: id, stream });
    await cancelRuns(prisma, { connectionId: id, stream }, null);
  }
  return true;
}

/** Deletes its rows from every table. The feed keeps that they were removed, and nothing else. */
export async function eraseRows(prisma: PrismaClient, id: string, signal: AbortSignal): Promise<ErasedRows> {
  const erased: ErasedRows = {};
  for (let isClean = false; !isClean; ) {
    isClean = true;
    for (const relation of await tablesWithConnections(prisma, id)) {
      const { schema, name } = relation;
      const table = tableName(relation);
      const isFeed = schema === 'sync' && name.startsWith('changes_');
      const statement = `with cause as materialized (select set_config('leadmirror.cause', 'erasure', true))
        delete from ${table} where ctid = any(array(select ctid from ${table}, cause
          where connection_id = $1${isFeed ? " and op <> 'e'" : ''} limit ${ROWS}))`;
      for (let count = ROWS; count === ROWS; ) {
        signal.throwIfAborted();
        count = await prisma.$executeRawUnsafe(statement, id);
        if (count > 0) {
          isClean = false;
          erased[`${schema}.${name}`] = (erased[`${schema}.${name}`] ?? 0) + count;
        }
      }
    }
  }
  return erased;
}

/** Leaves of partitioned tables, not their roots: a row is deleted by its position. */
async function tablesWithConnections(prisma: PrismaClient, id: string): Promise<Relation[]> {
  const streams = await prisma.syncStream.findMany({ where: { connection_id: id }, select: { stream: true } });
  const own = streams.map(({ stream }) => stream.split('.', 1)[0] ?? '');
  const relations = await readRelations(prisma, [...new Set(['reporting', 'tiledesk', 'tilkee', ...own, 'sync'])]);
  return relations.filter(
    (one) => one.kind === 'table' && hasColumn(one, 'connection_id') && !KEPT.includes(`${one.schema}.${one.name}`),
  );
}

/** Deletes what is left: sign-ins that no other account shares, streams, secret and mark. */
export async function endErasure(prisma: PrismaClient, id: string): Promise<void> {
  await prisma.$transaction(async (tx) => {
    const others = new Set((await credentialsOf(tx, { connection_id: { not: id } })).map(accountOf));
    const own = (await credentialsOf(tx, { connection_id: id })).filter((name) => !others.has(accountOf(name)));
    for (const name of own) {
      await tx.syncBudget.deleteMany({ where: { credential: name } });
      // The server that signs in may be another than the one that is read.
      const [source, digest] = accountOf(name).split(' ');
      const isAccount = digest !== undefined;
      const where = isAccount ? { startsWith: `${source}:`, endsWith: `:${digest}` } : { equals: name };
      await tx.syncSecret.deleteMany({ where: { name: where } });
    }
    await tx.syncStream.deleteMany({ where: { connection_id: id } });
  });
  await removeKeptConnection(prisma, id);
}

/** `tiledesk:<host>:<digest>` without the host; other names as they are. */
const accountOf = (credential: string): string => credential.replace(/^(\w+):.*:([0-9a-f]{16})$/, '$1 $2');

async function credentialsOf(tx: Prisma.TransactionClient, where: Prisma.SyncStreamWhereInput): Promise<string[]> {
  const rows = await tx.syncStream.findMany({ where, select: { credential: true }, distinct: ['credential'] });
  return rows.flatMap(({ credential }) => credential ?? []);
}
