import type { PrismaClient } from '../../generated/prisma/client.ts';

/** Ends a session for every replica of the status page, and deletes those that have expired. */
export async function endSession(prisma: PrismaClient, session: { readonly id: string; readonly expiresAt: Date }) {
  await prisma.syncEndedSession.deleteMany({ where: { expires_at: { lt: new Date() } } });
  await prisma.syncEndedSession.createMany({
    data: [{ id: session.id, expires_at: session.expiresAt }],
    skipDuplicates: true,
  });
}

export async function readEndedSessions(prisma: PrismaClient): Promise<ReadonlySet<string>> {
  const rows = await prisma.syncEndedSession.findMany({ select: { id: true } });
  return new Set(rows.map(({ id }) => id));
}
