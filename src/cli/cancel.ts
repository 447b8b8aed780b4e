import { cancelRuns, type EndedRun } from '../store/engine/control.ts';
import type { Pass } from '../stream.ts';
import type { CommandProcess, StreamOptions } from './command.ts';
import { controlStreams } from './control.ts';

export async function cancel(
  streams: string,
  options: StreamOptions & { readonly pass?: Pass },
  proc: CommandProcess,
): Promise<void> {
  const { pass = null } = options;
  await controlStreams(streams, { ...options, proc }, async ({ key, prisma, name }) => {
    const ended = await cancelRuns(prisma, key, pass);
    return {
      lines:
        ended.length === 0 ? [`no ${pass ?? 'run'} is under way; nothing was changed`] : describeEnded(ended, name),
      json: { cancelled: ended.map(({ runId, pass, isAlive }) => ({ run: runId, pass, was_alive: isAlive })) },
    };
  });
}

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
