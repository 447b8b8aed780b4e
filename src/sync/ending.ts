import { counted } from '../counted.ts';
import {
  DatabaseError,
  errorCode,
  isAbort,
  LeadmirrorError,
  LeaseLostError,
  RateLimitedError,
  RunCancelledError,
  UpstreamContractError,
} from '../errors.ts';
import { readCancellation } from '../store/engine/control.ts';
import type { RunEnd } from '../store/engine/runs.ts';
import { clearCapabilities } from '../store/engine/streams.ts';
import { databaseError } from '../store/faults.ts';
import type { Run } from './run-pass.ts';

export interface Ending extends RunEnd {
  /** How long to wait, when `postponed`. */
  readonly retryInMs: number | null;
  /** The run's line is already written, with its last page. */
  readonly isRecorded: boolean;
}

/** The end of a pass that read everything; `partial` when records had to be quarantined. */
export function finalEnding(run: Run, justQuarantined = 0): Ending {
  const bad = run.counts.quarantined + justQuarantined;
  if (bad === 0) return run.ending('succeeded');
  return run.ending('partial', {
    code: 'quarantined',
    message: `${counted(bad, 'record')} could not be mapped or written; see leadmirror quarantine, or sync.quarantine`,
  });
}

/** What an error means for the run. A database that cannot be used leaves nothing to be written: that is thrown on. */
export async function endingFor(run: Run, thrown: unknown): Promise<Ending> {
  const { signal } = run.fetch;
  const { databaseAddress, logger, prisma } = run.parts;
  const { name: stream } = run.job.stream;
  const cause = signal.aborted && isAbort(thrown) ? signal.reason : thrown;
  const message = cause instanceof Error ? cause.message : '';
  if (cause instanceof LeaseLostError) {
    const reason = (await readCancellation(prisma, run.lease.runId)) ?? { code: cause.code, message };
    return { ...run.ending('cancelled', reason), isRecorded: true };
  }
  if (cause instanceof RunCancelledError) return run.ending('cancelled', { code: cause.code, message });
  if (isAbort(cause) || (signal.aborted && cause === signal.reason)) {
    return run.ending('cancelled', { code: 'stopped', message: 'stopped; the next run goes on from the checkpoint' });
  }
  const error = databaseError(cause, databaseAddress);
  if (error instanceof DatabaseError) {
    if (error.code !== 'database_mismatch') throw error;
    // The database works, so the run can be recorded; trying the same again is useless.
    logger.error({ stream, code: error.code }, error.message);
    return run.ending('failed', { code: error.code, message: error.message });
  }
  if (cause instanceof RateLimitedError) return run.ending('postponed', { code: cause.code, message }, cause.waitMs);
  if (!(cause instanceof LeadmirrorError)) {
    logger.error({ err: cause, stream }, 'unexpected error: please report it');
    return run.ending('failed', { code: 'bug', message: 'an error that leadmirror did not foresee; its log has it' });
  }
  if (DISPROVES_CAPABILITIES.has(cause.code)) {
    await clearCapabilities(prisma, { connectionId: run.lease.connectionId, stream });
  }
  return run.ending('failed', { code: errorCode(cause), message });
}

/** Answers that contradict what was learnt about the server: it is asked again the next time. */
const DISPROVES_CAPABILITIES: ReadonlySet<string> = new Set([
  'window_ignored',
  'not_found',
  'not_permitted',
  'bad_parameter',
]);

export function suddenlyEmpty(name: string, alive: number): UpstreamContractError {
  return new UpstreamContractError(
    'suddenly_empty',
    `the list of ${name} is empty, and the mirror has ${counted(alive, 'row')} of it; nothing is changed. If everything was really deleted upstream, run: leadmirror accept-deletions ${name}, then leadmirror sync ${name} --pass reconcile`,
  );
}
