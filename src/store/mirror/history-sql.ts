import type { TableSpec } from '../../stream.ts';
import { quoteName, sqlType, tableName } from './table-sql.ts';

/**
 * What keeps the versions of a mirrored table, generated from its columns like the upsert: a partitioned table to which
 * two statement triggers add a line per row whose tracked columns changed, a view and a function that read it.
 *
 * Triggers, and not a part of the page's statement: they see the old row as it was under the lock, and reprojecting,
 * repairing, retrying and a person's SQL go through them, too. Of a table without history there is no trigger.
 */

/** Since when and until when a change may have happened. Polling sees one version a look. */
const CHANGED_AFTER =
  'The change came after this moment (UTC): what upstream had then was seen, and was the version before; null: not known';
const CHANGED_BEFORE =
  'The change came at this moment or before it (UTC): the change time upstream, or when it was seen where that time did not move';

const COMMENTS: Readonly<Record<string, string>> = {
  seq: 'Order of the versions of one row',
  connection_id: 'Configured account',
  id: 'Upstream id',
  op: 'f first look, when history was switched on; c created; u changed; d deleted; r came back; m mapped anew by this program, the upstream changed nothing',
  updated_at: 'Change time upstream of this version (UTC)',
  deleted_at: 'Found to be gone upstream (UTC); null while it was there',
  changed_after: CHANGED_AFTER,
  changed_before: CHANGED_BEFORE,
  seen_at: 'When the mirror wrote it (UTC): what changed twice between two looks is one version',
  seen_to: 'When the mirror wrote the next version of the row (UTC); null: it is the last one',
  is_current: 'The last version',
  run_id: 'sync.runs.id of the run that wrote it',
};

/** Names, quoted where they are names of relations. */
export function historyNames({ schema, name }: Pick<TableSpec, 'schema' | 'name'>) {
  const of = (suffix: string) => tableName({ schema, name: `${name}_${suffix}` });
  return {
    versions: of('versions'),
    history: of('history'),
    rest: of('history_rest'),
    sequence: of('history_seq'),
    asOf: of('as_of'),
    write: of('history_write'),
  };
}

