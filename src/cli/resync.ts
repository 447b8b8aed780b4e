import { resyncStream } from '../store/engine/control.ts';
import { controlCommand } from './control.ts';

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
