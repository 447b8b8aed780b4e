import type { Clock } from '../clock.ts';
import { LeaseBusyError, LeaseLostError, RunCancelledError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import {
  acquireLease,
  type CheckpointKey,
  LEASE_RENEW_MS,
  type Lease,
  type Renewal,
  renewLease,
} from '../store/engine/leases.ts';

export interface LeaseParts {
  readonly prisma: PrismaClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

const POLL_MS = 250;

/**
 * Takes the lease, waiting for a busy one up to `waitMs`: a process that was killed leaves its lease behind for some seconds.
 * @throws LeaseBusyError; RunCancelledError while the stream is paused
 */
export async function takeLease(
  parts: LeaseParts,
  key: CheckpointKey,
  options: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<Lease> {
  const until = parts.clock.now() + options.waitMs;
  for (;;) {
    const lease = await acquireLease(parts.prisma, key);
    if (lease !== null) return lease;
    if (parts.clock.now() >= until) {
      throw new LeaseBusyError(
        `${key.stream} ${key.pass} of ${key.connectionId} is being run by another process; this one leaves it alone`,
      );
    }
    await parts.clock.sleep(POLL_MS, options.signal);
  }
}

export interface LeaseKeeper {
  /** Fires when the holder must not go on: LeaseLostError when another run took the lease, RunCancelledError when somebody wants it to end. */
  readonly ended: AbortSignal;
  stop(): void;
}

/** Renews a lease until stopped, and learns with each renewal whether the run may go on: a wish from any machine arrives within `LEASE_RENEW_MS`. */
export function keepLease(parts: LeaseParts, lease: Lease): LeaseKeeper {
  const ended = new AbortController();
  let isBusy = false;
  const renew = async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      const reason = whyToEnd(lease, await renewLease(parts.prisma, lease));
      if (reason !== null) ended.abort(reason);
    } catch (error) {
      // The database may be back before the lease ends; if not, the next page finds out by the token.
      parts.logger.debug({ code: (error as { code?: unknown }).code }, 'lease not renewed');
    } finally {
      isBusy = false;
    }
  };
  const timer = setInterval(renew, LEASE_RENEW_MS);
  return { ended: ended.signal, stop: () => clearInterval(timer) };
}

function whyToEnd(lease: Lease, renewal: Renewal | null): LeaseLostError | RunCancelledError | null {
  const { connectionId, stream, pass } = lease;
  if (renewal === null) return new LeaseLostError(`the lease of ${stream} ${pass} was taken over by another run`);
  if (renewal.isPaused) {
    const message = `paused by a person while it ran; progress is kept, and it goes on after: leadmirror resume ${stream} --connection ${connectionId}`;
    return new RunCancelledError('paused', message);
  }
  // Only when that changed: who has the stream in its own configuration, and was told before that others have not, still runs it.
  if (lease.isConfigured && !renewal.isConfigured) {
    const message = `${stream} of ${connectionId} was removed from the configuration while it ran; its rows and its progress are kept`;
    return new RunCancelledError('not_configured', message);
  }
  return null;
}
