import { randomUUID } from 'node:crypto';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseError } from '../faults.ts';

/**
 * The precomputed tables of schema `reporting`: see its migration for what they hold and how they are kept current. All of it happens in one transaction
 * of its own, which takes no lock on a mirrored table.
 */

/** `busy`: another process is at it now. `early`: the last refresh began less than the gap ago. `stopped`: the signal fired; nothing was changed. */
export type RefreshOutcome = 'refreshed' | 'rebuilt' | 'busy' | 'early' | 'stopped';

export interface RefreshOptions {
  /** Nothing is done when the last refresh began less than this ago. */
  readonly minGapMs?: number;
  /** Read all rows again instead of those written since the last time. */
  readonly isFull?: boolean;
  /** Ends the statement inside the server: the first computation of a large mirror takes minutes. */
  readonly signal?: AbortSignal;
}

/** @throws DatabaseError */
export async function refreshReporting(
  { prisma, address }: { readonly prisma: PrismaClient; readonly address: string },
  { minGapMs = 0, isFull = false, signal }: RefreshOptions = {},
): Promise<RefreshOutcome> {
  if (signal?.aborted) return 'stopped';
  const tag = randomUUID();
  const cancel = () => {
    // Again and again: the statement may still be on its way when the signal fires.
    const ask = () =>
      prisma.$queryRaw`select pg_cancel_backend(pid) from pg_stat_activity where query like ${`%${tag}%`} and pid <> pg_backend_pid()`.catch(
        () => {},
      );
    void ask();
    timer = setInterval(() => void ask(), CANCEL_EVERY_MS);
  };
  let timer: NodeJS.Timeout | undefined;
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const [row] = await prisma.$transaction(
      (tx) =>
        tx.$queryRawUnsafe<{ outcome: RefreshOutcome }[]>(
          `select reporting.refresh($1::float8, $2::boolean) as outcome /* ${tag} */`,
          minGapMs / 1000,
          isFull,
        ),
      // A transaction brings its settings along through a pooler, too, and this one must read what others commit meanwhile.
      { isolationLevel: 'ReadCommitted', timeout: LONGEST_REFRESH_MS },
    );
    if (row === undefined) throw new Error('reporting.refresh answered no line');
    return row.outcome;
  } catch (error) {
    if (signal?.aborted) return 'stopped';
    throw databaseError(error, address);
  } finally {
    signal?.removeEventListener('abort', cancel);
    clearInterval(timer);
  }
}

const CANCEL_EVERY_MS = 200;
const LONGEST_REFRESH_MS = 24 * 3_600_000;

/** Settings of an account's figures. Absent: stays as it is. */
export interface ReportSettings {
  /** Where its days begin. */
  readonly timeZone?: string | undefined;
  /** Such as `mon-fri 09:00-13:00 14:00-18:00, sat 09:00-12:00`; `none`: no hours, also where all others have some. */
  readonly businessHours?: string | undefined;
}

/**
 * Stores the settings of an account; of all accounts without their own when `connectionId` is null. The next refresh works them in. Returns false and
 * changes nothing when Postgres knows no such zone, or the hours are written in another way.
 */
export async function setReportSettings(
  prisma: PrismaClient,
  connectionId: string | null,
  { timeZone, businessHours }: ReportSettings,
): Promise<boolean> {
  const [zone, hours] = [timeZone ?? null, businessHours ?? null];
  const written = await prisma.$executeRaw`
    insert into reporting.settings as t (connection_id, time_zone, business_hours)
    select ${connectionId ?? '*'}, coalesce(z.name, case when ${connectionId}::text is null then 'UTC' end), ${hours}::text
    from (select (select name from pg_timezone_names where lower(name) = lower(${zone}::text) limit 1) as name) z
    where (z.name is not null or ${zone}::text is null)
      and (${hours}::text is null or reporting.business_windows(${hours}::text) is not null)
    on conflict (connection_id) do update set time_zone = case when ${zone}::text is null then t.time_zone else excluded.time_zone end,
      business_hours = coalesce(excluded.business_hours, t.business_hours)`;
  return written === 1;
}