/** The statements that switch history on, or bring it to these columns: doing them twice changes nothing. */
export function historySql(table: TableSpec): string {
  const { versions, history, rest, sequence, asOf, write } = historyNames(table);
  const stream = `${table.schema}.${table.name}`;
  const tracked = (table.tracked ?? []).map(quoteName);
  const typed = (table.tracked ?? []).map((name) => `${quoteName(name)} ${sqlType(table.columns[name] ?? 'text')}`);
  const list = (prefix = '') => tracked.map((column) => `${prefix}${column}`).join(', ');
  const columns = `connection_id, id, op, ${list()}, updated_at, deleted_at, changed_after, changed_before, run_id`;
  const read = [
    'seq',
    'connection_id',
    'id',
    'op',
    ...tracked,
    'updated_at',
    'deleted_at',
    'changed_after',
    'changed_before',
    'seen_at',
  ]
    .map((column) => `h.${column}`)
    .join(', ');
  return `
-- In the order of the first look and of the writers, which take these locks one after the other, too.
select from sync.history where stream = '${stream}' for update;
lock table ${tableName(table)} in share row exclusive mode;
create sequence if not exists ${sequence};
create table if not exists ${history} (
  seq bigint not null default nextval('${sequence}'), connection_id text not null, id text not null, op "char" not null,
  ${typed.join(', ')},
  updated_at timestamptz(3), deleted_at timestamptz(3), changed_after timestamptz(3), changed_before timestamptz(3) not null,
  seen_at timestamptz not null default clock_timestamp(), run_id bigint not null
) partition by range (seen_at);
${typed.map((column) => `alter table ${history} add column if not exists ${column};`).join('\n')}
create table if not exists ${rest} partition of ${history} default;
create index if not exists ${quoteName(`${table.name}_history_row`)} on ${history} (connection_id, id, seq desc);
create index if not exists ${quoteName(`${table.name}_history_seen_at`)} on ${history} using brin (seen_at);
select sync.keep_partitions('${history}', 'month', interval '100 years');

-- Whoever may write a row may write its version.
create or replace function ${write}() returns trigger language plpgsql security definer set search_path = pg_catalog as $write$
begin
  if tg_op = 'INSERT' then
    insert into ${history} (${columns})
    select n.connection_id, n.id, 'c', ${list('n.')}, n.updated_at, n.deleted_at, n.created_at, coalesce(n.updated_at, clock_timestamp()), n.run_id
    from new_rows n order by n.id;
  -- What an erasure empties or removes did not change upstream.
  elsif current_setting('leadmirror.cause', true) = 'erasure' then
    return null;
  elsif tg_op = 'DELETE' then
    insert into ${history} (${columns})
    select o.connection_id, o.id, 'd', ${list('o.')}, o.updated_at, clock_timestamp(), o.updated_at, clock_timestamp(), o.run_id
    from old_rows o where o.deleted_at is null order by o.id;
  else
    insert into ${history} (${columns})
    select n.connection_id, n.id, k.op, ${list('n.')}, n.updated_at, n.deleted_at,
      case when p.seq is null then o.updated_at else p.changed_after end,
      case when p.seq is not null then p.changed_before when n.updated_at > o.updated_at then n.updated_at else clock_timestamp() end, n.run_id
    from new_rows n join old_rows o on o.connection_id = n.connection_id and o.id = n.id
    cross join lateral (select case when o.deleted_at is null and n.deleted_at is not null then 'd' when o.deleted_at is not null and n.deleted_at is null
      then 'r' when o.content_hash = n.content_hash or current_setting('leadmirror.cause', true) = 'm' then 'm' else 'u' end::"char" as op) k
    -- What was only mapped anew has been so since the version before it.
    left join lateral (select * from ${history} h where k.op = 'm' and h.connection_id = n.connection_id and h.id = n.id
      order by h.seq desc limit 1) p on true
    where (${list('o.')}, o.deleted_at) is distinct from (${list('n.')}, n.deleted_at) order by n.id;
  end if;
  return null;
end $write$;
${triggersSql(table, 'history', write)}

-- A version that only mapped anew (m) is one with the version before it: its values, and the times of that one.
do $view$ declare
  definition constant text := $sql$view ${versions} as
select seq, connection_id, id, op, updated_at, deleted_at, changed_after, changed_before, seen_at, lead(seen_at) over later as seen_to,
  lead(seq) over later is null as is_current, ${list()}
from (
  select distinct on (connection_id, id, era) connection_id, id, ${list()}, deleted_at, first_value(seq) over own as seq, first_value(op) over own as op,
    first_value(updated_at) over own as updated_at, first_value(changed_after) over own as changed_after,
    first_value(changed_before) over own as changed_before, first_value(seen_at) over own as seen_at
  from (select *, count(*) filter (where op <> 'm') over (partition by connection_id, id order by seq) as era from ${history}) h
  window own as (partition by connection_id, id, era order by seq)
  order by connection_id, id, era, h.seq desc
) v
window later as (partition by connection_id, id order by seq)$sql$;
begin
  execute 'create or replace ' || definition;
exception when invalid_table_definition then
  -- A column is no longer tracked, or has another position.
  drop view ${versions};
  execute 'create ' || definition;
end $view$;

drop function if exists ${asOf}(timestamptz, text);
create function ${asOf}(at timestamptz, by text default 'seen')
returns table (seq bigint, connection_id text, id text, op "char", ${typed.join(', ')}, updated_at timestamptz, deleted_at timestamptz,
  changed_after timestamptz, changed_before timestamptz, seen_at timestamptz, certain_until timestamptz) language sql stable as $read$
  select v.*, c.certain_until
  from (
    (select distinct on (h.connection_id, h.id) ${read}
      from ${history} h where by = 'seen' and h.seen_at <= at order by h.connection_id, h.id, h.seq desc)
    union all
    (select distinct on (h.connection_id, h.id) ${read}
      from ${history} h where by = 'upstream' and h.changed_before <= at order by h.connection_id, h.id, h.seq desc)
  ) v
  left join (select s.connection_id, sync.certain_until(s.connection_id, '${stream}', at, by) as certain_until
    from sync.status s where s.stream = '${stream}') c using (connection_id)
  where v.deleted_at is null
$read$;
${commentsSql(table)}
select reporting.make_history_views();`;
}

/** What a change of each kind is seen by. */
const TRIGGERS = {
  insert: 'new table as new_rows',
  update: 'old table as old_rows new table as new_rows',
  delete: 'old table as old_rows',
} as const;

type Changed = Pick<TableSpec, 'schema' | 'name'>;

