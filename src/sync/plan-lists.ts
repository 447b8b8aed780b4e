import { learnCapabilities, noteOnStream, readCapabilities } from '../store/engine/streams.ts';
import { followMirrored, readIdsWhere, readMirroredIds } from '../store/mirror/mirrored.ts';
import type { Capabilities, List, Pass } from '../stream.ts';
import type { Run } from './run.ts';
import { stopBefore } from './watermark.ts';

/** The lists of the run's stream, laid out for a pass with what is known of the server. */
export async function planLists(run: Run, pass: Pass = run.job.pass): Promise<readonly List[]> {
  const { stream } = run.job;
  const { prisma, lookbackMs } = run.parts;
  const key = { connectionId: run.lease.connectionId, stream: stream.name };
  const capabilities = await readCapabilities(prisma, key);
  let notice: string | null | undefined;
  const lists = await stream.planLists({
    pass,
    capabilities,
    learn: (facts: Capabilities) => learnCapabilities(prisma, key, facts),
    stopBefore: (listId) => (pass === 'incremental' ? stopBefore(run, listId, lookbackMs) : null),
    watermark: (listId) => {
      const at = run.watermark?.[listId];
      return at === undefined ? null : Date.parse(at);
    },
    mirroredIds: (of, limit) => readMirroredIds(prisma, { connectionId: key.connectionId, stream: of }, limit),
    follow: (of) => followMirrored(prisma, { connectionId: key.connectionId, stream: of }),
    ownIds: (column, values) =>
      readIdsWhere(prisma, { connectionId: key.connectionId, table: stream.table }, { column, values }),
    notice: (text) => {
      notice = text;
    },
    fetch: run.fetch,
  });
  if (notice !== undefined) await noteOnStream(prisma, key, notice);
  return lists;
}
