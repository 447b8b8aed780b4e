import { scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { type AuthCode, AuthError } from '../../errors.ts';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import { REFUSED_FOR_MS, type RefusalStore } from '../../stream.ts';
import { addMs, databaseNow } from '../database-time.ts';

const derive = promisify(scrypt) as (secret: string, salt: string, length: number) => Promise<Buffer>;

/** `credential` names the budget's row, and is no secret. */
export type RefusedCredential = { readonly credential: string; readonly secret: string };

/** Refusals of one credential in its budget's row. Of the secret only a slow digest is stored. */
export function createRefusalStore(prisma: PrismaClient, { credential, secret }: RefusedCredential): RefusalStore {
  let digest: Promise<string> | null = null;
  const digestOnce = () => {
    digest ??= derive(secret, credential, 32).then((bytes) => bytes.toString('base64url'));
    return digest;
  };
  return {
    async find() {
      const refused_at = { gt: addMs(await databaseNow(prisma), -REFUSED_FOR_MS) };
      const row = await prisma.syncBudget.findFirst({ where: { credential, refused_at } });
      if (row?.refused_at == null || row.refused_digest !== (await digestOnce())) return null;
      const nextTry = addMs(row.refused_at, REFUSED_FOR_MS).toISOString().slice(11, 16);
      return new AuthError(
        row.refused_code as AuthCode,
        `${row.refused_message ?? ''}. It was not sent again: the next try is at ${nextTry} UTC, or at once after a change of the configuration, or by: leadmirror check`,
      );
    },
    async takeRetry() {
      const digest = await digestOnce();
      const isNotTaken = [{ retried_digest: null }, { retried_digest: { not: digest } }];
      const { count } = await prisma.syncBudget.updateMany({
        where: { credential, refused_at: { not: null }, refused_digest: digest, OR: isNotTaken },
        data: { retried_digest: digest },
      });
      return count === 1;
    },
    async keep({ code, message }) {
      const refused = { refused_code: code, refused_message: message, refused_digest: await digestOnce() };
      await prisma.syncBudget.updateMany({
        where: { credential },
        data: { ...refused, refused_at: await databaseNow(prisma) },
      });
    },
    async clear() {
      const refused = { refused_at: null, refused_code: null, refused_message: null, refused_digest: null };
      await prisma.syncBudget.updateMany({
        where: { credential, refused_at: { not: null } },
        data: { ...refused, retried_digest: null },
      });
    },
  };
}
