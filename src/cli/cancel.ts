import { cancelRuns, type EndedRun } from '../store/engine/control.ts';
import type { Pass } from '../stream.ts';
import { type Controlled, type ControlOptions, controlStreams } from './control.ts';

export interface CancelOptions extends ControlOptions {
  readonly pass?: Pass;
}

export async function cancel(word: string, options: CancelOptions): Promise<void> {
  await controlStreams(word, options, async ({ database, selected, wordFor }) => {
    const done: Controlled[] = [];
    for (const key of selected) {
      const ended = await cancelRuns(database.prisma, key, options.pass ?? null);
      const cancelled = ended.map(({ runId, pass, isAlive }) => ({ run: runId, pass, was_alive: isAlive }));
      done.push({ key, lines: describe(ended, options.pass ?? null, wordFor(key)), json: { cancelled } });
    }
    return done;
  });
}

function describe(ended: readonly EndedRun[], pass: Pass | null, word: string): string[] {
  if (ended.length === 0) return [`no ${pass ?? 'run'} is under way; nothing was changed`];
  const walks = ended.filter((run) => run.pass !== 'verify');
  const next =
    walks.length === 0
      ? []
      : [
          'Progress is kept. A daemon goes on from it: with full walks within a minute, else at the next tick.',
          `To keep it from that: leadmirror pause ${word}`,
        ];
  return [`cancelled ${ended.map(nameOf).join(', ')}`, ...next];
}

function nameOf({ pass, runId, isAlive }: EndedRun): string {
  const gone = isAlive ? '' : '; its process was not heard of any more';
  return pass === 'verify' ? `verify${gone}` : `${pass} (run ${runId}${gone})`;
}
