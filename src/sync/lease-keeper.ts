import type { Clock } from '../clock.ts';
import { LeaseBusyError, LeaseLostError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import { acquireLease, type CheckpointKey, LEASE_RENEW_MS, type Lease, renewLease } from '../store/leases.ts';

export interface LeaseParts {
  readonly prisma: PrismaClient;
  readonly clock: Clock;
  readonly logger: Logger;
}

const POLL_MS = 250;

/**
 * Takes the lease, waiting for a busy one up to `waitMs`: a process that was killed leaves its lease behind for some seconds.
 * @throws LeaseBusyError
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

/** Renews a lease until stopped; `lost` fires when another run took it. */
export function keepLease(parts: LeaseParts, lease: Lease): { readonly lost: AbortSignal; stop(): void } {
  const lost = new AbortController();
  let isBusy = false;
  const renew = async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      if (!(await renewLease(parts.prisma, lease))) {
        lost.abort(new LeaseLostError(`the lease of ${lease.stream} ${lease.pass} was taken over by another run`));
      }
    } catch (error) {
      // The database may be back before the lease ends; if not, the next page finds out by the token.
      parts.logger.debug({ code: (error as { code?: unknown }).code }, 'lease not renewed');
    } finally {
      isBusy = false;
    }
  };
  const timer = setInterval(renew, LEASE_RENEW_MS);
  return { lost: lost.signal, stop: () => clearInterval(timer) };
}
