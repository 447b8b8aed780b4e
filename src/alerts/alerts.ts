import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { isAbort } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Logger } from '../logger.ts';
import { readLabels } from '../store/engine/account-names.ts';
import { holdRound, pruneAlerts, type RoundResult } from '../store/engine/alerts.ts';
import type { Channel } from './channel.ts';
import { decide } from './decide.ts';
import { type DeliverParts, deliverDue } from './deliver.ts';
import { createDigest } from './digest.ts';
import { createEmail, type EmailSettings } from './email.ts';
import { createWebhook, type WebhookOptions, type WebhookSettings } from './webhook.ts';

/**
 * Tells people what is wrong, once, and when it is over. The database decides which process looks and sends, and keeps
 * what was reported: alerts need no scheduler, and go on as long as one process lives.
 */
interface AlertSettings {
  readonly webhook: WebhookSettings | null;
  readonly email: EmailSettings | null;
  readonly afterMs: number;
}

export interface AlertParts {
  readonly prisma: PrismaClient;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly settings: AlertSettings;
  readonly channels: readonly Channel[];
  readonly onAttempt?: DeliverParts['onAttempt'];
  readonly cause?: () => string | null;
  /** The configured accounts, with their labels. */
  readonly names?: () => readonly { readonly id: string; readonly label?: string }[];
  /** Between two looks of all processes together. */
  readonly roundMs?: number;
  /** Between two looks at what is to be sent. */
  readonly deliverMs?: number;
  readonly firstRetryMs?: number;
}

export interface Alerts {
  /** Ends the look or the try under way; never throws. */
  stop(): Promise<void>;
}

const ROUND_MS = 30_000;
const DELIVER_MS = 5_000;
const PRUNE_MS = 24 * 3_600_000;
/** Looking takes at most this share of the time, however many streams there are. */
const REST_SHARE = 10;

export function createChannels({ webhook, email }: AlertSettings, options: WebhookOptions): readonly Channel[] {
  return [webhook === null ? [] : createWebhook(webhook, options), email === null ? [] : createEmail(email)].flat();
}

export function startAlerts(parts: AlertParts): Alerts | null {
  const { channels, deliverMs = DELIVER_MS } = parts;
  if (channels.length === 0) return null;
  const stopping = new AbortController();
  const { signal } = stopping;
  const send = (channel: Channel) => () => deliverDue({ ...parts, signal }, channel);
  const loops = [
    lookLoop(parts, signal),
    ...channels.map((channel) => repeat(parts, signal, 'send alerts', send(channel), () => deliverMs)),
  ];
  return {
    async stop() {
      stopping.abort();
      await Promise.all(channels.map((channel) => channel.close().catch(() => {})));
      await Promise.all(loops);
    },
  };
}

/** One look. Null when it was another process's turn. */
export async function lookOnce({
  prisma,
  settings,
  channels,
  cause = () => null,
  names,
  roundMs = ROUND_MS,
}: AlertParts): Promise<RoundResult | null> {
  const labels = await readLabels(prisma, names?.());
  return holdRound(prisma, {
    // Processes do not tick together: a little early is in time.
    minGapMs: roundMs * 0.9,
    channels: channels.map(({ name }) => name),
    decide(facts) {
      const decision = decide(facts, { afterMs: settings.afterMs, maxGapMs: Math.max(settings.afterMs, roundMs * 4) });
      const body = createDigest(decision, facts.now, cause(), labels);
      const { upserts, deletes, opened, closed } = decision;
      const about = [...opened, ...closed];
      return { upserts, deletes, message: body === null ? null : { id: randomUUID(), body, about } };
    },
  });
}

async function lookLoop(parts: AlertParts, signal: AbortSignal): Promise<void> {
  const { prisma, logger, clock, roundMs = ROUND_MS } = parts;
  let prunedAt = Number.NEGATIVE_INFINITY;
  const look = async () => {
    const result = await lookOnce(parts);
    if (result?.message) logger.info({ changes: result.message.about.length }, 'alerts changed');
    if (clock.now() - prunedAt < PRUNE_MS) return;
    await pruneAlerts(prisma);
    prunedAt = clock.now();
  };
  await repeat(parts, signal, 'look for what is wrong', look, (tookMs) => Math.max(roundMs, tookMs * REST_SHARE));
}

/** Runs until the signal fires. Logs a failure once, not every time. */
async function repeat(
  { logger, clock }: AlertParts,
  signal: AbortSignal,
  what: string,
  work: () => Promise<void>,
  restMs: (tookMs: number) => number,
): Promise<void> {
  let isFailing = false;
  while (!signal.aborted) {
    const startedAt = performance.now();
    try {
      await work();
      isFailing = false;
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) {
        const { name, code } = error as { name?: string; code?: string };
        if (!isFailing) logger.warn({ reason: code ?? name }, `could not ${what}; trying again`);
        isFailing = true;
      }
    }
    await clock.sleep(restMs(performance.now() - startedAt), signal).catch(() => {});
  }
}
