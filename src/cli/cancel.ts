import { cancelRuns, type EndedRun } from '../store/engine/control.ts';
import type { Pass } from '../stream.ts';
import type { StreamOptions } from './command.ts';
import { controlCommand } from './control.ts';

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
