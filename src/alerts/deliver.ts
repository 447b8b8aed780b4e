import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import { claimMessage, type DueMessage, markDelivered, markFailed } from '../store/engine/alerts.ts';
import { type Channel, DeliveryError } from './channel.ts';
import { digestSchema } from './digest.ts';

export interface DeliverParts {
  readonly prisma: PrismaClient;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onAttempt?: (attempt: { readonly channel: string; readonly outcome: 'delivered' | 'failed' }) => void;
  /** The delay of the first repetition; doubled from then on. */
  readonly firstRetryMs?: number;
}

/** Longer than any try may take: the message of a process that was killed is free for others after that. */
const LEASE_MS = 60_000;
const FIRST_RETRY_MS = 10_000;
const LONGEST_RETRY_MS = 15 * 60_000;
/** Older messages are dropped; the state itself stays in `sync.alerts`. */
const GIVE_UP_MS = 3 * 24 * 3_600_000;

/** Sends what is due on one channel, in order. Sends it twice only when a process ends before it noted the answer. */
export async function deliverDue(parts: DeliverParts, channel: Channel): Promise<void> {
  const { prisma, signal } = parts;
  while (!signal.aborted) {
    const message = await claimMessage(prisma, channel.name, LEASE_MS);
    if (message === null || !(await deliver(parts, channel, message))) return;
  }
}

async function deliver(parts: DeliverParts, channel: Channel, message: DueMessage): Promise<boolean> {
  const { prisma, logger, onAttempt } = parts;
  const { id, attempts } = message;
  try {
    await channel.send(id, digestSchema.parse(message.body));
  } catch (error) {
    const isOld = Date.now() - message.created_at.getTime() > GIVE_UP_MS;
    const retryInMs = isOld ? null : retryAfterMs(attempts, parts.firstRetryMs ?? FIRST_RETRY_MS);
    const text = error instanceof DeliveryError ? error.message : 'an error that leadmirror did not foresee';
    onAttempt?.({ channel: channel.name, outcome: 'failed' });
    if (attempts === 1 || retryInMs === null) {
      logger.warn({ channel: channel.name, attempts, retryInMs }, `alert not delivered: ${text}`);
    }
    await markFailed(prisma, { id, channel: channel.name, error: text, retryInMs });
    return false;
  }
  onAttempt?.({ channel: channel.name, outcome: 'delivered' });
  await markDelivered(prisma, id, channel.name);
  if (attempts > 1) logger.info({ channel: channel.name, attempts }, 'alerts are delivered again');
  return true;
}

export function retryAfterMs(attempts: number, firstMs: number): number {
  return Math.min(LONGEST_RETRY_MS, firstMs * 2 ** (attempts - 1));
}
