import { createHash } from 'node:crypto';
import { LeadmirrorError } from '../../errors.ts';
import type { PrismaClient } from '../../generated/prisma/client.ts';
import type { TableSpec } from '../../stream.ts';
import { stateOf } from '../faults.ts';
import { type HistoryAccess, literal, locked, run, streamOf } from './history.ts';
import { dropTriggersSql, triggersSql } from './history-sql.ts';
import { quoteName, tableName } from './table-sql.ts';

/**
 * The feed of changes: a line for each row that was created, changed, deleted or came back, written by triggers in the
 * writer's own transaction. It has no values: the consumer reads the row by its key and never gets an older one.
 */

export const FEED_DAYS = 14;

export interface Change {
  /** Acknowledges this change and all before it. */
  readonly cursor: string;
  readonly stream: string;
  readonly connection_id: string;
  readonly id: string;
  /** `c` created, `u` changed, `d` marked as deleted, `r` came back, `e` emptied or removed from the mirror. */
  readonly op: string;
  /** Names of the typed columns that changed; of a created row none. */
  readonly changed: readonly string[];
  readonly seen_at: Date;
}

/**
 * `consumer_behind`: what it has not read is no longer kept. `consumer_restored`: it, or its cursor, is of another state
 * of the database. `consumer_unknown`: it was never registered.
 */
export class FeedError extends LeadmirrorError<'consumer_behind' | 'consumer_restored' | 'consumer_unknown'> {}

/**
 * Makes exactly the streams of `wanted` write to the feed, of those that `tables` has; null: those that do so far,
 * brought up to date. @throws DatabaseError `database_refused` when the role does not own a table
 */
export async function ensureFeed(
  { prisma, url }: HistoryAccess,
  tables: readonly TableSpec[],
  wanted: readonly string[] | null,
): Promise<void> {
  const known = new Map((await prisma.syncFeed.findMany()).map(({ stream, definition }) => [stream, definition]));
  for (const table of new Map(tables.map((one) => [streamOf(one), one])).values()) {
    const stream = streamOf(table);
    const isOn = known.has(stream);
    const isWanted = wanted === null ? isOn : wanted.includes(stream);
    const statements = feedSql(table);
    const definition = createHash('sha256').update(statements).digest('hex');
    if (isWanted && known.get(stream) !== definition) {
      const registered = `insert into sync.feed (stream, definition) values (${literal(stream)}, '${definition}')
        on conflict (stream) do update set definition = excluded.definition`;
      await run(url, locked(`${statements}; ${registered}`));
    }
    if (isOn && !isWanted) {
      await run(
        url,
        locked(`${dropTriggersSql(table, 'feed')} delete from sync.feed where stream = ${literal(stream)}`),
      );
    }
  }
}

/** Makes partitions ahead, and drops what is older than two weeks. @throws DatabaseError */
export const keepFeed = ({ url }: HistoryAccess) => run(url, `select sync.keep_changes(interval '${FEED_DAYS} days')`);

function feedSql(table: TableSpec): string {
  const write = tableName({ schema: table.schema, name: `${table.name}_feed_write` });
  const target = tableName(table);
  const columns = Object.keys(table.columns);
  const named = columns.map(
    (name) => `case when o.${quoteName(name)} is distinct from n.${quoteName(name)} then '${name}' end`,
  );
  return `
lock table ${target} in share row exclusive mode;
create sequence if not exists sync.changes_seq;
create table if not exists sync.changes (
  seq bigint not null default nextval('sync.changes_seq'),
  stream text not null, connection_id text not null, id text not null, op "char" not null, changed text[] not null,
  seen_at timestamptz not null default clock_timestamp(), run_id bigint not null
) partition by range (seen_at);
create table if not exists sync.changes_rest partition of sync.changes default;
create index if not exists changes_seq_idx on sync.changes (seq);
comment on table sync.changes is 'The feed of changes, better read through sync.read_changes: what a transaction that is still open wrote comes later, with a smaller number';
select sync.keep_changes(interval '${FEED_DAYS} days');
create or replace function ${write}() returns trigger language plpgsql security definer set search_path = pg_catalog as $write$
begin
  perform sync.begin_feed();
  if tg_op = 'INSERT' then
    insert into sync.changes (stream, connection_id, id, op, changed, run_id)
    select ${literal(streamOf(table))}, n.connection_id, n.id, 'c', '{}', n.run_id from new_rows n order by n.id;
  elsif tg_op = 'DELETE' then
    insert into sync.changes (stream, connection_id, id, op, changed, run_id)
    select ${literal(streamOf(table))}, o.connection_id, o.id, 'e', '{}', o.run_id from old_rows o order by o.id;
  else
    insert into sync.changes (stream, connection_id, id, op, changed, run_id)
    select ${literal(streamOf(table))}, n.connection_id, n.id, case when current_setting('leadmirror.cause', true) = 'erasure' then 'e'
      when o.deleted_at is null and n.deleted_at is not null then 'd'
      when o.deleted_at is not null and n.deleted_at is null then 'r' else 'u' end::"char", c.changed, n.run_id
    from new_rows n join old_rows o on o.connection_id = n.connection_id and o.id = n.id
    cross join lateral (select array_remove(array[${named.join(', ')}]::text[], null) as changed) c
    where c.changed <> '{}' or (o.content_hash, o.deleted_at) is distinct from (n.content_hash, n.deleted_at) order by n.id;
  end if;
  return null;
end $write$;
${triggersSql(table, 'feed', write)}`;
}

interface ReadOptions {
  readonly consumer: string;
  readonly limit: number;
  /** Read on from here, without an acknowledgement; null: from what the consumer acknowledged. */
  readonly behind?: string | null;
  /** Acknowledged first; null registers the consumer where it is not known; absent: neither. */
  readonly ack?: string | null;
}

/** The next changes of a consumer, in their final order. @throws FeedError, or what else the driver throws */
export async function readChanges(
  prisma: PrismaClient,
  { consumer, limit, behind = null, ack }: ReadOptions,
): Promise<readonly Change[]> {
  try {
    // The acknowledgement is part of an argument, so that it comes first.
    return await prisma.$queryRaw<Change[]>`
      select c.cursor::text as cursor, c.stream, c.connection_id, c.id, c.op::text as op, c.changed, c.seen_at
      from sync.read_changes(${consumer}::text, case when ${ack !== undefined}::boolean and sync.ack_changes(${consumer}::text, ${ack ?? null}::text::bigint) is null
        then 0 else ${limit}::int end, ${behind}::text::bigint) c`;
  } catch (error) {
    const known = REFUSALS.get(stateOf(error) ?? '');
    throw known === undefined ? error : new FeedError(...known, { cause: error });
  }
}

const ANEW = 'delete it from sync.consumers, register it anew and read all rows again';
const REFUSALS: ReadonlyMap<string, readonly [FeedError['code'], string]> = new Map([
  [
    'LM001',
    [
      'consumer_behind',
      `the consumer has not read for more than ${FEED_DAYS} days, and changes are no longer kept; ${ANEW}`,
    ],
  ],
  [
    'LM002',
    ['consumer_unknown', 'there is no consumer of this name; leadmirror changes --consumer <name> registers it'],
  ],
  ['LM003', ['consumer_restored', `the database was restored or copied since the consumer read; ${ANEW}`]],
]);
