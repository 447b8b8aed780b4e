import { randomUUID } from 'node:crypto';
import { type Clock, within } from '../clock.ts';
import type { Logger } from '../logger.ts';
import { type Channel, DeliveryError } from './channel.ts';
import { retryAfterMs } from './deliver.ts';
import { createOutageDigest, type Digest, type OutageKind } from './digest.ts';

interface OutageParts {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly channels: readonly Channel[];
  readonly checks: {
    /** Rejects while it is away. */
    readonly database: () => Promise<unknown>;
    readonly queue: () => Promise<unknown>;
    /** What the daemons disagree about; null while they agree. A rejection decides nothing. */
    readonly configuration: () => Promise<string | null>;
  };
  /** How long something has to last before it is reported. */
  readonly afterMs: number;
  readonly everyMs?: number;
  /** How long a check may take; then it counts as failed. */
  readonly checkMs?: number;
}

const EVERY_MS = 5_000;
const CHECK_MS = 5_000;
/** After an outage of the database, so many rounds pass before every daemon has written again what it has. */
const SETTLING_ROUNDS = 4;

/** Every try sends the same, so that a receiver can drop a repetition. */
interface Message {
  readonly id: string;
  readonly digest: Digest;
}

interface Outage {
  readonly kind: OutageKind;
  readonly since: Date;
  readonly reason: string;
  /** Null until it has lasted long enough. */
  start: Message | null;
  /** Null until it is over. */
  end: Message | null;
}

/** What one channel still has to accept: of each outage the start, then the end. */
interface Outbox {
  readonly channel: Channel;
  reports: { readonly outage: Outage; isStartAccepted: boolean }[];
  isSending: boolean;
  failures: number;
  retryAt: number;
}

/**
 * Reports an unreachable database or queue from memory, as the alerts in the database are of no use meanwhile. Each
 * process reports what it sees, and when it is over. A channel that accepted no start gets no end.
 */
export function watchOutages(parts: OutageParts) {
  const { logger, clock, channels, checks, afterMs, everyMs = EVERY_MS, checkMs = CHECK_MS } = parts;
  const stopping = new AbortController();
  const { signal } = stopping;
  const down = new Map<OutageKind, Outage>();
  const outboxes = channels.map(
    (channel): Outbox => ({ channel, reports: [], isSending: false, failures: 0, retryAt: 0 }),
  );
  let settledAt = 0;

  const messageOf = (outage: Outage, isOver: boolean): Message => ({
    id: randomUUID(),
    digest: createOutageDigest(outage, isOver, new Date(clock.now())),
  });

  function judge(kind: OutageKind, reason: string | null): void {
    if (signal.aborted) return;
    const known = down.get(kind);
    if (reason === null) {
      down.delete(kind);
      if (known !== undefined) known.end = messageOf(known, true);
      return;
    }
    const outage = known ?? { kind, since: new Date(clock.now()), reason, start: null, end: null };
    down.set(kind, outage);
    if (outage.start !== null || clock.now() - outage.since.getTime() < afterMs) return;
    outage.start = messageOf(outage, false);
    for (const { reports } of outboxes) reports.push({ outage, isStartAccepted: false });
  }

  const look = (kind: 'database' | 'queue'): Promise<void> =>
    within(checkMs, checks[kind](), signal).then(
      () => judge(kind, null),
      (error: Error) => judge(kind, error.message.split('\n')[0] ?? ''),
    );

  async function lookAtAll(): Promise<void> {
    await Promise.all([look('database'), look('queue')]);
    // While nothing is written, every daemon looks lost.
    if (down.has('database')) settledAt = clock.now() + SETTLING_ROUNDS * everyMs;
    if (clock.now() < settledAt) return;
    await within(checkMs, checks.configuration(), signal).then(
      (difference) => judge('configuration', difference),
      () => {},
    );
  }

  async function deliver(outbox: Outbox): Promise<void> {
    if (outbox.isSending || clock.now() < outbox.retryAt) return;
    outbox.isSending = true;
    while (!signal.aborted && (await sendNext(outbox)));
    outbox.isSending = false;
  }

  /** False when nothing is due, or the channel did not accept it. */
  async function sendNext(outbox: Outbox): Promise<boolean> {
    const { channel } = outbox;
    outbox.reports = outbox.reports.filter(({ outage, isStartAccepted }) => isStartAccepted || outage.end === null);
    const report = outbox.reports.find(({ outage, isStartAccepted }) => !isStartAccepted || outage.end !== null);
    const message = report?.isStartAccepted ? report.outage.end : report?.outage.start;
    if (report === undefined || !message) return false;
    try {
      await channel.send(message.id, message.digest);
    } catch (error) {
      outbox.failures += 1;
      outbox.retryAt = clock.now() + retryAfterMs(outbox.failures, everyMs);
      const text = error instanceof DeliveryError ? error.message : 'an error that leadmirror did not foresee';
      if (outbox.failures === 1) logger.warn({ channel: channel.name }, `outage not reported yet: ${text}`);
      return false;
    }
    outbox.failures = 0;
    if (report.isStartAccepted) outbox.reports = outbox.reports.filter((other) => other !== report);
    report.isStartAccepted = true;
    return true;
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await lookAtAll();
      for (const outbox of outboxes) void deliver(outbox);
      await clock.sleep(everyMs, signal).catch(() => {});
    }
  }

  const running = run();
  return {
    /** What is unavailable now; null when nothing is. */
    cause(): string | null {
      const away = [...down].filter(([kind]) => kind !== 'configuration');
      const phrases = away.map(([kind, { since }]) => `the ${kind} cannot be reached since ${since.toISOString()}`);
      return phrases.length === 0 ? null : phrases.join('; ');
    },
    /** Ends the check under way; never throws. */
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
