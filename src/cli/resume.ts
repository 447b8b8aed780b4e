import { findDue } from '../../workers/unfinished.ts';
import { liftServerPause, resumeStream } from '../store/engine/control.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import type { QueuedPass } from '../stream.ts';
import { askDaemon, type ControlOptions, controlStreams } from './control.ts';

export async function resume(word: string, options: ControlOptions): Promise<void> {
  await controlStreams(word, options, async (context) => {
    const { database, selected, wordFor } = context;
    const resumed: { key: StreamKey; since: Date | null }[] = [];
    const lifted = new Map<StreamKey, Date>();
    for (const key of selected) {
      const until = await liftServerPause(database.prisma, key);
      if (until !== null) lifted.set(key, until);
      resumed.push({ key, since: await resumeStream(database.prisma, key) });
    }
    const due = new Map<StreamKey, QueuedPass[]>();
    for (const { key, since } of resumed) due.set(key, since === null ? [] : await findDue(database.prisma, key));
    const wanted = [...due].flatMap(([key, passes]) => passes.map((pass) => ({ ...key, pass })));
    const isAsked = await askDaemon(context, wanted);
    return resumed.map(({ key, since }) => {
      const passes = due.get(key) ?? [];
      const until = lifted.get(key);
      const own = since === null ? 'was not paused' : null;
      if (until !== undefined) {
        const lines = [
          `the wait that the server asked for, until ${until.toISOString()}, is lifted for all streams of this account`,
          'If the server asks again, it is obeyed again.',
          ...(own === null ? describe(since as Date, passes, isAsked, wordFor(key)) : []),
        ];
        return {
          key,
          lines,
          json: { was_paused_since: since, asked: isAsked ? passes : [], lifted_wait_until: until },
        };
      }
      return {
        key,
        lines:
          since === null ? ['was not paused; nothing was changed'] : describe(since, passes, isAsked, wordFor(key)),
        json: { was_paused_since: since, asked: isAsked ? passes : [] },
      };
    });
  });
}

function describe(since: Date, passes: readonly QueuedPass[], isAsked: boolean, word: string): string[] {
  const resumed = `resumed; it was paused since ${since.toISOString()}`;
  if (passes.length === 0) return [resumed, 'Nothing had been left to do.'];
  return [
    resumed,
    isAsked
      ? `Asked for: ${passes.join(', ')}. A running daemon takes that up now; without one: leadmirror sync ${word}`
      : `The queue cannot be reached: the next tick of a running daemon does it; or now: leadmirror sync ${word}`,
  ];
}
