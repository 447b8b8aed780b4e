import type { Clock } from '../../clock.ts';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Logger } from '../../logger.ts';
import { type Counts, changeCounted } from '../../store/privacy/erasure-log.ts';
import { changeRows, type RowChange } from '../../store/privacy/person-rows.ts';
import { withRetry } from '../../store/with-retry.ts';
import { type ErasurePlan, type ErasureTarget, type PlannedRow, rowsByTarget } from './erasure-plan.ts';

/** Deletes the texts in quarantine, and the ids that are noted where a record looked different. Counts the texts. */
export function removeRecords(prisma: PrismaClient, plan: ErasurePlan, erasure: string): Promise<Counts> {
  const ids = plan.quarantine.map(BigInt);
  const named = plan.rows.map(({ id }) => id);
  return changeCounted(prisma, erasure, async (tx) => {
    const { count } = await tx.syncQuarantine.deleteMany({ where: { id: { in: ids } } });
    for (const row of await tx.syncSchemaDrift.findMany({ where: { record_ids: { hasSome: named } } })) {
      const { record_ids, connection_id, stream, path, kind } = row;
      const where = { connection_id_stream_path_kind: { connection_id, stream, path, kind } };
      const others = record_ids.filter((id) => !named.includes(id));
      await tx.syncSchemaDrift.update({ where, data: { record_ids: others } });
    }
    return { 'sync.quarantine': count };
  });
}

const BATCH = 500;

export interface ChangeParts {
  readonly prisma: PrismaClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly targets: readonly ErasureTarget[];
}

interface ChangeOptions {
  readonly change: RowChange;
  /** The line of `sync.erasures` that counts it. */
  readonly erasure?: string;
  readonly onChanged?: (counts: Counts) => void;
}

/**
 * Changes rows and their versions, some at a time: what refers to a row before the row, so that it is still found by
 * what continues after a stop.
 */
export async function changePlanned(
  { targets, ...parts }: ChangeParts,
  rows: readonly PlannedRow[],
  { change, erasure, onChanged }: ChangeOptions,
): Promise<void> {
  const depth = new Map(targets.map(({ stream: { name } }) => [name, depthOf(targets, name)]));
  const groups = rowsByTarget(targets, rows);
  groups.sort((a, b) => (depth.get(b.stream.name) ?? 0) - (depth.get(a.stream.name) ?? 0));
  for (const { connectionId, stream, rows: own } of groups) {
    for (let from = 0; from < own.length; from += BATCH) {
      parts.signal.throwIfAborted();
      const ids = own.slice(from, from + BATCH).map(({ id }) => id);
      const work = () => changeRows(parts.prisma, stream.table, { connectionId, ids, change, erasure });
      const counts = await withRetry({ ...parts, stream: stream.name }, work);
      onChanged?.(counts);
    }
  }
}

/** What refers to a stream is deeper than it. */
function depthOf(targets: readonly ErasureTarget[], name: string, seen: readonly string[] = []): number {
  const refersTo = targets.find(({ stream }) => stream.name === name)?.stream.table.personal?.refersTo ?? {};
  const parents = [...new Set(Object.values(refersTo))].filter((parent) => !seen.includes(parent));
  return Math.max(0, ...parents.map((parent) => 1 + depthOf(targets, parent, [...seen, name])));
}
