import type { PrismaClient } from '../../generated/prisma/client.ts';
import { databaseNow } from '../../store/database-time.ts';
import { selectBatches, selectRows } from '../../store/mirror/select-rows.ts';
import type { RetentionRule } from '../../stream.ts';
import type { ErasureTarget } from './erasure-plan.ts';

export interface DueParts {
  readonly prisma: PrismaClient;
  readonly targets: readonly ErasureTarget[];
  /** Whether a visit is a contact that came from the person. */
  readonly visitsCount: boolean;
  readonly signal: AbortSignal;
  /** Rows that are judged, and changed, at a time. */
  readonly batchSize?: number;
}

/** A row with the time that a rule counts from, as far as the row itself knows it. */
interface AgedRow {
  readonly id: string;
  readonly keys: readonly string[];
  readonly at: Date;
}

export interface DueBatch {
  readonly target: ErasureTarget;
  readonly rows: readonly AgedRow[];
  /** What is older has been kept for long enough. */
  readonly before: Date;
}

const BATCH = 500;

const TIMES: Readonly<Record<RetentionRule['since'], string>> = {
  created: 'created_at',
  closed: 'closed_at',
  deleted_upstream: 'deleted_at',
  last_contact: 'created_at',
};

/** The rows that a rule is about and that have been kept for long enough, as they are when each batch is read. */
export async function* dueRows(parts: DueParts, rule: RetentionRule): AsyncGenerator<DueBatch> {
  const { prisma, targets, signal, batchSize: limit = BATCH } = parts;
  const before = await databaseNow(prisma, rule.after);
  const at = TIMES[rule.since];
  for (const target of targets.filter(({ stream }) => stream.name === rule.stream)) {
    const { connectionId, stream } = target;
    const select = { id: 'id', keys: { texts: stream.table.personal?.keys ?? [] }, at };
    // A row without that time has no age.
    const where = { connection_id: connectionId, erased_at: null, [at]: { lt: before } };
    for await (const aged of selectBatches<AgedRow>(prisma, stream.table, { select, where, limit })) {
      signal.throwIfAborted();
      const newest = rule.since === 'last_contact' ? await newestContacts(parts, target, aged) : new Map();
      const dated = aged.map((row) => ({ ...row, at: new Date(Math.max(row.at.getTime(), newest.get(row.id) ?? 0)) }));
      const due = dated.filter((row) => row.at < before);
      const rows = rule.do === 'texts' ? await withTexts(prisma, target, due) : due;
      if (rows.length > 0) yield { target, rows, before };
    }
  }
}

/** Those whose last contact is newer than what was old when their texts were removed. */
async function withTexts(prisma: PrismaClient, { connectionId, stream }: ErasureTarget, due: readonly AgedRow[]) {
  const named = { connection_id: connectionId, stream: stream.name, id: { in: due.map(({ id }) => id) } };
  const where = { ...named, removed_at: { not: null } };
  const marks = await prisma.syncErasedText.findMany({ where, select: { id: true, until: true } });
  const removed = new Map(marks.map(({ id, until }) => [id, until.getTime()]));
  return due.filter(({ id, at }) => (removed.get(id) ?? Number.NEGATIVE_INFINITY) < at.getTime());
}

/** A row, and what it refers to. */
interface Referring {
  readonly id: string;
  readonly of: string;
  readonly at: Date | null;
}

/**
 * When each person last wrote or, where that counts, opened a link (ms), also through rows of the same person. Those of
 * whom no contact is known are left out.
 */
export async function newestContacts(
  parts: Pick<DueParts, 'prisma' | 'targets' | 'visitsCount'>,
  { connectionId, stream: { name, table } }: ErasureTarget,
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
    const read = (path: string, at: string) =>
      selectRows<Referring>(parts.prisma, other.stream.table, {
        select: { id: 'id', of: { text: path }, at },
        where: { connection_id: other.connectionId, [path]: { in: ids }, erased_at: null },
      });
    if (contact !== undefined && refersTo[contact.by] === name && (parts.visitsCount || !contact.isVisit)) {
      for (const { of, at } of await read(contact.by, contact.at)) note(of, at?.getTime() ?? 0);
    }
    for (const [path, of] of isPerson ? Object.entries(refersTo) : []) {
      if (of !== name) continue;
      const referring = await read(path, 'created_at');
      const named = referring.map(({ id }) => ({ id, keys: [] }));
      const theirs = await newestContacts(parts, other, named);
      for (const { id, of } of referring) if (theirs.has(id)) note(of, theirs.get(id) ?? 0);
    }
  }
  return newest;
}
