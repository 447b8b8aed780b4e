import { acceptDeletions as accept } from '../store/engine/deletions.ts';
import type { CommandProcess, StreamOptions } from './command.ts';
import { controlStreams } from './control.ts';

/** A person's decision, once: the next full walk may mark what the brake holds back. Where it does not hold, nothing is changed. */
export async function acceptDeletions(streams: string, options: StreamOptions, proc: CommandProcess): Promise<void> {
  await controlStreams(streams, { ...options, proc }, async ({ key, prisma, name }) => {
    const blocked = await accept(prisma, key);
    if (blocked === null) {
      return {
        lines: ['the deletion brake does not hold, so there is nothing to accept; nothing was changed'],
        json: { accepted: false, blocked: null, valid_until: null },
      };
    }
    const { code, message, since, validUntil } = blocked;
    return {
      lines: [
        `accepted. Held back since ${since.toISOString()}:`,
        `${code}: ${message}`,
        `The next full walk that begins before ${validUntil.toISOString()} may mark as deleted whatever the upstream does not have any more;`,
        `run it now with: leadmirror sync ${name} --pass reconcile`,
      ],
      json: { accepted: true, blocked: { code, message, since }, valid_until: validUntil },
    };
  });
}
