import type pg from 'pg';

/**
 * Whether a connection leads to the server itself. Behind a pooler (PgBouncer and others) the next transaction may meet another connection of the server, so
 * nothing that belongs to a session can be relied upon. It shows in the number of the server's process: a pooler tells its clients one of its own making.
 */
export async function isDirect(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid === (client as { processID?: number | null }).processID;
}
