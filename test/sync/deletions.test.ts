import { describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { acceptDeletions, readAcceptance } from '../../src/store/engine/deletions.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, STREAMS, setupMirror } from '../helpers/mirror.ts';

const HOUR = 3_600_000;

async function query<T extends object>({ database }: MirrorSetup, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as T[];
  } finally {
    await client.end();
  }
}

/** Leads of status 1000 carry a deletion of the upstream's own. */
const tombstones = async (setup: MirrorSetup, name: string) => {
  const own = name === 'leads' ? 'and status <> 1000' : '';
  const sql = `select id from tiledesk.${name} where deleted_at is not null ${own} order by id`;
  return (await query<{ id: string }>(setup, sql)).map(({ id }) => id);
};

const every = <T>(items: Iterable<T>, step: number, offset: number): T[] =>
  [...items].filter((_, index) => index % step === offset);

describe('rows that were removed upstream for good', () => {
  it('are marked by the next full sync, those and no others', async () => {
    const setup = await setupMirror({ leads: 400, requests: 600, now: Date.now() - HOUR });
    try {
      await setup.syncAll();
      const { data } = setup.sandbox;
      const leads = every(data.leads.values(), 40, 3).filter(({ status }) => status !== 1000);
      const requests = every(data.requests.values(), 50, 7);
      for (const { _id } of leads) data.hardDeleteLead(_id);
      for (const { _id } of requests) data.hardDeleteRequest(_id);
      data.randomEdits(40, { hardDeletes: false });

      const results = await setup.syncAll('reconcile');

      expect(results.map(({ outcome, error }) => ({ outcome, error }))).toEqual(
        STREAMS.map(() => ({ outcome: 'succeeded', error: null })),
      );
      expect(await tombstones(setup, 'leads')).toEqual(leads.map(({ _id }) => _id).sort());
      expect(await tombstones(setup, 'requests')).toEqual(requests.map(({ _id }) => _id).sort());
      expect(results.map(({ deleted }) => deleted)).toEqual([leads.length, requests.length, 0, 0]);
      const walks = `select stream, newest_change from sync.checkpoints where pass = 'reconcile' and stream in ('tiledesk.leads', 'tiledesk.requests')`;
      const newest = (all: Iterable<{ readonly updatedAt?: string | undefined }>) =>
        new Date(Math.max(...[...all].map(({ updatedAt }) => Date.parse(updatedAt ?? ''))));
      expect(await query(setup, `${walks} order by stream`)).toEqual([
        { stream: 'tiledesk.leads', newest_change: newest(data.leads.values()) },
        { stream: 'tiledesk.requests', newest_change: newest(data.requests.values()) },
      ]);
    } finally {
      await setup.close();
    }
  });

  it('are not marked on the strength of a list that leaves them out', async () => {
    const setup = await setupMirror({ leads: 120, requests: 150, now: Date.now() - HOUR });
    try {
      await setup.syncAll();
      // Rows that no list shows; asked for by their request_id, the upstream has them.
      const hidden = every(setup.sandbox.data.requests.values(), 50, 7).map(({ _id }) => _id);
      const { prisma } = setup.app.database;
      await prisma.$executeRaw`insert into tiledesk.requests (connection_id, id, request_id, raw, content_hash, run_id, synced_at)
        select connection_id, 'f' || substr(id, 2), request_id, raw, content_hash, run_id, now() - interval '1 day'
        from tiledesk.requests where id = any(${hidden})`;

      const [, requests] = await setup.syncAll('reconcile');

      expect(requests).toMatchObject({ outcome: 'succeeded', deleted: 0 });
    } finally {
      await setup.close();
    }
  });

  it('hold the brake when they are many: nothing is marked until a person says so', async () => {
    const setup = await setupMirror({ leads: 60, requests: 200, now: Date.now() - HOUR });
    try {
      await setup.syncAll();
      for (const { _id } of every(setup.sandbox.data.requests.values(), 3, 0))
        setup.sandbox.data.hardDeleteRequest(_id);

      const braked = await setup.run('requests', 'reconcile');
      expect(braked).toMatchObject({ outcome: 'partial', deleted: 0, error: { code: 'deletion_brake' } });
      expect(await tombstones(setup, 'requests')).toEqual([]);
      expect((await setup.run('requests', 'incremental')).outcome).toBe('succeeded');

      const { prisma } = setup.app.database;
      const key = { connectionId: setup.app.connections[0]?.id ?? '', stream: 'tiledesk.requests' };
      expect(await acceptDeletions(prisma, key)).not.toBeNull();
      const accepted = await setup.run('requests', 'reconcile');
      expect(accepted).toMatchObject({ outcome: 'succeeded', deleted: 67, error: null });
      expect(await readAcceptance(prisma, key)).toBeNull();
    } finally {
      await setup.close();
    }
  });

  it('that a person accepted are a few of them, not all, when the next answers are empty', async () => {
    const setup = await setupMirror({ leads: 60, requests: 60, now: Date.now() - HOUR });
    try {
      await setup.syncAll();
      const gone = every(setup.sandbox.data.requests.values(), 5, 0).map(({ _id }) => _id);
      for (const id of gone) setup.sandbox.data.hardDeleteRequest(id);
      const { prisma } = setup.app.database;
      const key = { connectionId: setup.app.connections[0]?.id ?? '', stream: 'tiledesk.requests' };
      expect(await setup.run('requests', 'reconcile')).toMatchObject({ error: { code: 'deletion_brake' } });
      await acceptDeletions(prisma, key);
      setup.sandbox.faults.push({ kind: 'empty-list', times: Number.POSITIVE_INFINITY });

      const empty = await setup.run('requests', 'reconcile');

      expect(empty).toMatchObject({ outcome: 'failed', deleted: 0, error: { code: 'suddenly_empty' } });
      expect(await tombstones(setup, 'requests')).toEqual([]);
      setup.sandbox.faults.clear();
      expect(await setup.run('requests', 'reconcile')).toMatchObject({ outcome: 'succeeded', deleted: gone.length });
      expect(await tombstones(setup, 'requests')).toEqual(gone.sort());
    } finally {
      await setup.close();
    }
  });

  it('in a short list are asked for by their id, too', async () => {
    const setup = await setupMirror({ leads: 10, requests: 10 });
    try {
      await setup.syncAll();
      const { prisma } = setup.app.database;
      await prisma.$executeRaw`insert into tiledesk.departments (connection_id, id, raw, content_hash, run_id, synced_at)
        select connection_id, 'f' || substr(id, 2), raw, content_hash, run_id, now() - interval '1 day' from tiledesk.departments limit 1`;
      setup.sandbox.clearLog();

      const result = await setup.run('departments', 'reconcile');

      // The list, a department that is surely there, and the one in question.
      expect(result).toMatchObject({ outcome: 'succeeded', deleted: 1, requests: 3 });
      expect(await tombstones(setup, 'departments')).toHaveLength(1);
    } finally {
      await setup.close();
    }
  });

  it.each(['departments', 'project_users'] as const)(
    'are not made of %s whose list is cut short again and again',
    async (name) => {
      const setup = await setupMirror({ leads: 10, requests: 10 });
      try {
        await setup.syncAll();
        setup.sandbox.faults.push({ kind: 'truncated-page', match: { list: name }, times: Number.POSITIVE_INFINITY });

        // As high as it goes: the brake must not be what saves them.
        const { prisma } = setup.app.database;
        const key = { connectionId: setup.app.connections[0]?.id ?? '', stream: `tiledesk.${name}` };
        await setup.run(name, 'reconcile');
        await acceptDeletions(prisma, key);
        const result = await setup.run(name, 'reconcile');

        expect(result).toMatchObject({ outcome: 'succeeded', deleted: 0 });
        expect(await tombstones(setup, name)).toEqual([]);
      } finally {
        await setup.close();
      }
    },
  );
});

describe('an upstream that answers empty lists for one night', () => {
  it('deletes nothing, is flagged, and the next good night clears it', async () => {
    const setup = await setupMirror({ leads: 120, requests: 150, now: Date.now() - HOUR });
    try {
      await setup.syncAll();
      setup.sandbox.faults.push({ kind: 'empty-list', times: Number.POSITIVE_INFINITY });

      const night = await setup.syncAll('reconcile');
      const tick = await setup.syncAll('incremental');

      for (const { outcome } of [...night, ...tick]) expect(outcome).not.toBe('succeeded');
      expect(tick.map(({ error }) => error?.code)).toEqual(STREAMS.map(() => 'suddenly_empty'));
      expect(night.map(({ deleted }) => deleted)).toEqual([0, 0, 0, 0]);
      setup.sandbox.faults.clear();

      const next = await setup.syncAll('reconcile');
      expect(next.map(({ outcome, deleted }) => ({ outcome, deleted }))).toEqual(
        STREAMS.map(() => ({ outcome: 'succeeded', deleted: 0 })),
      );
      for (const name of STREAMS) expect(await compareMirror(setup.database.url, setup.sandbox, name)).toEqual(EQUAL);
    } finally {
      await setup.close();
    }
  });
});
