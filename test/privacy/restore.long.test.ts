import { appendFile, readFile, rename } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { erasureParts } from '../../src/app/erase-person.ts';
import type { App } from '../../src/app.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import { erasePerson as erase, resume } from '../../src/sync/privacy/erase.ts';
import { lift, replay } from '../../src/sync/privacy/replay.ts';
import { variables } from '../helpers/mirror.ts';
import {
  backUp,
  erasePerson,
  openApp,
  type PrivacySetup,
  planFor,
  query,
  SECRET,
  searchDump,
  setupPrivacy,
} from './support.ts';

const never = new AbortController().signal;
const OPTIONS = { reason: 'request', reference: null, alsoFuture: false, deletesRows: false };

async function setupPeople() {
  const setup = await setupPrivacy({ leads: 40, requests: 60, now: Date.now() - 3_600_000 });
  await setup.syncAll();
  await refreshReporting(setup.app.database);
  const people = await query<{ id: string; email: string }>(
    setup.database.url,
    `select id, email from tiledesk.leads where email is not null and deleted_at is null order by id limit 4`,
  );
  return { setup, people };
}

const envOf = (setup: PrivacySetup, url: string) => ({
  ...variables(setup.sandbox, setup.url, url),
  LEADMIRROR_SECRET_KEY: SECRET,
  PRIVACY_JOURNAL: setup.journal,
});

const runLeads = async (app: App) => {
  const found = app.findStream(app.connections[0]?.id ?? '', 'tiledesk.leads');
  if (found === undefined) throw new Error('no leads');
  return app.runPass({ ...found, pass: 'reconcile', signal: never, maxWaitMs: 1_000, leaseWaitMs: 0 });
};

describe('a restored backup', () => {
  it.each(['before the first erasure', 'before the last erasure'])(
    'from %s runs nothing until the journal is replayed, and then holds nothing of the persons',
    async (when) => {
      const { setup, people } = await setupPeople();
      const [first, second] = people;
      if (first === undefined || second === undefined) throw new Error('no people');
      if (when !== 'before the first erasure') await erasePerson(setup.app, { leads: [first.id] });
      const backup = await backUp(setup);
      if (when === 'before the first erasure') await erasePerson(setup.app, { emails: [first.email] });
      await erasePerson(setup.app, { emails: [second.email] });
      const app = await openApp(envOf(setup, backup.url));
      try {
        expect((await searchDump(backup.url, [second.email])).length).toBeGreaterThan(0);
        expect(await runLeads(app)).toMatchObject({ outcome: 'failed', error: { code: 'erasures_missing' }, read: 0 });

        const reports = await replay(await erasureParts(app, { signal: never }));

        expect(reports.map(({ state }) => state)).toEqual(['done', 'done']);
        expect(await searchDump(backup.url, [first.email, second.email])).toEqual([]);
        expect(await runLeads(app)).toMatchObject({ outcome: 'succeeded' });
        expect(await searchDump(backup.url, [first.email, second.email])).toEqual([]);
      } finally {
        await app.close();
        await backup.drop();
        await setup.close();
      }
    },
  );

  it('without its journal runs nothing', async () => {
    const { setup, people } = await setupPeople();
    try {
      await erasePerson(setup.app, { leads: [people[0]?.id ?? ''] });
      await rename(setup.journal, `${setup.journal}.away`);
      expect(await setup.run('leads', 'incremental')).toMatchObject({ error: { code: 'erasures_journal_missing' } });
      await expect(erasePerson(setup.app, { leads: [people[1]?.id ?? ''] })).rejects.toMatchObject({
        code: 'erasures_journal_missing',
      });
      await rename(`${setup.journal}.away`, setup.journal);
      expect(await setup.run('leads', 'incremental')).toMatchObject({ outcome: 'succeeded' });
    } finally {
      await setup.close();
    }
  });
});

