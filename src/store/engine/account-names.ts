import type { PrismaClient } from '../../generated/prisma/client.ts';

/** Remembers what an account is called upstream. */
export async function keepAccountName(prisma: PrismaClient, connection_id: string, name: string): Promise<void> {
  const known = await prisma.syncAccountName.findUnique({ where: { connection_id } });
  if (known?.name === name) return;
  await prisma.syncAccountName.upsert({
    where: { connection_id },
    create: { connection_id, name },
    update: { name },
  });
}

/** Returns how people call each account: by its label, else by its own name. One that has neither is left out. */
export async function readLabels(
  prisma: PrismaClient,
  configured: readonly { readonly id: string; readonly label?: string }[] = [],
): Promise<ReadonlyMap<string, string>> {
  const own = await prisma.syncAccountName.findMany();
  return new Map([
    ...own.map(({ connection_id, name }) => [connection_id, name] as const),
    ...configured.flatMap(({ id, label }) => (label === undefined ? [] : [[id, label] as const])),
  ]);
}

/** `Shop Milano (tiledesk:…)`, or the id alone. */
export const titleOf = (id: string, label?: string | null): string => (label ? `${label} (${id})` : id);
