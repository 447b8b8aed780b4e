import { ErasedMeanwhileError, LeaseBusyError, LeaseLostError, RunCancelledError } from '../errors.ts';
import {
  acquireLease,
  type CheckpointKey,
  LEASE_RENEW_MS,
  type Lease,
  releaseLease,
  renewLease,
} from '../store/engine/leases.ts';
import type { PassParts } from './run-pass.ts';

type LeaseParts = Pick<PassParts, 'prisma' | 'clock' | 'logger'>;
type LeaseOptions = { readonly waitMs: number; readonly signal: AbortSignal };

const POLL_MS = 250;

/**
 * Does the work under the lease and releases it. The signal also fires with LeaseLostError when another run took the
 * lease, with RunCancelledError when the stream was paused or removed. A busy lease is waited for up to `waitMs`: a
 * process that was killed leaves its own behind for some seconds.
 * @throws LeaseBusyError; RunCancelledError while the stream is paused; what the work throws
 */
export async function withLease<T>(
  parts: LeaseParts,
  key: CheckpointKey,
  options: LeaseOptions,
  work: (lease: Lease, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (;;) {
    const lease = await takeLease(parts, key, options);
    const ended = new AbortController();
    const timer = renewUntil(parts, lease, ended);
    try {
      return await work(lease, AbortSignal.any([options.signal, ended.signal]));
    } catch (error) {
      // After an erasure that the work could not know of, it is done again from the checkpoint.
      if (!(error instanceof ErasedMeanwhileError)) throw error;
    } finally {
      clearInterval(timer);
      await releaseLease(parts.prisma, lease).catch(() => {});
    }
  }
}

async function takeLease({ prisma, clock }: LeaseParts, key: CheckpointKey, { waitMs, signal }: LeaseOptions) {
  const until = clock.now() + waitMs;
  for (;;) {
    const lease = await acquireLease(prisma, key);
    if (lease !== null) return lease;
    if (clock.now() >= until) {
      throw new LeaseBusyError(
        `${key.stream} ${key.pass} of ${key.connectionId} is being run by another process; this one does nothing`,
      );
    }
    await clock.sleep(POLL_MS, signal);
  }
}

/** Each renewal learns whether the run may go on: a person's wish arrives within `LEASE_RENEW_MS`. */
function renewUntil({ prisma, logger }: LeaseParts, lease: Lease, ended: AbortController): NodeJS.Timeout {
  let isBusy = false;
  return setInterval(async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      const reason = whyToEnd(lease, await renewLease(prisma, lease));
      if (reason !== null) ended.abort(reason);
    } catch (error) {
      // The database may be back before the lease ends; if not, the next page finds out by the token.
      logger.debug({ code: (error as { code?: unknown }).code }, 'lease not renewed');
    } finally {
      isBusy = false;
    }
  }, LEASE_RENEW_MS);
}

function whyToEnd(lease: Lease, renewal: Awaited<ReturnType<typeof renewLease>>) {
  const { connectionId, stream, pass } = lease;
  if (renewal === null) return new LeaseLostError(`the lease of ${stream} ${pass} was taken over by another run`);
  if (renewal.isPaused) {
    const message = `paused by a person while it ran; progress is kept, and it goes on after: leadmirror resume ${stream} --connection ${connectionId}`;
    return new RunCancelledError('paused', message);
  }
  // Only when that changed: a stream that only this process has in its configuration still runs.
  if (lease.isConfigured && !renewal.isConfigured) {
    const message = `${stream} of ${connectionId} was removed from the configuration while it ran; its rows and its progress are kept`;
    return new RunCancelledError('not_configured', message);
  }
  return null;
}
