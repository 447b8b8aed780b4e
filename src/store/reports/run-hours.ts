import type { PrismaClient, SyncRun } from '../../generated/prisma/client.ts';
import { groupBy } from '../../group-by.ts';
import { addMs, databaseNow } from '../database-time.ts';

/** One hour of one connection, or of one stream of it. */
export interface Hour {
  readonly at: Date;
  /** Rows created and updated by the runs that ended in it. */
  readonly rows: number;
  readonly runs: number;
  readonly failed: number;
  /** Longest time that any of the streams went without a complete pass, as seen within the hour; null: before the first one. */
  readonly lag_seconds: number | null;
}

/** The last 24 hours, oldest first; the last of them is the hour that is not over yet. */
export async function readHours(
  prisma: PrismaClient,
  { connectionId, stream }: { readonly connectionId: string; readonly stream?: string },
): Promise<Hour[]> {
  const now = await databaseNow(prisma);
  const runs = await prisma.syncRun.findMany({
    where: { connection_id: connectionId, stream, started_at: { gt: addMs(now, -3 * DAY_MS) }, ended_at: { lte: now } },
    orderBy: { ended_at: 'asc' },
    omit: { watermark: true, error_message: true, worker: true },
  });
  const gaps = gapsOf(runs, now);
  const last = Math.floor(now.getTime() / HOUR_MS) * HOUR_MS;
  return Array.from({ length: 24 }, (_, at) => last - (23 - at) * HOUR_MS).map((at) => {
    const own = runs.filter(
      ({ ended_at }) => ended_at !== null && Math.floor(ended_at.getTime() / HOUR_MS) * HOUR_MS === at,
    );
    return {
      at: new Date(at),
      rows: sumOf(own, ({ created, updated }) => created + updated),
      runs: sumOf(own, ({ idle_runs }) => 1 + idle_runs),
      failed: own.filter(({ outcome }) => outcome === 'failed').length,
      lag_seconds: longestGap(gaps, at),
    };
  });
}

type PastRun = Omit<SyncRun, 'watermark' | 'error_message' | 'worker'>;

const sumOf = (runs: readonly PastRun[], of: (run: PastRun) => number): number =>
  runs.reduce((sum, run) => sum + of(run), 0);

interface Gap {
  readonly from: number;
  readonly until: number;
}

/** Time without a complete pass: between one and the next, up to now after the last. Folded idle runs came evenly. */
function gapsOf(runs: readonly PastRun[], now: Date): Gap[] {
  const complete = runs.filter(
    ({ pass, outcome, error_code }) =>
      pass !== 'verify' && (outcome === 'succeeded' || (outcome === 'partial' && error_code === 'quarantined')),
  );
  const gaps: Gap[] = [];
  for (const own of groupBy(complete, (run) => run.stream).values()) {
    let from: number | null = null;
    for (const { idle_runs, started_at, ended_at } of own) {
      const end = (ended_at ?? now).getTime();
      const first = idle_runs > 0 ? started_at.getTime() : end;
      if (from !== null && from < first) gaps.push({ from, until: first });
      const pause = (end - first) / Math.max(1, idle_runs);
      const step = Math.max(pause, HOUR_MS / 2);
      for (let until = first + pause; pause > 0 && until <= end + 1; until += step)
        gaps.push({ from: until - pause, until });
      from = end;
    }
    if (from !== null) gaps.push({ from, until: now.getTime() });
  }
  return gaps;
}

function longestGap(gaps: readonly Gap[], at: number): number | null {
  const end = at + HOUR_MS;
  const lengths = gaps
    .filter(({ from, until }) => until >= at && from < end)
    .map(({ from, until }) => Math.round((Math.min(until, end) - from) / 1000));
  return lengths.length === 0 ? null : lengths.reduce((longest, length) => Math.max(longest, length));
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
