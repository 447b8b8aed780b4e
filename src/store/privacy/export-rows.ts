import type { TableSpec } from '../../stream.ts';
import { historyNames } from '../mirror/history-sql.ts';
import { tableName } from '../mirror/table-sql.ts';
import type { Reader } from './person-rows.ts';

/**
 * Rows as the JSON text that Postgres makes of them: numbers keep all their digits. Rows that were erased meanwhile are
 * left out.
 */
interface RowIds {
  readonly connectionId: string;
  readonly ids: readonly string[];
}

type Texts = { readonly text: string }[];

const textsOf = (rows: Texts): string[] => rows.map(({ text }) => text);

export async function readRowTexts(db: Reader, table: TableSpec, { connectionId, ids }: RowIds): Promise<string[]> {
  return textsOf(
    await db.$queryRawUnsafe<Texts>(
      `select to_jsonb(t)::text as text from ${tableName(table)} t
        where t.connection_id = $1 and t.id = any($2::text[]) and t.erased_at is null order by t.created_at, t.id`,
      connectionId,
      ids,
    ),
  );
}

/** Only of a table that has a history. */
export async function readVersionTexts(db: Reader, table: TableSpec, { connectionId, ids }: RowIds): Promise<string[]> {
  return textsOf(
    await db.$queryRawUnsafe<Texts>(
      `select to_jsonb(h)::text as text from ${historyNames(table).history} h
        where h.connection_id = $1 and h.id = any($2::text[]) order by h.id, h.seq`,
      connectionId,
      ids,
    ),
  );
}

/** `ids`: of `sync.quarantine`. */
export async function readQuarantineTexts(db: Reader, ids: readonly bigint[]): Promise<string[]> {
  return textsOf(
    await db.$queryRawUnsafe<Texts>(
      'select to_jsonb(q)::text as text from sync.quarantine q where q.id = any($1::bigint[]) order by q.id',
      ids,
    ),
  );
}

/** The names of colleagues of an account, joined from these columns. */
export async function readColleagues(
  db: Reader,
  table: TableSpec,
  { connectionId, columns }: { readonly connectionId: string; readonly columns: readonly string[] },
): Promise<string[]> {
  const name = columns.map((column) => `t."${column}"`).join(', ');
  return textsOf(
    await db.$queryRawUnsafe<Texts>(
      `select distinct concat_ws(' ', ${name}) as text from ${tableName(table)} t where t.connection_id = $1`,
      connectionId,
    ),
  );
}
