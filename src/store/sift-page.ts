import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Row } from '../stream.ts';
import { isRefusedContent } from './faults.ts';
import { lendText } from './large-texts.ts';
import type { Lease } from './leases.ts';
import { encodeRows } from './page-json.ts';
import type { PageWrite } from './pages.ts';
import type { BadRecord } from './quarantine.ts';
import { upsertSql } from './upsert-sql.ts';

/** The reason of a record that maps, but that Postgres does not take: an indexed text too long for an index, nesting too deep for it. */
export const REFUSED = 'refused_by_database';

/**
 * What is left of a page that the database refused because of its content: the records that it takes, and the guilty ones set aside. They are found by
 * halving the page and trying each part in a transaction that is rolled back, so nothing is written here: the page is then saved as any
 * other, together with its checkpoint.
 */
export async function siftPage(
  prisma: PrismaClient,
  lease: Pick<Lease, 'connectionId' | 'runId'>,
  page: PageWrite,
): Promise<PageWrite> {
  if (page.json === null) return page;
  const rows = JSON.parse(page.json) as Row[];
  const refused = new Set(await findRefused(rows, (some) => tryRows(prisma, lease, page, some)));
  const bad = [...refused].map(
    ({ id, raw }): BadRecord => ({ recordId: id, reason: REFUSED, rawText: JSON.stringify(raw) }),
  );
  const kept = rows.filter((row) => !refused.has(row));
  return {
    ...page,
    json: kept.length === 0 ? null : encodeRows(kept),
    rowCount: kept.length,
    bad: [...page.bad, ...bad],
  };
}

/** The members that `attempt` refuses even alone, found by halving. Other failures of an attempt are thrown on. */
export async function findRefused<T>(
  members: readonly T[],
  attempt: (some: readonly T[]) => Promise<void>,
): Promise<T[]> {
  if (members.length === 0) return [];
  try {
    await attempt(members);
    return [];
  } catch (error) {
    if (!isRefusedContent(error)) throw error;
  }
  if (members.length === 1) return [...members];
  const middle = Math.ceil(members.length / 2);
  const first = await findRefused(members.slice(0, middle), attempt);
  return [...first, ...(await findRefused(members.slice(middle), attempt))];
}

class RolledBack extends Error {}

async function tryRows(
  prisma: PrismaClient,
  { connectionId, runId }: Pick<Lease, 'connectionId' | 'runId'>,
  { table, isForced, replaceWrittenBefore }: PageWrite,
  rows: readonly Row[],
): Promise<void> {
  const sql = upsertSql(table, isForced === true);
  const attempt = lendText(prisma, encodeRows(rows), (json) =>
    prisma.$transaction(async (tx) => {
      await tx.$queryRawUnsafe(sql, json, connectionId, runId, replaceWrittenBefore);
      throw new RolledBack();
    }),
  );
  await attempt.catch((error) => {
    if (!(error instanceof RolledBack)) throw error;
  });
}
