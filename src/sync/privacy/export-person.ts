import { databaseNow } from '../../store/database-time.ts';
import { type Reader, selectRows, type Where } from '../../store/mirror/select-rows.ts';
import type { Counts } from '../../store/privacy/erasure-log.ts';
import { addressMark, numberMark } from '../../store/privacy/marks.ts';
import { versionsOf } from '../../store/privacy/person-rows.ts';
import { findAll, type Selectors } from './closure.ts';
import { type ErasurePlan, emptyPlan, nameOf, rowsByTarget } from './erasure-plan.ts';
import type { PlanParts } from './plan.ts';
import { type ReviewLine, reviewRow } from './review.ts';

export interface PersonExport {
  /** JSON: `{"person", "tables", "review"}`, a row a line. */
  readonly document: string;
  /** Rows by table. */
  readonly counts: Counts;
  /** Lines of the list of what to look at before the document is handed over. */
  readonly review: number;
  readonly plan: ErasurePlan;
}

export interface ExportOptions {
  readonly connectionIds: readonly string[];
  readonly selectors: Selectors;
  /** Goes into `person` as it is: which settings decide what is stored, what was not looked at. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** The snapshot is one moment; a person's rows are few, but the tables that they are searched in may be large. */
const EXPORT_MS = 1_800_000;

/** Everything that the mirror holds of a person, as of one moment; null: nothing. Changes nothing. */
export function exportPerson(
  { prisma, targets }: PlanParts,
  { connectionIds, selectors, facts }: ExportOptions,
): Promise<PersonExport | null> {
  return prisma.$transaction(
    async (tx) => {
      const plan = await findAll(tx, targets, { select: selectors, taken: emptyPlan(connectionIds) });
      const tables = await readTables(tx, targets, plan);
      if (tables.size === 0) return null;
      const { addresses: emails, numbers: phones, names } = plan;
      const exported_at = (await databaseNow(tx)).toISOString();
      const person = { exported_at, connections: connectionIds, emails, phones, names, ...facts };
      const review = await reviewTables({ prisma: tx, targets }, plan, tables);
      const counts = Object.fromEntries([...tables].map(([name, rows]) => [name, rows.length]));
      return { document: documentOf(person, tables, review), counts, review: review.length, plan };
    },
    { isolationLevel: 'RepeatableRead', maxWait: 30_000, timeout: EXPORT_MS },
  );
}

type Tables = ReadonlyMap<string, readonly string[]>;
type Targets = PlanParts['targets'];

/** Exactly the rows that the plan counts, as the JSON that Postgres makes of them: numbers keep all their digits. */
async function readTables(tx: Reader, targets: Targets, plan: ErasurePlan): Promise<Tables> {
  const tables = new Map<string, string[]>();
  const add = async (name: string, where: Where, orderBy: readonly string[]) => {
    const [schema = '', table = ''] = name.split('.');
    const selection = { select: { text: { row: 'json' } }, where, orderBy } as const;
    const rows = await selectRows<{ text: string }>(tx, { schema, name: table }, selection);
    if (rows.length > 0) tables.set(name, [...(tables.get(name) ?? []), ...rows.map(({ text }) => text)]);
  };
  for (const { connectionId, stream, rows } of rowsByTarget(targets, plan.rows)) {
    const own = { connection_id: connectionId, id: { in: rows.map(({ id }) => id) } };
    await add(stream.name, { ...own, erased_at: null }, ['created_at', 'id']);
    const versions = versionsOf(stream.name);
    if (versions in plan.versions) await add(versions, own, ['id', 'seq']);
  }
  await add('sync.quarantine', { id: { in: plan.quarantine } }, ['id']);
  return tables;
}

async function reviewTables(
  { prisma: tx, targets }: { readonly prisma: Reader; readonly targets: Targets },
  plan: ErasurePlan,
  tables: Tables,
): Promise<ReviewLine[]> {
  const own = new Set([...plan.addresses.map(addressMark), ...plan.numbers.map(numberMark)]);
  const ownNames = new Set(plan.names);
  const names = new Set<string>();
  for (const { connectionId, stream } of targets) {
    const columns = stream.table.personal?.colleague ?? [];
    if (columns.length === 0) continue;
    const select = Object.fromEntries(columns.map((column) => [column, column]));
    const where = { connection_id: connectionId };
    for (const row of await selectRows<Record<string, string | null>>(tx, stream.table, { select, where })) {
      const known = nameOf(columns.flatMap((column) => row[column] ?? []).join(' '));
      if (known !== null && !ownNames.has(known)) names.add(known);
    }
  }
  const colleagues = [...names];
  return [...tables].flatMap(([table, texts]) => {
    const notes = targets.find(({ stream }) => stream.name === table)?.stream.table.personal?.notes ?? [];
    return texts.flatMap((text) => {
      const row = JSON.parse(text) as { connection_id: string; id: string | number };
      const { connection_id, id } = row;
      const parts = { own, colleagues, notes };
      return reviewRow(row, parts).map((line) => ({ table, connection_id, id: String(id), ...line }));
    });
  });
}

/** A row a line, as Postgres wrote it. */
function documentOf(person: unknown, tables: Tables, review: readonly ReviewLine[]): string {
  const list = (lines: readonly string[]) => (lines.length === 0 ? '[]' : `[\n${lines.join(',\n')}\n]`);
  const rows = [...tables].map(([name, texts]) => `${JSON.stringify(name)}: ${list(texts)}`);
  const lines = review.map((line) => JSON.stringify(line));
  return `{"person": ${JSON.stringify(person)},\n"tables": {\n${rows.join(',\n')}\n},\n"review": ${list(lines)}}\n`;
}
