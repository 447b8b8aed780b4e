import type { PrismaClient } from '../generated/prisma/client.ts';
import type { StreamKey } from './streams.ts';
import { tableName } from './upsert-sql.ts';
import { isBackfillComplete } from './watermarks.ts';

/**
 * Ids of a mirrored stream's rows, newest first, without those that are gone; null until its first full read is through. Streams are named like
 * their tables.
 */
export async function readMirroredIds(
  prisma: PrismaClient,
  { connectionId, stream }: StreamKey,
  limit?: number,
): Promise<readonly string[] | null> {
  if (!(await isBackfillComplete(prisma, { connectionId, stream }))) return null;
  const [schema = '', name = ''] = stream.split('.');
  const rows = await prisma.$queryRawUnsafe<{ id: string }[]>(
    `select id from ${tableName({ schema, name })} where connection_id = $1 and deleted_at is null
      order by created_at desc nulls last, id desc limit $2::bigint`,
    connectionId,
    limit ?? null,
  );
  return rows.map(({ id }) => id);
}
