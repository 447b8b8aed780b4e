import { acceptDeletions as accept } from '../store/engine/deletions.ts';
import type { CommandProcess, StreamOptions } from './command.ts';
import { controlStreams } from './control.ts';

/** A person's decision, once: the next full walk may mark what the brake holds back. Where it does not hold, nothing is changed. */
export async function acceptDeletions(streams: string, options: StreamOptions, proc: CommandProcess): Promise<void> {
  await controlStreams(streams, { ...options, proc }, async ({ key, prisma, word }) => {
    const held = await accept(prisma, key);
    if (held === null) {
      return {
        lines: ['the deletion brake does not hold, so there is nothing to accept; nothing was changed'],
        json: { accepted: false, held: null, valid_until: null },
      };
    }
    const { code, message, since, validUntil } = held;
    return {
      lines: [
        `accepted. Held back since ${since.toISOString()}:`,
        `${code}: ${message}`,
        `The next full walk that begins before ${validUntil.toISOString()} may mark as deleted whatever the upstream does not have any more;`,
        `run it now with: leadmirror sync ${word} --pass reconcile`,
      ],
      json: { accepted: true, held: { code, message, since }, valid_until: validUntil },
    };
  });
}