describe('an erasure', () => {
  it('that cannot be noted in the journal changes nothing', async () => {
    const { setup, people } = await setupPeople();
    try {
      const parts = { journal: `${setup.folder}/missing/erasures.jsonl` };
      const { id = '', email = '' } = people[0] ?? {};
      await expect(erasePerson(setup.app, { leads: [id] }, { parts })).rejects.toMatchObject({
        code: 'journal_unusable',
      });
      const rows = await query(setup.database.url, 'select * from sync.erasures');
      const hashes = await query(setup.database.url, 'select * from sync.suppressions');
      expect([rows, hashes]).toEqual([[], []]);
      expect((await searchDump(setup.database.url, [email])).length).toBeGreaterThan(0);

      // Half a line, as a full disk leaves behind, counts as none.
      await erasePerson(setup.app, { leads: [id] });
      const whole = await readFile(setup.journal, 'utf8');
      await appendFile(setup.journal, '{"erasure":"half');
      expect(await setup.run('leads', 'incremental')).toMatchObject({ outcome: 'succeeded' });
      await erasePerson(setup.app, { leads: [people[1]?.id ?? ''] });
      const after = await readFile(setup.journal, 'utf8');
      expect(after.startsWith(whole) && !after.includes('half')).toBe(true);
    } finally {
      await setup.close();
    }
  });

  it.each(['recorded', 'quarantine', 'rows', 'reports', 'searched'])(
    'that is killed behind the step %s is finished by its id',
    async (step) => {
      const { setup, people } = await setupPeople();
      try {
        const { email = '' } = people[0] ?? {};
        const { plan } = await planFor(setup.app, { emails: [email] });
        const parts = await erasureParts(setup.app, { signal: never });
        const onStep = async (reached: string) => {
          if (reached === step) throw new Error('killed');
        };
        await expect(erase({ ...parts, onStep }, plan, OPTIONS)).rejects.toThrow('killed');
        const [open] = await query<{ id: string }>(
          setup.database.url,
          `select id from sync.erasures where state = 'erasing'`,
        );

        expect(await resume(parts, open?.id ?? '')).toMatchObject({ state: 'done', residue: {} });

        expect(await searchDump(setup.database.url, [email])).toEqual([]);
        await setup.syncAll('reconcile');
        expect(await searchDump(setup.database.url, [email])).toEqual([]);
      } finally {
        await setup.close();
      }
    },
  );

  it('can be lifted: the next full sync brings the person back, and another erasure stays', async () => {
    const { setup, people } = await setupPeople();
    try {
      const [one, other] = people;
      const { erasure } = await erasePerson(setup.app, { leads: [one?.id ?? ''] });
      await erasePerson(setup.app, { leads: [other?.id ?? ''] });
      await lift(await erasureParts(setup.app, { signal: never }), erasure);
      await setup.syncAll('reconcile');
      const sql = 'select id from tiledesk.leads where email is not null and id = any($1)';
      expect(await query(setup.database.url, sql, [[one?.id, other?.id]])).toEqual([{ id: one?.id }]);
    } finally {
      await setup.close();
    }
  });

  it('waits for another one, and both are done', async () => {
    const { setup, people } = await setupPeople();
    try {
      const [one, other] = people;
      const both = [one, other].map((person) => erasePerson(setup.app, { emails: [person?.email ?? ''] }));
      for (const { state } of await Promise.all(both)) expect(state).toBe('done');
      expect(await searchDump(setup.database.url, [one?.email ?? '-', other?.email ?? '-'])).toEqual([]);
      expect(await setup.run('leads', 'incremental')).toMatchObject({ outcome: 'succeeded' });
    } finally {
      await setup.close();
    }
  });

  it('with a lost key lets nothing run', async () => {
    const { setup, people } = await setupPeople();
    await erasePerson(setup.app, { leads: [people[0]?.id ?? ''] });
    const { LEADMIRROR_SECRET_KEY, ...env } = envOf(setup, setup.database.url);
    const app = await openApp(env);
    try {
      expect(await runLeads(app)).toMatchObject({ error: { code: 'privacy_key_missing' }, read: 0 });
    } finally {
      await app.close();
      await setup.close();
    }
  });
});