/** Makes the triggers that are not there. None is replaced: to remove one, one has to wait for all readers of the table. */
export function triggersSql(table: Changed, prefix: string, write: string): string {
  const target = tableName(table);
  const made = Object.entries(TRIGGERS).map(
    ([on, rows]) => `
  if not exists (select from pg_trigger where tgrelid = '${target}'::regclass and tgname = '${prefix}_${on}') then
    create trigger ${prefix}_${on} after ${on} on ${target} referencing ${rows} for each statement execute function ${write}();
  end if;`,
  );
  return `do $triggers$ begin${made.join('')}\nend $triggers$;`;
}

export const dropTriggersSql = (table: Changed, prefix: string): string =>
  Object.keys(TRIGGERS)
    .map((on) => `drop trigger if exists ${prefix}_${on} on ${tableName(table)};`)
    .join('\n');

/** Tracked columns have the comments of the mirrored table. */
function commentsSql(table: TableSpec): string {
  const { versions, history, asOf } = historyNames(table);
  const stream = `${table.schema}.${table.name}`;
  const own = [history, versions].flatMap((relation) =>
    Object.entries(COMMENTS)
      .filter(([column]) => (relation === history ? !/^seen_to|is_current$/.test(column) : column !== 'run_id'))
      .map(([column, comment]) => `comment on column ${relation}.${column} is '${comment}';`),
  );
  return `${own.join('\n')}
comment on table ${history} is 'Versions of ${stream}, one line for each change of a tracked column that the mirror saw; only ever added to. Better asked through ${stream}_versions';
comment on view ${versions} is 'Versions of ${stream} as the mirror saw them: between two looks several changes are one, and the state is assumed, not seen';
comment on function ${asOf}(timestamptz, text) is 'Rows of ${stream} at a moment, deleted ones left out: what the mirror had then (seen), or what is now known of then (upstream). Changes after certain_until are not in it';
do $comments$ declare one record; begin
  for one in select a.attname as name, col_description(a.attrelid, a.attnum) as text from pg_attribute a
    where a.attrelid = '${tableName(table)}'::regclass and a.attname = any(array[${(table.tracked ?? []).map((name) => `'${name}'`).join(', ')}])
  loop
    execute format('comment on column ${history}.%I is %L', one.name, one.text);
    execute format('comment on column ${versions}.%I is %L', one.name, one.text);
  end loop;
end $comments$;`;
}

/**
 * Gives every row that has no version, or another one than it was when history was last on, a version `f`: a thousand
 * at a time, each a transaction. The rows are locked before their versions are looked for, so that a run that writes
 * one of them at the same time comes before or after it, never between. It goes on where an earlier one was cut off.
 */
export function firstLookSql(table: TableSpec): string {
  const { history } = historyNames(table);
  const target = tableName(table);
  const stream = `'${table.schema}.${table.name}'`;
  const tracked = (table.tracked ?? []).map(quoteName);
  const list = (prefix: string) => tracked.map((column) => `${prefix}${column}`).join(', ');
  return `
do $look$ declare
  since record;
  last record;
begin
  loop
    select first_look_connection as connection, first_look_id as id into since from sync.history
      where stream = ${stream} and off_since is null and first_look_ended_at is null for update;
    exit when not found;
    with batch as (select connection_id, id from ${target} where (connection_id, id) > (since.connection, since.id)
      order by connection_id, id limit 1000 for no key update)
    select connection_id as connection, id into last from batch order by connection_id desc, id desc limit 1;
    if last is null then
      update sync.history set first_look_ended_at = clock_timestamp() where stream = ${stream};
      exit;
    end if;
    insert into ${history} (connection_id, id, op, ${list('')}, updated_at, deleted_at, changed_after, changed_before, run_id)
    select t.connection_id, t.id, 'f', ${list('t.')}, t.updated_at, t.deleted_at,
      case when h.id is null then t.created_at else h.updated_at end, coalesce(t.updated_at, clock_timestamp()), t.run_id
    from ${target} t
    left join lateral (select * from ${history} h where h.connection_id = t.connection_id and h.id = t.id order by h.seq desc limit 1) h on true
    where (t.connection_id, t.id) > (since.connection, since.id) and (t.connection_id, t.id) <= (last.connection, last.id)
      and (h.id is null or (${list('h.')}, h.deleted_at) is distinct from (${list('t.')}, t.deleted_at))
    order by t.connection_id, t.id;
    update sync.history set first_look_connection = last.connection, first_look_id = last.id where stream = ${stream};
    commit;
    perform pg_sleep(0.01);
  end loop;
end $look$`;
}
