import { Prisma, type PrismaClient } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { columnsOf, readStream, type StreamKey } from './streams.ts';

/**
 * What the deletion guard blocks, and a person's acceptance of it: given once, for the next full sync, and only while
 * there is something to accept.
 */
type BlockedDeletions = { readonly code: string; readonly message: string; readonly since: Date };

/** Long enough for the nightly full sync, short enough to be remembered. */
const VALID_MS = 24 * 3_600_000;

const BLOCKED_CODES = ['deletion_brake', 'suddenly_empty'];

/**
 * What the guard blocks now for the stream of a line `l`: `code`, `message` and `since`. A later run of the same pass,
 * or a full sync, that ended complete has settled it.
 */
export const blockedDeletionsSql = Prisma.sql`
  select r.error_code as code, coalesce(r.error_message, r.error_code) as message, r.ended_at as since
  from sync.runs r
  where r.connection_id = l.connection_id and r.stream = l.stream and r.ended_at is not null
    and r.outcome in ('partial', 'failed') and r.error_code = any(${BLOCKED_CODES}::text[])
    and not exists (select 1 from sync.runs g
      where g.connection_id = r.connection_id and g.stream = r.stream and g.pass = r.pass and g.id > r.id
        and (g.outcome = 'succeeded' or g.outcome = 'partial' and g.error_code = 'quarantined'))
    and not exists (select 1 from sync.checkpoints c
      where c.connection_id = r.connection_id and c.stream = r.stream and c.pass = 'reconcile'
        and c.completed_at > r.ended_at)
  order by r.id desc limit 1`;

export async function readBlockedDeletions(prisma: PrismaClient, key: StreamKey) {
  const [blocked] = await prisma.$queryRaw<BlockedDeletions[]>`
    select h.* from (select ${key.connectionId} as connection_id, ${key.stream} as stream) l,
      lateral (${blockedDeletionsSql}) h`;
  return blocked ?? null;
}

/** Stores that a person accepts what the guard blocks. Changes nothing, and returns null, when it blocks nothing. */
export async function acceptDeletions(prisma: PrismaClient, key: StreamKey) {
  const blocked = await readBlockedDeletions(prisma, key);
  if (blocked === null) return null;
  const now = await databaseNow(prisma);
  const row = { ...columnsOf(key), deletions_accepted_at: now, updated_at: now };
  await prisma.syncStream.upsert({ where: { connection_id_stream: columnsOf(key) }, create: row, update: row });
  return { ...blocked, validUntil: addMs(now, VALID_MS) };
}

/**
 * Returns the code of what was blocked when a person accepted it within the last day, as far as its run is still known;
 * null: nothing was accepted. Who accepted that a few rows vanished has not agreed to lose all (`suddenly_empty`).
 */
export async function readAcceptance(prisma: PrismaClient, key: StreamKey): Promise<string | null> {
  const acceptedAt = (await readStream(prisma, key))?.deletions_accepted_at ?? null;
  if (acceptedAt === null || !(await isValid(prisma, acceptedAt))) return null;
  const blocked = await prisma.syncRun.findFirst({
    where: {
      ...columnsOf(key),
      ended_at: { lte: acceptedAt },
      outcome: { in: ['partial', 'failed'] },
      error_code: { in: BLOCKED_CODES },
    },
    orderBy: { id: 'desc' },
  });
  return blocked?.error_code ?? 'deletion_brake';
}

const isValid = async (prisma: PrismaClient, acceptedAt: Date): Promise<boolean> =>
  addMs(acceptedAt, VALID_MS) > (await databaseNow(prisma));

/** Uses the acceptance up. True for one caller only, and only within a day of its being given. */
export async function takeAcceptance(prisma: PrismaClient, key: StreamKey): Promise<boolean> {
  const acceptedAt = (await readStream(prisma, key))?.deletions_accepted_at ?? null;
  if (acceptedAt === null) return false;
  const { count } = await prisma.syncStream.updateMany({
    where: { ...columnsOf(key), deletions_accepted_at: acceptedAt },
    data: { deletions_accepted_at: null },
  });
  return count === 1 && isValid(prisma, acceptedAt);
}
