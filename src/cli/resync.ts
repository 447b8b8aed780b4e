import { type Resynced, resyncStream } from '../store/engine/control.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import { askDaemon, type ControlOptions, controlStreams } from './control.ts';

export async function resync(word: string, options: ControlOptions): Promise<void> {
  await controlStreams(word, options, async (context) => {
    const { database, selected, wordFor } = context;
    const done: (Resynced & { readonly key: StreamKey })[] = [];
    for (const key of selected) done.push({ key, ...(await resyncStream(database.prisma, key)) });
    const wanted = done.filter(({ isPaused }) => !isPaused);
    const isAsked = await askDaemon(
      context,
      wanted.map(({ key }) => ({ ...key, pass: 'backfill' })),
    );
    return done.map(({ key, ...resynced }) => ({
      key,
      lines: describe(resynced, isAsked, wordFor(key)),
      json: {
        ended: resynced.ended.map(({ runId, pass }) => ({ run: runId, pass })),
        was_complete: resynced.wasComplete,
        paused: resynced.isPaused,
        asked: isAsked && !resynced.isPaused ? ['backfill'] : [],
      },
    }));
  });
}

function describe({ ended, wasComplete, isPaused }: Resynced, isAsked: boolean, word: string): string[] {
  return [
    wasComplete
      ? 'to be read from zero again; rows are kept, and incremental passes go on'
      : 'its first full read was not complete: it begins from zero; rows are kept',
    ...ended.map(({ pass, runId }) => `Ended for it: ${pass} (run ${runId})`),
    whenItBegins(isPaused, isAsked, word),
  ];
}

function whenItBegins(isPaused: boolean, isAsked: boolean, word: string): string {
  const byHand = `leadmirror sync ${word} --pass backfill`;
  if (isPaused) return `The stream is paused; the re-read begins after: leadmirror resume ${word}`;
  if (isAsked) return `A running daemon begins now; without one: ${byHand}`;
  return `The queue cannot be reached: a running daemon begins within a minute after it can; or now: ${byHand}`;
}
