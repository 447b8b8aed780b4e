import { ErasedMeanwhileError, isAbort, LeadmirrorError, LeaseLostError } from '../errors.ts';
import { readCancellation } from '../store/engine/control.ts';
import { endRun, storeVerification } from '../store/engine/runs.ts';
import { databaseError } from '../store/faults.ts';
import type { DifferenceKind } from '../store/mirror/compare.ts';
import { deleteSeenIds } from '../store/mirror/seen-ids.ts';
import { withLease } from './lease-keeper.ts';
import { type PassJob, type PassParts, Run } from './run-pass.ts';
import { Verifier } from './verifier.ts';

/**
 * Compares the mirror with the upstream by a full read that writes nothing: by id and version, a sample by content.
 *
 * A busy account changes while it is read. What the mirror should have had before the last incremental pass is
 * *certain* to differ; what changed later, and what no list showed, is only unconfirmed, and looked at once more:
 *
 *   walk ─> unconfirmed? ──no──> settle ─> store
 *                   └─yes─> incremental ─> walk again, those rows only ─> settle, with `repair` written ─> store
 *
 * A row is settled, and no finding, when the mirror wrote it after it was compared, or when it changed upstream after
 * that incremental pass: the next one brings it.
 */
export interface VerifyJob extends Pick<PassJob, 'connection' | 'stream' | 'signal' | 'maxWaitMs' | 'leaseWaitMs'> {
  /** Share of the rows that are compared by content, 0 to 1. */
  readonly sample: number;
  /** Writes what differs, past the version guard, and marks what is gone. */
  readonly repair: boolean;
  /** Brings what changed, as the schedule would. What it leaves behind is compared, whatever its outcome. */
  readonly refresh: () => Promise<void>;
  readonly onProgress?: (rows: number) => void;
}

export type FindingKind = DifferenceKind | 'extra';

export interface Finding {
  readonly id: string;
  readonly kind: FindingKind;
  /** Names of fields that differ, and of columns where no field differs. Empty for missing and extra rows. */
  readonly fields: readonly string[];
}

export interface VerifyReport {
  readonly connection: string;
  readonly stream: string;
  /** Distinct objects that the upstream showed. */
  readonly upstreamRows: number;
  readonly comparedRows: number;
  /** Records that could not be mapped, and so not compared. */
  readonly unreadable: number;
  readonly findings: readonly Finding[];
  readonly repaired: number;
  /** Null: the walk closed cleanly and the findings are all there is. */
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

/** @throws LeaseBusyError, RunCancelledError while the stream is paused, DatabaseError, the signal's reason */
export async function verifyStream(parts: PassParts, job: VerifyJob): Promise<VerifyReport> {
  const { prisma, clock } = parts;
  if (job.stream.notCompared !== undefined) return leftOut(job, job.stream.notCompared, new Date(clock.now()));
  const pass = 'verify';
  const { connection, stream, signal, maxWaitMs, leaseWaitMs } = job;
  const passJob = { connection, stream, signal, maxWaitMs, leaseWaitMs, pass } as const;
  const key = { connectionId: connection.id, stream: stream.name, pass } as const;
  return withLease(parts, key, { waitMs: leaseWaitMs, signal }, async (lease, ended) => {
    const run = new Run(parts, passJob, lease, ended);
    const verifier = new Verifier(run, job);
    try {
      await deleteSeenIds(prisma, lease);
      const error = await verifier.compare().catch((cause: unknown) => explain(cause, run));
      const report = verifier.report(error, new Date(clock.now()));
      // A verify that only looked leaves no line among the runs; one that wrote does.
      if (report.repaired > 0) {
        const outcome = error === null ? ('succeeded' as const) : ('partial' as const);
        await endRun(prisma, lease, run.startedAt, run.counts, { outcome, error, watermark: null });
      }
      if (error === null) await storeVerification(prisma, key, countsOf(report));
      return report;
    } finally {
      await deleteSeenIds(prisma, lease).catch(() => {});
    }
  });
}

export const NOT_COMPARED = 'not_compared';

function leftOut({ connection, stream }: VerifyJob, message: string, at: Date): VerifyReport {
  return {
    ...{ connection: connection.id, stream: stream.name, startedAt: at, endedAt: at },
    ...{ upstreamRows: 0, comparedRows: 0, unreadable: 0, repaired: 0, findings: [] },
    error: { code: NOT_COMPARED, message },
  };
}

/** Refusals and transient failures end up in the report; the rest is thrown on. */
async function explain(thrown: unknown, { parts, lease, fetch, job }: Run): Promise<VerifyReport['error']> {
  const isEnded = isAbort(thrown) && fetch.signal.aborted && !job.signal.aborted;
  const cause = isEnded ? fetch.signal.reason : thrown;
  const error = databaseError(cause, parts.databaseAddress);
  if (error instanceof LeaseLostError) {
    const cancellation = await readCancellation(parts.prisma, lease.runId);
    if (cancellation !== null) return cancellation;
  }
  if (error instanceof ErasedMeanwhileError) throw error;
  if (error instanceof LeadmirrorError && error === cause) return { code: error.code, message: error.message };
  throw error;
}

function countsOf({ findings, upstreamRows, comparedRows, repaired, startedAt }: VerifyReport) {
  const of = (kind: FindingKind) => findings.filter((finding) => finding.kind === kind).length;
  const kinds = { missing: of('missing'), stale: of('stale'), extra: of('extra'), different: of('different') };
  return { ...kinds, repaired, upstream_rows: upstreamRows, compared_rows: comparedRows, started_at: startedAt };
}
