import type { Clock } from '../../clock.ts';
import type { Logger } from '../../logger.ts';
import { databaseNow } from '../../store/database-time.ts';
import { type DerivedRow, readRecords, writeDerived } from '../../store/mirror/reproject.ts';
import { changeRows } from '../../store/privacy/person-rows.ts';
import { withRetry } from '../../store/with-retry.ts';
import type { Stream } from '../../stream.ts';
import { mapRecord } from '../map-page.ts';
import { type Counts, type ErasurePlan, type PlannedRow, rowsByTarget } from './closure.ts';
import type { DueBatch, DueParts } from './due.ts';
import { removeRecords } from './erase-rows.ts';
import { moveEpoch } from './record-erasure.ts';
import { keptColumns } from './rules.ts';

/**
 * Removes what people wrote, and keeps the rows. In this order, so that a stop at any point leaves the rest due, and no
 * page brings a text back:
 *
 *   one transaction: marks, epoch ─> quarantine, rows from their own `raw` ─> marks of the rows that were due: removed
 *
 * A page that was prepared before the epoch moved is not written; a later one finds the marks.
 */
type TextParts = DueParts & { readonly clock: Clock; readonly logger: Logger };
type Writer = Stream & { readonly dropTexts: NonNullable<Stream['dropTexts']> };

interface TextsOfTable {
  readonly connectionId: string;
  readonly stream: Writer;
  readonly rows: readonly PlannedRow[];
}

const tablesWithTexts = ({ targets }: DueParts, plan: ErasurePlan): TextsOfTable[] =>
  rowsByTarget(targets, plan.rows).flatMap(({ connectionId, stream, rows }) =>
    'dropTexts' in stream ? [{ connectionId, stream: stream as Writer, rows }] : [],
  );

const CHUNK = 500;

/** Records of a table that still have texts, a chunk at a time. */
async function* recordsWithTexts({ prisma, signal }: DueParts, { connectionId, stream, rows }: TextsOfTable) {
  for (let from = 0; from < rows.length; from += CHUNK) {
    signal.throwIfAborted();
    const ids = rows.slice(from, from + CHUNK).map(({ id }) => id);
    const records = await readRecords(prisma, stream.table, { connectionId, ids });
    yield records.flatMap(({ id, content_hash: contentHash, raw }) => {
      const record: unknown = JSON.parse(raw);
      const short = stream.dropTexts(record);
      return short === record ? [] : [{ id, contentHash, short }];
    });
  }
}

/** How many rows of each table would lose texts. */
export async function findTexts(parts: DueParts, plan: ErasurePlan): Promise<Counts> {
  const counts: Record<string, number> = {};
  for (const table of tablesWithTexts(parts, plan)) {
    for await (const records of recordsWithTexts(parts, table)) {
      if (records.length > 0) counts[table.stream.name] = (counts[table.stream.name] ?? 0) + records.length;
    }
  }
  if (plan.quarantine.length > 0) counts['sync.quarantine'] = plan.quarantine.length;
  return counts;
}

/** `note` gets what went, table by table. */
export async function removeTexts(
  parts: TextParts,
  { target, rows: due, before }: DueBatch,
  plan: ErasurePlan,
  note: (table: string, count: number) => Promise<void>,
): Promise<void> {
  const { prisma } = parts;
  await mark(parts, plan, before);
  await note('sync.quarantine', await removeRecords(prisma, plan));
  for (const table of tablesWithTexts(parts, plan)) {
    const { name } = table.stream;
    for await (const records of recordsWithTexts(parts, table)) {
      await note(name, await shorten(parts, table, records));
    }
  }
  const where = { connection_id: target.connectionId, stream: target.stream.name, id: { in: due.map(({ id }) => id) } };
  await prisma.syncErasedText.updateMany({ where, data: { removed_at: await databaseNow(prisma) } });
}

async function mark({ prisma }: TextParts, plan: ErasurePlan, until: Date): Promise<void> {
  await prisma.$transaction(
    async (tx) => {
      const { epoch } = await moveEpoch(tx);
      const marks = plan.rows.flatMap(({ connectionId, stream, id, keys }) =>
        [id, ...keys].map((name) => ({ connection_id: connectionId, stream, id: name, until })),
      );
      for (let from = 0; from < marks.length; from += CHUNK) {
        const some = marks.slice(from, from + CHUNK);
        await tx.syncErasedText.deleteMany({
          where: { OR: some.map(({ connection_id, stream, id }) => ({ connection_id, stream, id })) },
        });
        await tx.syncErasedText.createMany({ data: some, skipDuplicates: true });
      }
      const connections = [...new Set(marks.map(({ connection_id }) => connection_id))];
      await tx.syncCheckpoint.updateMany({
        where: { connection_id: { in: connections } },
        data: { privacy_epoch: epoch },
      });
    },
    { timeout: 120_000 },
  );
}

interface ShortRecord {
  readonly id: string;
  readonly contentHash: string;
  readonly short: unknown;
}

/** A record that cannot be mapped any more is emptied: better without its numbers than with its texts. */
async function shorten(
  parts: TextParts,
  { connectionId, stream }: TextsOfTable,
  records: readonly ShortRecord[],
): Promise<number> {
  const { prisma } = parts;
  const { table } = stream;
  const mapped = records.map((record) => ({ record, result: mapRecord(stream, record.short) }));
  const derived = mapped.flatMap(({ record: { contentHash }, result }): DerivedRow[] =>
    'row' in result ? [{ row: result.row, contentHash }] : [],
  );
  const bad = mapped.flatMap(({ record, result }) => ('bad' in result ? [record.id] : []));
  const work = { ...parts, stream: stream.name };
  const written = await withRetry(work, () => writeDerived(prisma, { connectionId, table }, derived));
  if (bad.length === 0) return written;
  const options = { connectionId, ids: bad, change: 'empty' as const, kept: keptColumns(table) };
  return written + (await withRetry(work, () => changeRows(prisma, table, options))).rows;
}
