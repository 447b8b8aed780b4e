import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { ListWindow } from '../../stream.ts';
import { addMs, databaseNow } from '../database-time.ts';
import { columnsOf, type StreamKey } from './streams.ts';

/** Rows that a list counts and does not show. Without a window: somewhere in the list, or without a date. */
export interface CountOffset {
  readonly list: string;
  readonly window: ListWindow | null;
  readonly rows: number;
  /** Negative: rows of erased persons that the mirror holds emptied and the upstream counts no more. Absent: none. */
  readonly erased?: number;
}

export const differenceOf = ({ rows, erased = 0 }: CountOffset): number => rows + erased;

export const sumOfOffsets = (offsets: readonly CountOffset[]): number =>
  offsets.reduce((sum, offset) => sum + differenceOf(offset), 0);

export interface CountKnowledge {
  /** Valid until the next full sync. */
  readonly offsets: readonly CountOffset[];
  /** The difference for which a full sync was needed, when one came to a clean end since; null: none did. */
  readonly unexplained: number | null;
  /** When those rows of erased persons were created that the upstream was seen to have and the mirror leaves out. */
  readonly leftOut: readonly number[];
  /** What was expected until a full sync that came to a clean end; null: nothing, or none did. */
  readonly expired: number | null;
  readonly isRefused: boolean;
}

const where = (key: StreamKey) => ({ connection_id_stream: columnsOf(key) });

export async function readCountKnowledge(prisma: PrismaClient, key: StreamKey): Promise<CountKnowledge> {
  const found = await prisma.syncCountCheck.findUnique({ where: where(key) });
  if (found === null) return { offsets: [], leftOut: [], unexplained: null, expired: null, isRefused: false };
  const pass = { ...columnsOf(key), pass: 'reconcile' };
  const checkpoint = await prisma.syncCheckpoint.findUnique({ where: { connection_id_stream_pass: pass } });
  const last = await prisma.syncRun.findFirst({ where: { ...pass, ended_at: { not: null } }, orderBy: { id: 'desc' } });
  const isAfter = (at: Date | null) => at !== null && (checkpoint?.completed_at ?? at) > at;
  const { offsets_at, unexplained, unexplained_at, refused_until } = found;
  const offsets = found.offsets as unknown as CountOffset[];
  const isClean = last?.outcome === 'succeeded';
  return {
    offsets: isAfter(offsets_at) ? [] : offsets,
    leftOut: found.left_out as number[],
    unexplained: isClean && isAfter(unexplained_at) ? Number(unexplained) : null,
    expired: isClean && isAfter(offsets_at) ? sumOfOffsets(offsets) : null,
    isRefused: refused_until !== null && refused_until > (await databaseNow(prisma)),
  };
}

async function store(
  prisma: PrismaClient,
  key: StreamKey,
  data: Parameters<PrismaClient['syncCountCheck']['update']>[0]['data'] & object,
): Promise<void> {
  await prisma.syncCountCheck.createMany({ data: [columnsOf(key)], skipDuplicates: true });
  await prisma.syncCountCheck.update({ where: where(key), data });
}

export async function noteUnexplained(prisma: PrismaClient, key: StreamKey, unexplained: number): Promise<void> {
  await store(prisma, key, { unexplained, unexplained_at: await databaseNow(prisma) });
}

/** What a clean full sync did not explain either is expected from now on; what differs later needs another one. */
export async function keepOffsets(prisma: PrismaClient, key: StreamKey, offsets: readonly CountOffset[]) {
  const data = { offsets: JSON.parse(JSON.stringify(offsets)), offsets_at: await databaseNow(prisma) };
  await store(prisma, key, { ...data, unexplained: null, unexplained_at: null });
}

export async function keepLeftOut(prisma: PrismaClient, key: StreamKey, leftOut: readonly number[]): Promise<void> {
  const line = await prisma.syncCountCheck.findUnique({ where: where(key) });
  if (leftOut.length > 0 || line !== null) await store(prisma, key, { left_out: [...leftOut] });
}

/** The counts agree, nothing being expected beyond the rows. */
export async function clearUnexplained(prisma: PrismaClient, key: StreamKey): Promise<void> {
  const data = { unexplained: null, unexplained_at: null, offsets: [], offsets_at: null };
  await prisma.syncCountCheck.updateMany({ where: columnsOf(key), data });
}

const REFUSED_FOR_MS = 7 * 86_400_000;

/** A count was wrong: none is used for a week. */
export async function refuseCounts(prisma: PrismaClient, key: StreamKey): Promise<void> {
  await store(prisma, key, { refused_until: addMs(await databaseNow(prisma), REFUSED_FOR_MS) });
}

/** A tenth of what the account's budget allows in an hour. */
export async function readTenthOfBudget(prisma: PrismaClient, credential: string): Promise<number> {
  const budget = await prisma.syncBudget.findUnique({ where: { credential } });
  return budget === null ? Number.POSITIVE_INFINITY : Math.floor(360_000 / budget.spacing_ms);
}

/** How long ago the stream was last read whole (null: never), by how many requests, and whether that is under way. */
export async function readFullSync(prisma: PrismaClient, key: StreamKey) {
  const rows = await prisma.syncCheckpoint.findMany({
    where: { ...columnsOf(key), pass: { in: ['backfill', 'reconcile'] } },
  });
  const times = rows.flatMap(({ completed_at }) => completed_at?.getTime() ?? []);
  const now = await databaseNow(prisma);
  const last = await prisma.syncRun.findFirst({
    where: { ...columnsOf(key), pass: { in: ['backfill', 'reconcile'] }, outcome: { in: ['succeeded', 'partial'] } },
    orderBy: { id: 'desc' },
  });
  return {
    requests: last?.requests ?? 0,
    ageMs: times.length === 0 ? null : now.getTime() - Math.max(...times),
    isUnfinished: rows.some(({ pass, cursor }) => pass === 'reconcile' && cursor !== null),
  };
}
