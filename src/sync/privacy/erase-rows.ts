import type { Clock } from '../../clock.ts';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { Logger } from '../../logger.ts';
import { changeRows, type RowChange } from '../../store/privacy/person-rows.ts';
import { withRetry } from '../../store/with-retry.ts';
import { type ErasurePlan, type RowsOfTarget, versionsOf } from './closure.ts';
import { keptColumns } from './rules.ts';

/** Deletes the texts in quarantine, and the ids that are noted where a record looked different. Returns how many texts. */
export async function removeRecords(
  prisma: PrismaClient,
  plan: Pick<ErasurePlan, 'quarantine' | 'rows'>,
): Promise<number> {
  const ids = plan.quarantine.map(BigInt);
  const { count } = await prisma.syncQuarantine.deleteMany({ where: { id: { in: ids } } });
  const named = plan.rows.map(({ id }) => id);
  for (const row of await prisma.syncSchemaDrift.findMany({ where: { record_ids: { hasSome: named } } })) {
    const { connection_id, stream, path, kind, record_ids } = row;
    const where = { connection_id_stream_path_kind: { connection_id, stream, path, kind } };
    await prisma.syncSchemaDrift.update({
      where,
      data: { record_ids: record_ids.filter((id) => !named.includes(id)) },
    });
  }
  return count;
}

const BATCH = 500;

interface ChangeParts {
  readonly prisma: PrismaClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Changes rows and their versions, some at a time. `note` gets how many of which table. */
export async function changeGroup(
  parts: ChangeParts,
  { connectionId, stream: { name, table }, rows }: RowsOfTarget,
  { change, note }: { readonly change: RowChange; readonly note?: (table: string, count: number) => unknown },
): Promise<void> {
  const { prisma, clock, logger, signal } = parts;
  const kept = keptColumns(table);
  for (let from = 0; from < rows.length; from += BATCH) {
    signal.throwIfAborted();
    const ids = rows.slice(from, from + BATCH).map(({ id }) => id);
    const work = () => changeRows(prisma, table, { connectionId, ids, change, kept });
    const changed = await withRetry({ clock, logger, stream: name, signal }, work);
    await note?.(name, changed.rows);
    await note?.(versionsOf(name), changed.versions);
  }
}
