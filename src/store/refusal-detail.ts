import { AsyncLocalStorage } from 'node:async_hooks';
import type { PrismaClient } from '../generated/prisma/client.ts';
import type { Row, TableSpec } from '../stream.ts';
import { stateOf } from './faults.ts';

/** Why a record is in quarantine, in names only. */
export interface QuarantineDetail {
  /** Of a record that the database refused. */
  readonly sqlstate?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
  /** Of a record without a usable id: where it should be, and the JSON type of what is there. */
  readonly field?: string;
  readonly found?: string;
  /** Of a record that could not be mapped. */
  readonly error?: string;
}

/** What a server names in its refusal. Prisma's adapter drops half of it, so the session takes note of it. */
interface NamedObject {
  readonly column?: unknown;
  readonly constraint?: unknown;
  readonly table?: unknown;
  readonly schema?: unknown;
}

const watched = new AsyncLocalStorage<{ named: NamedObject }>();

/** Keeps what the error names for a `describeRefusal` that waits for it. */
export function noteRefusal(error: unknown): void {
  const watch = watched.getStore();
  if (watch !== undefined && typeof error === 'object' && error !== null && 'severity' in error)
    watch.named = error as NamedObject;
}

interface Trial {
  readonly table: TableSpec;
  readonly row: Row;
  /** Writes nothing. */
  readonly attempt: (row: Row) => Promise<void>;
}

/** Trials for a column that the server does not name. */
const MOST_TRIALS = 60;

/**
 * Tries a refused row once more and returns what the server names: SQLSTATE, table, column and constraint, never a
 * value. Where it names no column, that of the constraint or index, or the one without which the row is taken.
 */
export async function describeRefusal(prisma: PrismaClient, trial: Trial): Promise<QuarantineDetail | null> {
  const { table, row, attempt } = trial;
  const watch: { named: NamedObject } = { named: {} };
  const failure = await watched.run(watch, () => failureOf(() => attempt(row)));
  const sqlstate = stateOf(failure);
  if (sqlstate === null) return null;
  const { named } = watch;
  const constraint = identifier(named.constraint);
  const schema = identifier(named.schema) ?? table.schema;
  const name = identifier(named.table) ?? table.name;
  const column =
    identifier(named.column) ??
    (constraint === null ? null : await columnsOf(prisma, `${schema}.${name}`, constraint)) ??
    (await findColumn(trial));
  return {
    sqlstate,
    table: `${schema}.${name}`,
    ...(column !== null && { column }),
    ...(constraint !== null && { constraint }),
  };
}

const failureOf = (work: () => Promise<void>): Promise<unknown> =>
  work().then(
    () => null,
    (error: unknown) => error,
  );

/** A trigger may name anything. */
function identifier(name: unknown): string | null {
  return typeof name === 'string' && /^[A-Za-z_][\w$]{0,62}$/.test(name) ? name : null;
}

/** Of a constraint or an index; several are joined by a comma. */
async function columnsOf(prisma: PrismaClient, table: string, constraint: string): Promise<string | null> {
  const [schema = '', name = ''] = table.split('.');
  const found = await prisma.$queryRaw<{ names: string | null }[]>`
    select string_agg(a.attname, ', ' order by a.attnum) as names
    from pg_class t
    join pg_namespace s on s.oid = t.relnamespace
    join pg_attribute a on a.attrelid = t.oid
    where s.nspname = ${schema} and t.relname = ${name} and a.attname not in ('connection_id')
      and (exists (select from pg_constraint c where c.conrelid = t.oid and c.conname = ${constraint}
        and a.attnum = any(c.conkey))
        or exists (select from pg_index i join pg_class x on x.oid = i.indexrelid
          where i.indrelid = t.oid and x.relname = ${constraint} and a.attnum = any(i.indkey)))`;
  return found[0]?.names ?? null;
}

/** The column without which the database takes the row; null when there is none, or when it is more than one. */
async function findColumn({ table, row, attempt }: Trial): Promise<string | null> {
  const filled = Object.keys(table.columns).filter((name) => row[name] !== null && row[name] !== undefined);
  for (const name of filled.slice(0, MOST_TRIALS)) {
    if ((await failureOf(() => attempt({ ...row, [name]: null }))) === null) return name;
  }
  return (await failureOf(() => attempt({ ...row, raw: {} }))) === null ? 'raw' : null;
}

/** Returns a human-readable detail: `54000, column email, constraint leads_email_idx of tiledesk.leads`. */
export function describeDetail(detail: unknown): string {
  if (typeof detail !== 'object' || detail === null) return '';
  const { sqlstate, table, column, constraint, field, found, error } = detail as QuarantineDetail;
  const named = Object.entries({ column, constraint, field, is: found });
  const parts = named.flatMap(([name, value]) => (value === undefined ? [] : `${name} ${value}`));
  return `${[sqlstate ?? [], parts, error ?? []].flat().join(', ')}${table === undefined ? '' : ` of ${table}`}`;
}
