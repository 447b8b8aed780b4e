import type { PrismaClient } from '../generated/prisma/client.ts';
import { databaseError } from './database.ts';

/**
 * The precomputed tables of schema `reporting`: see its migration for what they hold and how they are kept current. All of it happens in one transaction
 * of its own, which takes no lock on a mirrored table.
 */

/** `busy`: another process is at it now. `early`: the last refresh began less than the gap ago. */
export type RefreshOutcome = 'refreshed' | 'rebuilt' | 'busy' | 'early';

export interface RefreshOptions {
  /** Nothing is done when the last refresh began less than this ago. */
  readonly minGapMs?: number;
  /** Read all rows again instead of those written since the last time. */
  readonly isFull?: boolean;
}

/** @throws DatabaseError */
export async function refreshReporting(
  { prisma, place }: { readonly prisma: PrismaClient; readonly place: string },
  { minGapMs = 0, isFull = false }: RefreshOptions = {},
): Promise<RefreshOutcome> {
  const answer = prisma.$queryRaw<{ outcome: RefreshOutcome }[]>`
    select reporting.refresh(${minGapMs / 1000}::float8, ${isFull}) as outcome`;
  const [row] = await answer.catch((error: unknown) => {
    throw databaseError(error, place);
  });
  if (row === undefined) throw new Error('reporting.refresh answered no line');
  return row.outcome;
}

/**
 * Where the days of an account begin; of all accounts without a zone of their own when `connectionId` is null. The next refresh works it in. False: Postgres
 * knows no such zone.
 */
export async function setTimeZone(
  prisma: PrismaClient,
  connectionId: string | null,
  timeZone: string,
): Promise<boolean> {
  const written = await prisma.$executeRaw`
    insert into reporting.settings (connection_id, time_zone)
    select ${connectionId ?? '*'}, name from pg_timezone_names where lower(name) = lower(${timeZone}) limit 1
    on conflict (connection_id) do update set time_zone = excluded.time_zone`;
  return written === 1;
}
