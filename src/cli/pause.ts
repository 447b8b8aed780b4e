import { findDue } from '../../workers/unfinished.ts';
import { liftServerPause, pauseStream, resumeStream } from '../store/engine/control.ts';
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
