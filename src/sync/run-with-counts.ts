import { LeaseBusyError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { readFullSync, readTenthOfBudget } from '../store/engine/count-checks.ts';
import type { PassJob, RunResult } from './run-pass.ts';

export interface CountParts {
  readonly prisma: PrismaClient;
  /** A scheduled full sync whose counts agree is left out while the last one is younger. */
  readonly fullSyncMs: number;
  readonly runPass: (job: PassJob) => Promise<RunResult>;
}

/** What a count check could not settle, so that only a full sync can. */
const NEEDS_FULL_SYNC: readonly string[] = ['counts_differ', 'counts_unusable'];
/** The same, at night, when everything would have been read anyway. */
const NEEDS_IT_AT_NIGHT: readonly string[] = [...NEEDS_FULL_SYNC, 'counts_moving', 'deletion_brake'];

/**
 * One pass, with what a count check spares or asks for. A scheduled full sync begins with the counts and ends there
 * when they agree. A count check that finds what it cannot settle is followed by a full sync: always when a person
 * asked for it, by schedule only when that costs less than a tenth of the budget; else the next scheduled full sync
 * does it.
 */
export async function runWithCounts(parts: CountParts, job: PassJob): Promise<RunResult> {
  const { connection, stream, pass, isScheduled = false } = job;
  const isNight = pass === 'reconcile' && isScheduled && stream.counts !== undefined;
  if (pass !== 'count' && !isNight) return parts.runPass(job);
  const { ageMs, isUnfinished, requests } = await readFullSync(parts.prisma, {
    connectionId: connection.id,
    stream: stream.name,
  });
  const readEverything = () => parts.runPass({ ...job, pass: 'reconcile' });
  if (isUnfinished || (isNight && (ageMs === null || ageMs >= parts.fullSyncMs))) return readEverything();
  const count = () => parts.runPass({ ...job, pass: 'count', refresh: () => refresh(parts, job) });
  const counted = await count();
  const code = counted.error?.code ?? '';
  if (!(isNight ? NEEDS_IT_AT_NIGHT : NEEDS_FULL_SYNC).includes(code)) return counted;
  const tenth = await readTenthOfBudget(parts.prisma, connection.credential);
  if (!isNight && isScheduled && (code !== 'counts_differ' || requests > tenth)) return counted;
  const read = await readEverything();
  // What a full sync did not explain either is expected from now on.
  if (read.outcome === 'succeeded' && code === 'counts_differ') await count();
  return read;
}

/** An incremental pass that another process runs just now is waited for. */
const LEASE_WAIT_MS = 15_000;

async function refresh({ runPass }: CountParts, job: PassJob): Promise<boolean> {
  const { fairness: _, onProgress: __, ...rest } = job;
  const incremental = { ...rest, pass: 'incremental', leaseWaitMs: Math.max(job.leaseWaitMs, LEASE_WAIT_MS) } as const;
  try {
    const { outcome, error } = await runPass(incremental);
    return outcome === 'succeeded' || error?.code === 'quarantined';
  } catch (error) {
    if (error instanceof LeaseBusyError) return false;
    throw error;
  }
}
