import { databaseNow } from '../../store/database-time.ts';
import { type DerivedRow, readRecords, writeDerived } from '../../store/mirror/reproject.ts';
import type { Reader } from '../../store/mirror/select-rows.ts';
import { addCounts, type Counts, changeCounted } from '../../store/privacy/erasure-log.ts';
import { changeRows } from '../../store/privacy/person-rows.ts';
import { withRetry } from '../../store/with-retry.ts';
import { mapRecord } from '../map-page.ts';
import type { DueBatch } from './due.ts';
import { type ChangeParts, removeRecords } from './erase-rows.ts';
import { type ErasurePlan, rowsByTarget } from './erasure-plan.ts';
import { moveEpoch, RECORD_MS } from './record-erasure.ts';

/**
 * Removes what people wrote, and keeps the rows. In this order, so that a stop at any point leaves the rest due, and no
 * page brings a text back:
 *
 *   one transaction: marks, epoch ─> quarantine, rows from their own `raw` ─> marks of the rows that were due: removed
 *
 * A page that was prepared before the epoch moved is not written; a later one finds the marks.
 */
const CHUNK = 500;

interface ShortRecord {
  readonly id: string;
  readonly contentHash: string;
  readonly short: unknown;
}

/** The stored records that still have texts, without them: a chunk of a table at a time. */
async function* recordsWithTexts({ prisma, signal, targets }: ChangeParts, plan: ErasurePlan) {
  for (const { connectionId, stream, rows } of rowsByTarget(targets, plan.rows)) {
    const { dropTexts, table } = stream;
    if (dropTexts === undefined) continue;
    for (let from = 0; from < rows.length; from += CHUNK) {
      signal.throwIfAborted();
      const ids = rows.slice(from, from + CHUNK).map(({ id }) => id);
      const records: ShortRecord[] = [];
      for (const { id, content_hash: contentHash, raw } of await readRecords(prisma, table, { connectionId, ids })) {
        const record: unknown = JSON.parse(raw);
        const short = dropTexts(record);
        if (short !== record) records.push({ id, contentHash, short });
      }
      if (records.length > 0) yield { connectionId, stream, records };
    }
  }
}

/** How many rows of each table would lose texts. */
export async function findTexts(parts: ChangeParts, plan: ErasurePlan): Promise<Counts> {
  let counts: Counts = { 'sync.quarantine': plan.quarantine.length };
  for await (const { stream, records } of recordsWithTexts(parts, plan)) {
    counts = addCounts(counts, { [stream.name]: records.length });
  }
  return counts;
}

interface TextOptions {
  /** The line of `sync.erasures` that counts it. */
  readonly erasure: string;
  readonly onChanged: (counts: Counts) => void;
}

export async function removeTexts(
  parts: ChangeParts,
  { target, rows: due, before }: DueBatch,
  plan: ErasurePlan,
  { erasure, onChanged }: TextOptions,
): Promise<void> {
  const { prisma } = parts;
  await mark(parts, plan, before);
  onChanged(await removeRecords(prisma, plan, erasure));
  for await (const chunk of recordsWithTexts(parts, plan)) onChanged(await shorten(parts, chunk, erasure));
  const where = { connection_id: target.connectionId, stream: target.stream.name, id: { in: due.map(({ id }) => id) } };
  await prisma.syncErasedText.updateMany({ where, data: { removed_at: await databaseNow(prisma) } });
}

async function mark({ prisma }: ChangeParts, plan: ErasurePlan, until: Date): Promise<void> {
  const marks = plan.rows.flatMap(({ connectionId, stream, id, keys }) =>
    [id, ...keys].map((name) => ({ connection_id: connectionId, stream, id: name, until })),
  );
  await prisma.$transaction(
    async (tx) => {
      await moveEpoch(tx, [...new Set(marks.map(({ connection_id }) => connection_id))]);
      for (let from = 0; from < marks.length; from += CHUNK) {
        const some = marks.slice(from, from + CHUNK);
        await tx.syncErasedText.deleteMany({
          where: { OR: some.map(({ connection_id, stream, id }) => ({ connection_id, stream, id })) },
        });
        await tx.syncErasedText.createMany({ data: some, skipDuplicates: true });
      }
    },
    { timeout: RECORD_MS },
  );
}

type TextsOfTable = Pick<DueBatch['target'], 'connectionId' | 'stream'> & { readonly records: readonly ShortRecord[] };

/** A record that cannot be mapped any more is emptied: better without its numbers than with its texts. */
async function shorten(
  parts: ChangeParts,
  { connectionId, stream, records }: TextsOfTable,
  erasure: string,
): Promise<Counts> {
  const { prisma } = parts;
  const { name, table } = stream;
  const derived: DerivedRow[] = [];
  const ids: string[] = [];
  for (const { id, contentHash, short } of records) {
    const mapped = mapRecord(stream, short);
    if ('row' in mapped) derived.push({ row: mapped.row, contentHash });
    else ids.push(id);
  }
  const retry = <T>(work: () => Promise<T>) => withRetry({ ...parts, stream: name }, work);
  const write = async (tx: Reader) => ({ [name]: await writeDerived(tx, { connectionId, table }, derived) });
  const written = await retry(() => changeCounted(prisma, erasure, write));
  if (ids.length === 0) return written;
  const options = { connectionId, ids, change: 'empty' as const, erasure };
  return addCounts(written, await retry(() => changeRows(prisma, table, options)));
}
