import { readProgress, seedIncremental, type Watermarks } from '../store/engine/leases.ts';
import { learnCapabilities, noteOnStream, readCapabilities } from '../store/engine/streams.ts';
import { followMirrored, readIdsWhere, readMirroredIds } from '../store/mirror/mirrored.ts';
import { countSeenIds, deleteSeenIds } from '../store/mirror/seen-ids.ts';
import type { CountedList, List, Pass, PlanContext } from '../stream.ts';
import { decodeCursor, type PassCursor } from './cursor.ts';
import type { Run } from './run-pass.ts';
import { advanceWatermark, seedWatermark, stopBefore } from './watermark.ts';

export async function planLists(run: Run, pass: Pass = run.job.pass): Promise<readonly List[]> {
  const { stream } = run.job;
  const { prisma } = run.parts;
  let notice: string | null | undefined;
  const lists = await stream.planLists(
    await contextOf(run, pass, (text) => {
      notice = text;
    }),
  );
  if (notice !== undefined) await noteOnStream(prisma, keyOf(run), notice);
  return lists;
}

/** What the upstream of the run's stream counts; empty: nothing that can be used. */
export const planCounts = async (run: Run): Promise<readonly CountedList[]> =>
  (await run.job.stream.counts?.(await contextOf(run, 'count', () => {}))) ?? [];

const keyOf = ({ lease, job }: Run) => ({ connectionId: lease.connectionId, stream: job.stream.name });

async function contextOf(run: Run, pass: Pass, notice: PlanContext['notice']): Promise<PlanContext> {
  const { stream } = run.job;
  const { prisma, lookbackMs } = run.parts;
  const { connectionId } = run.lease;
  const key = keyOf(run);
  return {
    pass,
    capabilities: await readCapabilities(prisma, key),
    learn: (facts) => learnCapabilities(prisma, key, facts),
    stopBefore: (listId) => (pass === 'incremental' ? stopBefore(run, listId, lookbackMs) : null),
    watermark: (listId) => {
      const at = run.watermark?.[listId];
      return at === undefined ? null : Date.parse(at);
    },
    mirroredIds: (of, limit) => readMirroredIds(prisma, { connectionId, stream: of }, limit),
    follow: (of) => followMirrored(prisma, { connectionId, stream: of }),
    ownIds: (column, values) => readIdsWhere(prisma, { connectionId, table: stream.table }, { column, values }),
    notice,
    fetch: run.fetch,
  };
}

/** One question per list before the first full read: the incremental passes find what changes meanwhile. */
export async function seedWatermarks(run: Run, lists: readonly List[]): Promise<void> {
  const { prisma } = run.parts;
  if ((await readProgress(prisma, run.lease, 'incremental')).watermark !== null) return;
  let watermark: Watermarks = {};
  let walkedAt: Watermarks = {};
  for (const list of lists) {
    if (list.fetchNewestChange === undefined) continue;
    const { newest, serverTime } = await list.fetchNewestChange(run.fetch);
    watermark = advanceWatermark(watermark, list.id, seedWatermark(newest, serverTime));
    // What is there now is read by the full sync that follows.
    walkedAt = advanceWatermark(walkedAt, list.id, serverTime);
  }
  await seedIncremental(prisma, run.lease, { watermark, walkedAt });
}

export const remembers = (lists: readonly List[]): boolean => lists.some(({ walk }) => walk.memory === 'walk');

/** Returns where to go on; null: the beginning. The number of kept ids must match the cursor (a restored backup). */
export async function findCursor(run: Run, lists: readonly List[]): Promise<PassCursor | null> {
  const { prisma } = run.parts;
  const cursor = decodeCursor(run.lease.checkpoint.cursor);
  if (!remembers(lists) && !run.findsDeletions) return cursor;
  const name = cursor?.listId.replace(/^again\./, '');
  const walk = lists.find(({ id }) => id === name)?.walk;
  const isSame = walk === undefined ? cursor?.kind === 'suspects' : walk.kind === cursor?.kind;
  if (cursor !== null && isSame) {
    const expected = walk?.memorized?.(cursor.walk);
    if (expected === undefined || expected === (await countSeenIds(prisma, run.lease, cursor.listId))) return cursor;
  }
  await deleteSeenIds(prisma, run.lease);
  return null;
}
