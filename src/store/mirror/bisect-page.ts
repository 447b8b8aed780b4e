import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Row } from '../../stream.ts';
import type { Lease } from '../engine/leases.ts';
import type { BadRecord } from '../engine/quarantine.ts';
import { isRefusedContent } from '../faults.ts';
import { describeRefusal } from '../refusal-detail.ts';
import { decodeRows, encodeRows } from './page-json.ts';
import { type PageWrite, upsertRows } from './pages.ts';

/** A record that maps, but that Postgres does not take: a text too long for an index, nesting too deep for it. */
export const REFUSED = 'refused_by_database';

/**
 * The page without the records that Postgres refuses, which go to quarantine with it. They are found by bisecting, in
 * transactions that are rolled back. @throws whatever an attempt throws that is no refusal
 */
export async function bisectPage(
  prisma: PrismaClient,
  { connectionId, runId }: Pick<Lease, 'connectionId' | 'runId'>,
  page: PageWrite,
): Promise<PageWrite> {
  if (page.json === null) return page;
  const { table, isForced, replaceWrittenBefore } = page;
  const rows = decodeRows(page.json);
  const attempt = async (some: readonly Row[]) => {
    const values = { connectionId, runId, isForced, replaceWrittenBefore };
    const trial = prisma.$transaction(async (tx) => {
      await upsertRows(tx, table, some, values);
      throw new RolledBack();
    });
    await trial.catch((error) => {
      if (!(error instanceof RolledBack)) throw error;
    });
  };
  const refused = await findRefused(rows, attempt);
  const kept = rows.filter((row) => !refused.includes(row));
  const bad: BadRecord[] = [];
  for (const row of refused) {
    // More of a page are refused for the same reason as these.
    const isFirst = bad.length < MOST_DESCRIBED;
    const detail = isFirst ? await describeRefusal(prisma, { table, row, attempt: (one) => attempt([one]) }) : null;
    bad.push({ recordId: row.id, reason: REFUSED, detail, rawText: JSON.stringify(row.raw) });
  }
  return {
    ...page,
    json: kept.length === 0 ? null : encodeRows(kept),
    rowCount: kept.length,
    bad: [...page.bad, ...bad],
  };
}

const MOST_DESCRIBED = 10;

class RolledBack extends Error {}

/** Returns the members that `attempt` refuses one by one. Throws on any other failure of an attempt. */
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
