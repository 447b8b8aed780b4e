import { setTimeout as delay } from 'node:timers/promises';
import { type Verified, verifySelected } from '../src/app/verify-streams.ts';
import type { App } from '../src/app.ts';
import { counted } from '../src/counted.ts';
import { ConfigError, errorOf } from '../src/errors.ts';
import type { Control } from '../src/ops/parts.ts';
import { sentence } from '../src/ops/view/format.ts';
import {
  cancelRuns,
  isPaused,
  liftServerPause,
  pauseStream,
  resumeStream,
  resyncStream,
  whyItWaits,
} from '../src/store/engine/control.ts';
import { acceptDeletions } from '../src/store/engine/deletions.ts';
import type { StreamKey } from '../src/store/engine/streams.ts';
import type { QueuedPass } from '../src/stream.ts';
import { retryQuarantine } from '../src/sync/retry-quarantine.ts';
import { enqueueRun, type Queues, QueueUnavailableError } from './queues.ts';
import { findDue } from './unfinished.ts';

/** No run of it begins while it is paused, also none that is asked for by hand. */
export class StreamPausedError extends errorOf('stream_paused') {}

/** What the buttons of the status page do, as the commands of that name. Each answers in seconds, with no queue too. */
export function createWebControl(app: App, queues: Queues) {
  const { prisma } = app.database;
  const stopping = new AbortController();
  const { signal } = stopping;
  const underWay = new Set<Promise<unknown>>();
  const find = ({ connectionId, stream }: StreamKey) => {
    const found = app.findStream(connectionId, stream);
    if (found !== undefined) return found;
    const message = `is not configured for ${connectionId} in this process; do it where it is configured`;
    throw new ConfigError([{ variable: stream, message }]);
  };
  /** @throws QueueUnavailableError: commands to a Redis that is away would wait until it is back. */
  const ask = async ({ connectionId, stream }: StreamKey, passes: readonly QueuedPass[]): Promise<void> => {
    await queues.ping();
    for (const pass of passes) {
      await enqueueRun(queues, { connection: connectionId, stream, pass, trigger: 'manual' });
    }
  };
  /** False when the queue is away. */
  const tryToAsk = (key: StreamKey, ...passes: readonly QueuedPass[]): Promise<boolean> =>
    ask(key, passes).then(
      () => true,
      (error: unknown) => {
        if (error instanceof QueueUnavailableError) return false;
        throw error;
      },
    );

  const control = {
    async trigger(key: StreamKey, { pass }: { readonly pass: QueuedPass }) {
      if (await isPaused(prisma, key)) {
        throw new StreamPausedError(
          `${key.stream} is paused, so nothing was asked for. Resume it first: ${command('resume', key)}`,
        );
      }
      try {
        await ask(key, [pass]);
      } catch (error) {
        if (!(error instanceof QueueUnavailableError)) throw error;
        const message = `${sentence(error.message)} Nothing was asked for: try again when it answers, or run it without the queue: ${command('sync', key, pass)}`;
        throw new QueueUnavailableError(message, { cause: error });
      }
      const wait = await whyItWaits(prisma, key);
      return `${LABELS[pass]} of ${key.stream} asked for; ${wait === '' ? 'it begins as soon as a worker is free.' : `but it waits. ${wait}`}`;
    },
    async pause(key: StreamKey) {
      const { wasPaused } = await pauseStream(prisma, key);
      return wasPaused
        ? `${key.stream} was paused already.`
        : `${key.stream} is paused: no run begins until it is resumed.`;
    },
    async resume(key: StreamKey) {
      const until = await liftServerPause(prisma, key);
      const since = await resumeStream(prisma, key);
      const lifted =
        until === null
          ? ''
          : `The wait that the server asked for, until ${until.toISOString()}, is lifted for all streams of this account. `;
      if (since === null) return `${lifted}${key.stream} was not paused.`;
      const due = await findDue(prisma, key);
      return (await tryToAsk(key, ...(due.length === 0 ? (['incremental'] as const) : due)))
        ? `${lifted}${key.stream} goes on: a run is asked for.`
        : `${lifted}${key.stream} is resumed. ${AWAY}: the next tick of a running daemon goes on with it; or now: ${command('sync', key)}`;
    },
    async resync(key: StreamKey) {
      const resynced = await resyncStream(prisma, key);
      if (resynced.isPaused) return `${key.stream} will be read again from zero when it is resumed.`;
      return (await tryToAsk(key, 'backfill'))
        ? `${key.stream} is read again from zero; its rows are kept.`
        : `${key.stream} is to be read again from zero; its rows are kept. ${AWAY}: a running daemon begins within a minute after it can; or now: ${command('sync', key, 'backfill')}`;
    },
    async 'accept-deletions'(key: StreamKey) {
      const blocked = await acceptDeletions(prisma, key);
      if (blocked === null)
        return 'The deletion guard blocks nothing: there is nothing to accept, and nothing was changed.';
      const until = `that begins before ${blocked.validUntil.toISOString()}`;
      if (await isPaused(prisma, key)) {
        return `Accepted, but ${key.stream} is paused: after its resume, the next full sync ${until} marks as deleted the rows that the upstream no longer has.`;
      }
      return (await tryToAsk(key, 'reconcile'))
        ? 'Accepted: a full sync is requested, and marks as deleted the rows that the upstream no longer has.'
        : `Accepted. ${AWAY}: the next full sync ${until} marks as deleted the rows that the upstream no longer has; or now: ${command('sync', key, 'reconcile')}`;
    },
    async verify(key: StreamKey, { repair }: { readonly repair: boolean }) {
      const verifying = verifySelected(app, find(key), { signal, repair });
      underWay.add(verifying);
      const ended = verifying.finally(() => underWay.delete(verifying));
      ended.catch((error: unknown) =>
        app.logger.warn({ err: error, ...key }, 'a verify asked for on the status page failed'),
      );
      const verified = await Promise.race([ended, delay(ANSWER_MS, null, { ref: false })]);
      return verified === null
        ? `${key.stream} is being compared; what is found will stand at “Verified”.`
        : describeVerified(key, verified);
    },
    async 'retry-quarantine'(key: StreamKey) {
      const { tried, resolved, left } = await retryQuarantine(
        { prisma, clock: app.clock, logger: app.logger, privacy: app.privacy },
        { ...find(key), signal },
      );
      return tried === 0
        ? `No record of ${key.stream} is in quarantine.`
        : `${key.stream}: ${resolved} of ${counted(tried, 'record')} written, or known to be gone; ${left} still in quarantine.`;
    },
    async cancel(key: StreamKey) {
      const ended = await cancelRuns(prisma, key, null);
      return ended.length === 0
        ? 'No run was under way.'
        : 'The run is stopped; the next one goes on from its checkpoint.';
    },
  } satisfies Control;
  return {
    control,
    async close() {
      stopping.abort();
      await Promise.allSettled(underWay);
    },
  };
}

/** A verify of a few thousand rows ends within it. */
const ANSWER_MS = 8_000;

function describeVerified({ connectionId, stream }: StreamKey, { report, error }: Verified): string {
  if (report === null || (error !== null && report.findings.length === 0)) {
    return `${stream} was not verified: ${error?.message ?? 'no reason is known'}`;
  }
  const { findings, repaired, upstreamRows } = report;
  if (findings.length === 0) return `${stream} of ${connectionId} is equal: ${counted(upstreamRows, 'row')} compared.`;
  return `${stream} of ${connectionId}: ${findings.length} of ${counted(upstreamRows, 'row')} differ, ${repaired} of them repaired.`;
}

const AWAY = 'The queue cannot be reached';

const command = (name: string, { connectionId, stream }: StreamKey, pass?: QueuedPass): string =>
  `leadmirror ${name} ${stream}${pass === undefined ? '' : ` --pass ${pass}`} --connection ${connectionId}`;

const LABELS: Readonly<Record<QueuedPass, string>> = {
  backfill: 'A full read',
  incremental: 'A run',
  reconcile: 'A full sync',
  count: 'A count check',
};
