import { acceptDeletions as accept } from '../store/engine/deletions.ts';
import { controlCommand } from './control.ts';

/** Lets the next full sync mark the deletions that the guard blocks, once. Changes nothing where none are blocked. */
export const acceptDeletions = controlCommand(async ({ key, prisma, name }) => {
  const blocked = await accept(prisma, key);
  if (blocked === null) {
    return {
      lines: ['the deletion guard blocks nothing, so there is nothing to accept; nothing was changed'],
      json: { accepted: false, blocked: null, valid_until: null },
    };
  }
  const { code, message, since, validUntil } = blocked;
  return {
    lines: [
      `accepted. Blocked since ${since.toISOString()}:`,
      `${code}: ${message}`,
      `The next full sync that begins before ${validUntil.toISOString()} may mark as deleted the rows that the upstream no longer has;`,
      `run it now with: leadmirror sync ${name} --pass reconcile`,
    ],
    json: { accepted: true, blocked: { code, message, since }, valid_until: validUntil },
  };
});
