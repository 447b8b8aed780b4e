import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock } from '../clock.ts';
import { isAbort } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Channel } from './channel.ts';
import { createOutageDigest, type OutageKind } from './digest.ts';

export interface OutageParts {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly channels: readonly Channel[];
  /** Reject while the part is away. Each is bounded in time. */
  readonly checks: Readonly<Partial<Record<OutageKind, () => Promise<unknown>>>>;
  /** How long something has to last before it is reported. */
  readonly afterMs: number;
  readonly everyMs?: number;
}

export interface Outages {
  /** What is away now, in words; null while nothing is. */
  cause(): string | null;
  /** Ends the check under way; never throws. */
  stop(): Promise<void>;
}

const EVERY_MS = 5_000;
const CHECK_MS = 5_000;

interface Outage {
  readonly since: Date;
  readonly reason: string;
  /** Channels that have accepted the message. */
  readonly reported: Set<Channel>;
}

/**
 * Reports an unreachable database or queue from memory: alerts about streams are kept in the database, and are of no use while that is away. Each process
 * reports what it sees itself, once, and once more when it is over.
 */
export function watchOutages(parts: OutageParts): Outages {
  const { clock, channels, checks, afterMs, everyMs = EVERY_MS } = parts;
  const stopping = new AbortController();
  const { signal } = stopping;
  const down = new Map<OutageKind, Outage>();

  async function look(kind: OutageKind): Promise<void> {
    const failure = await within(CHECK_MS, checks[kind]?.() ?? Promise.resolve());
    const known = down.get(kind);
    if (failure !== null) {
      const outage = known ?? { since: new Date(clock.now()), reason: failure, reported: new Set<Channel>() };
      down.set(kind, outage);
      if (clock.now() - outage.since.getTime() >= afterMs) await report(kind, outage, null);
      return;
    }
    if (known === undefined) return;
    down.delete(kind);
    if (known.reported.size > 0) await report(kind, { ...known, reported: new Set() }, known.reported);
  }

  /** `only`: tells these that it is over. A channel that fails is tried again in the next round. */
  async function report(kind: OutageKind, outage: Outage, only: ReadonlySet<Channel> | null): Promise<void> {
    const digest = createOutageDigest(
      { kind, since: outage.since, reason: outage.reason, host: hostname(), isOver: only !== null },
      new Date(clock.now()),
    );
    for (const channel of channels) {
      if (outage.reported.has(channel) || (only !== null && !only.has(channel))) continue;
      await channel.send(randomUUID(), digest).then(
        () => outage.reported.add(channel),
        (error: unknown) =>
          parts.logger.debug({ channel: channel.name, name: (error as Error).name }, 'outage not reported yet'),
      );
    }
  }

  async function run(): Promise<void> {
    const kinds = Object.keys(checks) as OutageKind[];
    while (!signal.aborted) {
      await Promise.all(kinds.map(look)).catch((error: unknown) => {
        if (!isAbort(error)) parts.logger.debug({ name: (error as Error).name }, 'outages not looked for');
      });
      await clock.sleep(everyMs, signal).catch(() => {});
    }
  }

  const running = run();
  return {
    cause() {
      const away = [...down].filter(([kind]) => kind !== 'configuration');
      const words = away.map(([kind, { since }]) => `the ${kind} cannot be reached since ${since.toISOString()}`);
      return words.length === 0 ? null : words.join('; ');
    },
    async stop() {
      stopping.abort();
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
    },
  };
}

/** Null when it succeeds in time; else one line about why not. */
async function within(ms: number, check: Promise<unknown>): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${ms / 1000} s`), ms);
  });
  const answered = check.then(
    () => null,
    (error: unknown) => (error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'unknown'),
  );
  return Promise.race([answered, late]).finally(() => clearTimeout(timer));
}
