import { readFile, stat, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { erasureParts, erasureTargets } from '../../src/app/erase-person.ts';
import { ensureFeed } from '../../src/store/mirror/feed.ts';
import { ensureHistory } from '../../src/store/mirror/history.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import { resume } from '../../src/sync/privacy/erase.ts';
import { search } from '../../src/sync/privacy/plan.ts';
import { erasePerson, type PrivacySetup, planFor, query, searchDump, setupPrivacy } from './support.ts';

let setup: PrivacySetup;
beforeAll(async () => {
  setup = await setupPrivacy({ leads: 60, requests: 120, now: Date.now() - 3_600_000 });
  await setup.syncAll();
  await refreshReporting(setup.app.database);
});
afterAll(() => setup.close());

describe('forget', () => {
  it('begins a journal of which a full disk left an empty file, and no run is blocked by it', async () => {
    const { app, database, journal } = setup;
    await writeFile(journal, '', { mode: 0o600 });
    for (const result of await setup.syncAll('incremental')) expect(result).toMatchObject({ outcome: 'succeeded' });
    const [lead] = await query<{ id: string }>(
      database.url,
      'select id from tiledesk.leads where email is null limit 1',
    );
    expect(await erasePerson(app, { leads: [lead?.id ?? ''] })).toMatchObject({ state: 'done' });
    expect((await readFile(journal, 'utf8')).split('\n')).toHaveLength(3);
  });

  it('leaves no trace of a person, and no later pass writes it again', async () => {
    const { app, database } = setup;
    const [lead] = await query<{ id: string; email: string; fullname: string }>(
      database.url,
      `select l.id, l.email, l.fullname from tiledesk.leads l join tiledesk.requests r on r.lead_id = l.id
        where l.email is not null and l.fullname like '% %' limit 1`,
    );
    if (lead === undefined) throw new Error('no lead with a request');
    const needles = [lead.email, lead.fullname];
    expect((await searchDump(database.url, needles)).length).toBeGreaterThan(2);
    const planned = await planFor(app, { emails: [lead.email] });
    expect(planned).toMatchObject({ alike: { counts: {} }, matched: { 'tiledesk.leads': 1 } });

    const report = await erasePerson(app, { emails: [lead.email] });

    expect(report).toMatchObject({ state: 'done', residue: {} });
    expect(await searchDump(database.url, needles)).toEqual([]);
    const [row] = await query(database.url, 'select * from tiledesk.leads where id = $1', [lead.id]);
    expect(row).toMatchObject({ raw: { erased: true }, content_hash: 'erased', company: null, status: 100 });
    for (const pass of ['incremental', 'reconcile'] as const) {
      for (const result of await setup.syncAll(pass)) {
        expect(result).toMatchObject({ outcome: 'succeeded', created: 0, updated: 0, deleted: 0 });
      }
    }
    expect(await searchDump(database.url, needles)).toEqual([]);
    expect(await readFile(setup.journal, 'utf8')).not.toContain(lead.email);
    expect((await stat(setup.journal)).mode & 0o777).toBe(0o600);
  });

  it('does not take the longer name of another person for hers', async () => {
    const { app, database, sandbox } = setup;
    const leads = await query<{ id: string; email: string }>(
      database.url,
      `select id, email from tiledesk.leads where email is not null and erased_at is null and deleted_at is null order by id limit 5`,
    );
    const names = ['Zoe Madeup', 'Joanzoe Madeupson', 'Maria Zoe Madeup', 'Zoe  Madeup-Rossi', 'Anna Test'];
    for (const [index, { id }] of leads.entries()) sandbox.data.editLead(id, { fullname: names[index] ?? '' });
    await setup.run('leads', 'incremental');
    const note = `update tiledesk.leads set raw = raw || '{"note": "ask zoe madeup, not maria zoe madeup"}' where id = $1`;
    await query(database.url, note, [leads[4]?.id]);

    const planned = await planFor(app, { leads: [leads[0]?.id ?? ''] });
    expect(planned).toMatchObject({ plan: { names: ['zoe madeup'] }, sharedNames: 0 });
    const found = [`tiledesk.leads:${leads[4]?.id}`];
    expect(planned.alike).toEqual({ counts: { 'tiledesk.leads': 1 }, rows: found });
    const report = await erasePerson(app, { leads: [leads[0]?.id ?? ''] });
    expect(report).toMatchObject({ state: 'residue', residue: { 'tiledesk.leads': 1 }, found });

    // Without the text that names her, the other persons stay and nothing is left of her.
    await query(database.url, `update tiledesk.leads set raw = raw - 'note' where id = $1`, [leads[4]?.id]);
    const again = await planFor(app, { leads: [leads[1]?.id ?? ''] });
    const hers = { ...again.plan, names: ['zoe madeup'], addresses: [], numbers: [] };
    const parts = { prisma: app.database.prisma, targets: await erasureTargets(app) };
    expect(await search(parts, hers, [])).toEqual({ counts: {}, rows: [] });
  });

  it('counts what was erased before it was stopped, too', async () => {
    const { app, database } = setup;
    const [lead] = await query<{ id: string }>(
      database.url,
      `select l.id from tiledesk.leads l join tiledesk.requests r on r.lead_id = l.id where l.erased_at is null and l.deleted_at is null limit 1`,
    );
    const selectors = { leads: [lead?.id ?? ''] };
    const { matched } = await planFor(app, selectors);
    const onStep = async (step: string) => {
      if (step === 'rows') throw new Error('killed');
    };
    await expect(erasePerson(app, selectors, { parts: { onStep } })).rejects.toThrow('killed');
    const unfinished = `select id, counts from sync.erasures where state = 'erasing'`;
    const [erasure] = await query<{ id: string; counts: unknown }>(database.url, unfinished);
    expect(erasure?.counts).toEqual(matched);
    const parts = await erasureParts(app, { signal: new AbortController().signal });
    expect(await resume(parts, erasure?.id ?? '')).toMatchObject({ state: 'done', erased: matched });
  });

  it('empties the versions of the rows, writes none for that, and tells the feed', async () => {
    const { app, database } = setup;
    const access = { prisma: app.database.prisma, url: database.url };
    const tables = app.connections.flatMap(({ streams }) => streams.map(({ table }) => table));
    await ensureHistory(access, tables, ['tiledesk.leads']);
    await ensureFeed(access, tables, ['tiledesk.leads']);
    const [lead] = await query<{ id: string }>(
      database.url,
      `update tiledesk.leads set company = 'Made-up Shop' where id = (select id from tiledesk.leads
        where erased_at is null and deleted_at is null and email is not null limit 1) returning id`,
    );
    const versions = () =>
      query<{ op: string; company: string | null; status: number | null }>(
        database.url,
        'select op, company, status from tiledesk.leads_history where id = $1 order by seq',
        [lead?.id],
      );
    const before = await versions();
    expect(before.at(-1)?.company).toBe('Made-up Shop');

    await erasePerson(app, { leads: [lead?.id ?? ''] });

    expect(await versions()).toEqual(before.map((version) => ({ ...version, company: null })));
    const told = await query<{ op: string }>(database.url, 'select op from sync.changes where id = $1 order by seq', [
      lead?.id,
    ]);
    expect(told.map(({ op }) => op)).toEqual(['u', 'e']);

    const [other] = await query<{ id: string }>(
      database.url,
      'select id from tiledesk.leads where erased_at is null limit 1',
    );
    await erasePerson(app, { leads: [other?.id ?? ''] }, { deletesRows: true });
    expect(await query(database.url, 'select distinct op from sync.changes where id = $1', [other?.id])).toEqual([
      { op: 'e' },
    ]);
    expect(await query(database.url, 'select op from tiledesk.leads_history where id = $1', [other?.id])).toEqual([]);
  });

  it('keeps a person away from a table that was emptied by hand', async () => {
    const { app, database } = setup;
    const [lead] = await query<{ id: string; email: string }>(
      database.url,
      'select id, email from tiledesk.leads where email is not null and erased_at is null and deleted_at is null limit 1',
    );
    await erasePerson(app, { emails: [lead?.email ?? ''] });
    await query(database.url, 'truncate tiledesk.leads');
    for (const result of await setup.syncAll('reconcile')) expect(result).toMatchObject({ outcome: 'succeeded' });
    const rows = await query<{ id: string }>(database.url, 'select id from tiledesk.leads');
    expect(rows.length).toBeGreaterThan(30);
    expect(rows.map(({ id }) => id)).not.toContain(lead?.id);
    expect(await searchDump(database.url, [lead?.email ?? ''])).toEqual([]);
  });
});
