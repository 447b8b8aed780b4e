import pg from 'pg';
import type { TiledeskSandboxOptions } from '../../sandbox/tiledesk.ts';
import { type MirrorSetup, setupMirror, variables } from '../helpers/mirror.ts';

export const DAY = 24 * 3_600_000;
export const STREAMS = 'requests,activities';

export type Project = Awaited<ReturnType<typeof startProject>>;

/** A month of a project whose server notes who did what, and a mirror of it. */
export async function startProject(options: TiledeskSandboxOptions = {}, env: Readonly<Record<string, string>> = {}) {
  const sizes = { leads: 20, requests: 120, months: 1, now: Date.now() - DAY / 24, activities: true };
  const setup: MirrorSetup = await setupMirror({ ...sizes, ...options }, { TILEDESK_STREAMS: STREAMS, ...env });
  const client = new pg.Client({ connectionString: setup.database.url });
  await client.connect();
  const { data } = setup.sandbox;
  const query = async <T extends object>(sql: string): Promise<T[]> => (await client.query(sql)).rows as T[];
  const mirrored = async () => (await query<{ id: string }>('select id from tiledesk.activities')).map(({ id }) => id);
  return {
    ...setup,
    data,
    query,
    mirrored,
    env: { ...variables(setup.sandbox, setup.url, setup.database.url), TILEDESK_STREAMS: STREAMS },
    read: (pass: 'backfill' | 'incremental' | 'reconcile') => setup.run('activities', pass),
    listed: () => data.listable().activities.map(({ _id }) => _id),
    async missing(ids: readonly string[]): Promise<string[]> {
      const known = new Set(await mirrored());
      return ids.filter((id) => !known.has(id));
    },
    /** A conversation that is open, and two agents. */
    anyRequest() {
      const request = [...data.requests.values()].find(
        ({ status, preflight, ticket_id }) => status === 100 && preflight === false && Number(ticket_id) > 0,
      );
      const [one = '', other = ''] = data.team.agentIds;
      if (request === undefined) throw new Error('no open conversation');
      return { id: request._id, ticket: Number(request.ticket_id), one, other };
    },
    async close() {
      await client.end();
      await setup.close();
    },
  };
}
