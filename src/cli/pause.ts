import { pauseStream } from '../store/engine/control.ts';
import { type Controlled, type ControlOptions, controlStreams } from './control.ts';

export async function pause(word: string, options: ControlOptions): Promise<void> {
  await controlStreams(word, options, async ({ database, selected, wordFor }) => {
    const done: Controlled[] = [];
    for (const key of selected) {
      const { since, wasPaused, running } = await pauseStream(database.prisma, key);
      const first = wasPaused ? `was paused already, since ${since.toISOString()}` : 'paused';
      const ending =
        running.length === 0
          ? []
          : [`Under way: ${running.join(', ')}. That ends at its page within 5 seconds; progress is kept.`];
      done.push({
        key,
        lines: [first, ...ending, `Take it up again with: leadmirror resume ${wordFor(key)}`],
        json: { paused_at: since, was_paused: wasPaused, running },
      });
    }
    return done;
  });
}
