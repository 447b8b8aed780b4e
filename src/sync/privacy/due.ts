import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../../store/database-time.ts';
import { type AgedRow, readReferring, selectAgedRows } from '../../store/privacy/due-rows.ts';
import type { RetentionRule, Stream } from '../../stream.ts';
import type { ErasureTarget } from './closure.ts';

export interface RetentionTarget extends ErasureTarget {
  readonly stream: Pick<Stream, 'name' | 'table' | 'mapRecord' | 'redactRecord' | 'dropTexts'>;
}

export interface DueParts {
  readonly prisma: PrismaClient;
  readonly targets: readonly RetentionTarget[];
  /** Whether a visit is a contact that came from the person. */
  readonly visitsCount: boolean;
  readonly signal: AbortSignal;
  /** Rows that are judged, and changed, at a time. */
  readonly batchSize?: number;
}

export interface DueBatch {
  readonly target: RetentionTarget;
  readonly rows: readonly AgedRow[];
  /** What is older has been kept for long enough. */
  readonly before: Date;
}

const BATCH = 500;

/** The rows that a rule is about and that have been kept for long enough, as they are when each batch is read. */
export async function* dueRows(parts: DueParts, rule: RetentionRule): AsyncGenerator<DueBatch> {
  const { prisma, targets, signal, batchSize: limit = BATCH } = parts;
  const before = await databaseNow(prisma, rule.after);
  for (const target of targets.filter(({ stream }) => stream.name === rule.stream)) {
    const { connectionId, stream } = target;
    const query = { connectionId, since: rule.since, before, limit };
    for await (const aged of selectAgedRows(prisma, stream.table, query)) {
      signal.throwIfAborted();
      const dated = rule.since === 'last_contact' ? await withContacts(parts, target, aged) : aged;
      const due = dated.filter(({ at }) => at < before);
      const rows = rule.do === 'texts' ? await withTexts(prisma, target, due) : due;
      if (rows.length > 0) yield { target, rows, before };
    }
  }
}

/** Those whose last contact is newer than what was old when their texts were removed. */
async function withTexts(prisma: PrismaClient, { connectionId, stream }: RetentionTarget, due: readonly AgedRow[]) {
  const where = {
    connection_id: connectionId,
    stream: stream.name,
    id: { in: due.map(({ id }) => id) },
    removed_at: { not: null },
  };
  const marks = await prisma.syncErasedText.findMany({ where, select: { id: true, until: true } });
  const removed = new Map(marks.map(({ id, until }) => [id, until.getTime()]));
  return due.filter(({ id, at }) => (removed.get(id) ?? Number.NEGATIVE_INFINITY) < at.getTime());
}

async function withContacts(parts: DueParts, target: RetentionTarget, rows: readonly AgedRow[]): Promise<AgedRow[]> {
  const newest = await newestContacts(parts, target, rows);
  return rows.map((row) => ({ ...row, at: new Date(Math.max(row.at.getTime(), newest.get(row.id) ?? 0)) }));
}

/** When each person last wrote or, where that counts, opened a link (ms); also through rows of the same person. */
async function newestContacts(
  parts: DueParts,
  { connectionId, stream: { name, table } }: RetentionTarget,
  rows: readonly Pick<AgedRow, 'id' | 'keys'>[],
): Promise<Map<string, number>> {
  const newest = new Map<string, number>();
  const owners = new Map(rows.flatMap(({ id, keys }) => [id, ...keys].map((key) => [key, id] as const)));
  const ids = [...owners.keys()];
  if (ids.length === 0) return newest;
  const note = (key: string, at: number) => {
    const id = owners.get(key) ?? key;
    newest.set(id, Math.max(newest.get(id) ?? 0, at));
  };
  for (const other of parts.targets) {
    const { schema, personal = {} } = other.stream.table;
    // Ids are those of one account; another product refers to them whatever the account.
    if (other.connectionId !== connectionId && schema === table.schema) continue;
    const { contact, refersTo = {}, isPerson = false } = personal;
    const own = { connectionId: other.connectionId, ids };
    if (contact !== undefined && refersTo[contact.by] === name && (parts.visitsCount || !contact.isVisit)) {
      const query = { ...own, path: contact.by, at: contact.at };
      for (const { of, at } of await readReferring(parts.prisma, other.stream.table, query))
        note(of, at?.getTime() ?? 0);
    }
    for (const [path, of] of isPerson ? Object.entries(refersTo) : []) {
      if (of !== name) continue;
      const referring = await readReferring(parts.prisma, other.stream.table, { ...own, path });
      const theirs = await newestContacts(
        parts,
        other,
        referring.map(({ id }) => ({ id, keys: [] })),
      );
      for (const one of referring) note(one.of, theirs.get(one.id) ?? 0);
    }
  }
  return newest;
}
