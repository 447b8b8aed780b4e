import { createHash } from 'node:crypto';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { LOCKS } from '../locks.ts';
import { withSession } from '../session.ts';
import { dropTriggersSql, firstLookSql, historyNames, historySql } from './history-sql.ts';

/** History is switched on and off here; no other file changes `sync.history`, but for the first look. */
export interface HistoryAccess {
  readonly prisma: PrismaClient;
  readonly url: string;
}

export const streamOf = ({ schema, name }: Pick<TableSpec, 'schema' | 'name'>): string => `${schema}.${name}`;

/** One round trip; what is no single statement is one transaction, unless it commits by itself. */
export const run = (url: string, statements: string) => withSession(url, (client) => client.query(statements));

export const locked = (statements: string): string =>
  `begin isolation level read committed read write; select pg_advisory_xact_lock(${LOCKS.history}); ${statements}; commit`;

export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Switches history on for the tables that `wanted` names, and brings it up to date where it is on already: triggers
 * first, then a version of every row that has none. Any number of processes may do so at once; nothing is done, and no
 * right is needed, where all is as it should be. Returns the streams whose rows it looked at.
 *
 * @throws DatabaseError `database_refused` when the role does not own the table
 */
export async function ensureHistory(
  { prisma, url }: HistoryAccess,
  tables: readonly TableSpec[],
  wanted: readonly string[],
): Promise<readonly string[]> {
  const known = new Map((await prisma.syncHistory.findMany()).map((line) => [line.stream, line]));
  const done: string[] = [];
  for (const table of new Map(tables.map((one) => [streamOf(one), one])).values()) {
    const stream = streamOf(table);
    const line = known.get(stream);
    const isOn = line !== undefined && line.off_since === null;
    if (table.tracked === undefined || !(isOn || wanted.includes(stream))) continue;
    const statements = historySql(table);
    const definition = createHash('sha256').update(statements).digest('hex');
    const isCurrent = isOn && line.definition === definition;
    if (isCurrent && line.first_look_ended_at !== null) continue;
    if (!isCurrent) await run(url, locked(`${statements};${registerSql(table, definition)}`));
    await run(url, firstLookSql(table));
    done.push(stream);
  }
  return done;
}

function registerSql(table: TableSpec, definition: string): string {
  const columns = (table.tracked ?? []).map(literal).join(', ');
  return `insert into sync.history (stream, columns, on_since, definition) values (${literal(streamOf(table))}, array[${columns}], clock_timestamp(), '${definition}')
    on conflict (stream) do update set columns = excluded.columns, definition = excluded.definition, off_since = null,
      on_since = case when history.off_since is null then history.on_since else excluded.on_since end,
      first_look_connection = '', first_look_id = '', first_look_ended_at = null`;
}

/** Removes the triggers of these streams; the versions stay. Returns those that were on. @throws DatabaseError */
export async function stopHistory(
  { prisma, url }: HistoryAccess,
  streams: readonly string[],
): Promise<readonly string[]> {
  const lines = await prisma.syncHistory.findMany({ where: { stream: { in: [...streams] }, off_since: null } });
  for (const { stream } of lines) {
    const [schema = '', name = ''] = stream.split('.');
    const noted = `update sync.history set off_since = clock_timestamp() where stream = ${literal(stream)}`;
    await run(url, locked(`${dropTriggersSql({ schema, name }, 'history')} ${noted}`));
  }
  return lines.map(({ stream }) => stream);
}

/** Makes the partitions of the months to come, and drops those that are older than they are kept. @throws DatabaseError */
export async function keepHistory({ prisma, url }: HistoryAccess, months: number): Promise<void> {
  for (const { stream } of await prisma.syncHistory.findMany({ orderBy: { stream: 'asc' } })) {
    const [schema = '', name = ''] = stream.split('.');
    const { history } = historyNames({ schema, name });
    await run(url, `select sync.keep_partitions(${literal(history)}, 'month', interval '${months} months')`);
  }
}

export const readHistory = (prisma: PrismaClient) => prisma.syncHistoryStatus.findMany({ orderBy: { stream: 'asc' } });
