import { findUnfinished } from '../../workers/unfinished.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { resumeStream } from '../store/control.ts';
import type { StreamKey } from '../store/streams.ts';
import { readWatermark } from '../store/watermarks.ts';
import type { QueuedPass } from '../stream.ts';
import { askDaemon, type ControlOptions, controlStreams, isSameStream } from './control.ts';

export async function resume(word: string, options: ControlOptions): Promise<void> {
  await controlStreams(word, options, async (context) => {
    const { database, selected, wordFor } = context;
    const resumed: { key: StreamKey; since: Date | null }[] = [];
    for (const key of selected) resumed.push({ key, since: await resumeStream(database.prisma, key) });
    const due = new Map<StreamKey, QueuedPass[]>();
    for (const { key, since } of resumed) due.set(key, since === null ? [] : await findDue(database.prisma, key));
    const wanted = [...due].flatMap(([key, passes]) => passes.map((pass) => ({ ...key, pass })));
    const isAsked = await askDaemon(context, wanted);
    return resumed.map(({ key, since }) => {
      const passes = due.get(key) ?? [];
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

/** What changed while the stream rested, and a full walk that stopped half way; without its first full read, only that. */
export async function findDue(prisma: PrismaClient, key: StreamKey): Promise<QueuedPass[]> {
  const unfinished = (await findUnfinished(prisma)).filter(({ connection, stream }) =>
    isSameStream(key, { connectionId: connection, stream }),
  );
  const hasWatermark = (await readWatermark(prisma, key, 'incremental')) !== null;
  return [...(hasWatermark ? (['incremental'] as const) : []), ...unfinished.map(({ pass }) => pass)];
}
