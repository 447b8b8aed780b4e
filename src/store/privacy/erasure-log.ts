import { randomUUID } from 'node:crypto';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../database-time.ts';
import { leaseOwner } from '../engine/leases.ts';
import type { Reader } from '../mirror/select-rows.ts';

/** Rows by table. */
export type Counts = Readonly<Record<string, number>>;

/** The sums, without tables of which there is nothing. */
export function addCounts(...all: readonly Counts[]): Counts {
  const sums: Record<string, number> = {};
  for (const [table, count] of all.flatMap(Object.entries)) if (count > 0) sums[table] = (sums[table] ?? 0) + count;
  return sums;
}

/**
 * Does the work and adds what it returns to the line of the erasure, in one transaction: what a stop undoes is not
 * counted, and what is counted was done. Null: nothing is counted.
 */
export function changeCounted(
  prisma: PrismaClient,
  erasure: string | null,
  work: (tx: Reader) => Promise<Counts>,
): Promise<Counts> {
  return prisma.$transaction(async (tx) => {
    const counts = addCounts(await work(tx));
    if (erasure === null || Object.keys(counts).length === 0) return counts;
    // Locks the line: of two that add at once one waits for the other.
    const line = await tx.syncErasure.update({ where: { id: erasure }, data: { ended_at: null } });
    const sums = addCounts(line.counts as Counts, counts);
    await tx.syncErasure.update({ where: { id: erasure }, data: { counts: sums } });
    return counts;
  });
}

/** The line of what is removed by age: that of a round that was stopped is continued. An erasure of a person has a plan. */
const openLine = (reason: string) => ({ reason, state: 'erasing', plan: null });

export async function openErasure(prisma: PrismaClient, reason: string): Promise<string> {
  const open = await prisma.syncErasure.findFirst({ where: openLine(reason) });
  if (open !== null) return open.id;
  const requested_at = await databaseNow(prisma);
  const data = { id: randomUUID(), ...openLine(reason), actor: leaseOwner, requested_at };
  return (await prisma.syncErasure.create({ data })).id;
}

export async function endErasure(prisma: PrismaClient, reason: string): Promise<void> {
  const ended_at = await databaseNow(prisma);
  await prisma.syncErasure.updateMany({ where: openLine(reason), data: { state: 'done', ended_at } });
}
