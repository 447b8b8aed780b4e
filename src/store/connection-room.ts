import { counted } from '../counted.ts';
import type { DatabaseSession } from './session.ts';

/**
 * How many connections a process may open. Small databases allow few: a role with 20, a shared server with 25. What is
 * there is divided once, at the start; a process that then finds none left waits as for any database that is away.
 */

/** The tightest limit of this role. */
export interface ConnectionRoom {
  readonly limitOf: 'role' | 'database' | 'server';
  readonly limit: number;
  readonly used: number;
}

export interface ConnectionShares {
  /** Of the pool that everything but the queue works with. */
  readonly mirror: number;
  /** Of the queue, where it lives in Postgres: each of its two lanes listens on one of them. */
  readonly queue: number;
}

const LEAST: ConnectionShares = { mirror: 1, queue: 3 };
const LEADER = 1;

/** What a process cannot work without, or would like to have. */
export const connectionsOf = ({ mirror, queue }: ConnectionShares): number => mirror + queue + LEADER;

/** Without a share, the queue is in Redis. */
export const leastOf = (wanted: ConnectionShares): ConnectionShares =>
  wanted.queue === 0 ? { ...LEAST, queue: 0 } : LEAST;

/** Null behind a pooler, whose own limits cannot be asked for. */
export async function readConnectionRoom(session: DatabaseSession): Promise<ConnectionRoom | null> {
  if (!session.isDirect) return null;
  const { rows } = await session.query<ConnectionRoom>(`
    with others as (select usename, datname from pg_stat_activity where usename is not null
      and pid <> pg_backend_pid()),
      limits (name, allowed, used) as (
        select 'role', rolconnlimit, (select count(*) from others where usename = session_user) from pg_roles
          where rolname = session_user and not rolsuper
        union all
        select 'database', datconnlimit, (select count(*) from others where datname = current_database())
        from pg_database, pg_roles where datname = current_database() and rolname = session_user and not rolsuper
        union all
        select 'server', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
          - coalesce(current_setting('reserved_connections', true)::int, 0), (select count(*) from others))
    select name as "limitOf", allowed as "limit", used::int as used from limits where allowed >= 0
      order by allowed - used limit 1`);
  return rows[0] ?? null;
}

export function lackOfRoom(room: ConnectionRoom | null, wanted: ConnectionShares): string | null {
  const least = connectionsOf(leastOf(wanted));
  if (room === null || room.limit >= least) return null;
  return `the ${room.limitOf} allows ${counted(room.limit, 'connection')}, and leadmirror needs ${least} (${connectionsOf(wanted)} to run at full speed); ${REMEDY[room.limitOf]}`;
}

const REMEDY: Readonly<Record<ConnectionRoom['limitOf'], string>> = {
  role: 'as an administrator: alter role … connection limit 20',
  database: 'as an administrator: alter database … connection limit 20',
  server: 'raise max_connections there',
};

/** Each gets at least what it cannot work without; what is left goes to both in turn, up to what they want. */
export function shareConnections(room: ConnectionRoom | null, wanted: ConnectionShares): ConnectionShares {
  if (room === null) return wanted;
  const least = leastOf(wanted);
  const spare = Math.max(0, room.limit - room.used - connectionsOf(least));
  const queue = Math.min(wanted.queue, least.queue + Math.floor(spare / 3));
  return { mirror: Math.min(wanted.mirror, least.mirror + spare - (queue - least.queue)), queue };
}
