import { findDue } from '../../workers/unfinished.ts';
import {
  cancelRuns,
  type EndedRun,
  liftServerPause,
  pauseStream,
  resumeStream,
  resyncStream,
} from '../store/engine/control.ts';
import { acceptDeletions as accept } from '../store/engine/deletions.ts';
import type { Pass } from '../stream.ts';
import type { StreamOptions } from './command.ts';
import { controlCommand } from './control.ts';

export const pause = controlCommand(async ({ key, prisma, name }) => {
  const { since, wasPaused, running } = await pauseStream(prisma, key);
  const ending = `Under way: ${running.join(', ')}. That ends at its page within 5 seconds; progress is kept.`;
  return {
    lines: [
      wasPaused ? `was paused already, since ${since.toISOString()}` : 'paused',
      ...(running.length === 0 ? [] : [ending]),
      `Take it up again with: leadmirror resume ${name}`,
    ],
    json: { paused_at: since, was_paused: wasPaused, running },
  };
});

export const resume = controlCommand(async ({ key, prisma, name, ask }) => {
  const lines: string[] = [];
  const until = await liftServerPause(prisma, key);
  if (until !== null) {
    lines.push(
      `the wait that the server asked for, until ${until.toISOString()}, is lifted for all streams of this account`,
      'If the server asks again, it is obeyed again.',
    );
  }
  const since = await resumeStream(prisma, key);
  const passes = since === null ? [] : await findDue(prisma, key);
  const isAsked = await ask(passes);
  if (since !== null) {
    const asked = isAsked
      ? `Asked for: ${passes.join(', ')}. A running daemon takes that up now; without one: leadmirror sync ${name}`
      : `The queue cannot be reached: the next tick of a running daemon does it; or now: leadmirror sync ${name}`;
    lines.push(
      `resumed; it was paused since ${since.toISOString()}`,
      passes.length === 0 ? 'Nothing had been left to do.' : asked,
    );
  }
  return {
    lines: lines.length === 0 ? ['was not paused; nothing was changed'] : lines,
    json: {
      was_paused_since: since,
      asked: isAsked ? passes : [],
      ...(until !== null && { lifted_wait_until: until }),
    },
  };
});

export const cancel = controlCommand(
  async ({ key, prisma, name }, { pass = null }: StreamOptions & { readonly pass?: Pass | null }) => {
    const ended = await cancelRuns(prisma, key, pass);
    return {
      lines:
        ended.length === 0 ? [`no ${pass ?? 'run'} is under way; nothing was changed`] : describeEnded(ended, name),
      json: { cancelled: ended.map(({ runId, pass, isAlive }) => ({ run: runId, pass, was_alive: isAlive })) },
    };
  },
);

function describeEnded(ended: readonly EndedRun[], name: string): string[] {
  const cancelled = `cancelled ${ended.map(nameOf).join(', ')}`;
  if (ended.every((run) => run.pass === 'verify')) return [cancelled];
  return [
    cancelled,
    'Progress is kept. A daemon goes on from it: with full syncs within a minute, else at the next tick.',
    `To keep it from that: leadmirror pause ${name}`,
  ];
}

function nameOf({ pass, runId, isAlive }: EndedRun): string {
  const gone = isAlive ? '' : '; its process did not report any more';
  return pass === 'verify' ? `verify${gone}` : `${pass} (run ${runId}${gone})`;
}

export const resync = controlCommand(async ({ key, prisma, name, ask }) => {
  const { ended, wasComplete, isPaused } = await resyncStream(prisma, key);
  const isAsked = !isPaused && (await ask(['backfill']));
  return {
    lines: [
      wasComplete
        ? 'to be read from zero again; rows are kept, and incremental passes go on'
        : 'its first full read was not complete: it begins from zero; rows are kept',
      ...ended.map(({ pass, runId }) => `Ended for it: ${pass} (run ${runId})`),
      whenItBegins(isPaused, isAsked, name),
    ],
    json: {
      ended: ended.map(({ runId, pass }) => ({ run: runId, pass })),
      was_complete: wasComplete,
      paused: isPaused,
      asked: isAsked ? ['backfill'] : [],
    },
  };
});

function whenItBegins(isPaused: boolean, isAsked: boolean, name: string): string {
  const byHand = `leadmirror sync ${name} --pass backfill`;
  if (isPaused) return `The stream is paused; the re-read begins after: leadmirror resume ${name}`;
  if (isAsked) return `A running daemon begins now; without one: ${byHand}`;
  return `The queue cannot be reached: a running daemon begins within a minute after it can; or now: ${byHand}`;
}

/** Lets the next full sync mark the deletions that the guard blocks, once. Changes nothing where none are blocked. */
export const acceptDeletions = controlCommand(async ({ key, prisma, name }) => {
  const blocked = await accept(prisma, key);
  if (blocked === null) {
    return {
      lines: ['the deletion guard blocks nothing, so there is nothing to accept; nothing was changed'],
      json: { accepted: false, blocked: null, valid_until: null },
    };
  }
  const { code, message, since, validUntil } = blocked;
  return {
    lines: [
      `accepted. Blocked since ${since.toISOString()}:`,
      `${code}: ${message}`,
      `The next full sync that begins before ${validUntil.toISOString()} may mark as deleted the rows that the upstream no longer has;`,
      `run it now with: leadmirror sync ${name} --pass reconcile`,
    ],
    json: { accepted: true, blocked: { code, message, since }, valid_until: validUntil },
  };
});
