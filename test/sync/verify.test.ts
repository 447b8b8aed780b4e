import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { VerifyJob } from '../../src/sync/verify.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { setupTilkee } from '../helpers/tilkee-mirror.ts';

const HOUR = 3_600_000;

let setup: MirrorSetup;
let client: pg.Client;
beforeAll(async () => {
  setup = await setupMirror({ leads: 600, requests: 900, now: Date.now() - HOUR });
  client = new pg.Client({ connectionString: setup.database.url });
  await client.connect();
  await setup.syncAll();
});
afterAll(async () => {
  await client.end();
  await setup.close();
});

function verify(name: string, changes: Partial<VerifyJob> = {}) {
  const found = setup.app.findStream(setup.app.connections[0]?.id ?? '', `tiledesk.${name}`);
  if (found === undefined) throw new Error(name);
  const signal = new AbortController().signal;
  const refresh = async () => {
    await setup.run(name, 'incremental');
  };
  const waits = { signal, maxWaitMs: 60_000, leaseWaitMs: 0 };
  return setup.app.verifyStream({ ...found, ...waits, sample: 1, repair: false, refresh, ...changes });
}

const ids = async (sql: string) => (await client.query<{ id: string }>(sql)).rows.map(({ id }) => id).sort();

describe('verify', () => {
  it('proves an equal mirror, and keeps the proof', async () => {
    const report = await verify('requests');
    expect(report).toMatchObject({ upstreamRows: 900, comparedRows: 900, findings: [], repaired: 0, error: null });
    const { rows } =
      await client.query(`select upstream_rows, compared_rows, missing + stale + extra + different as found
      from sync.verifications where stream = 'tiledesk.requests'`);
    expect(rows).toEqual([{ upstream_rows: '900', compared_rows: '900', found: 0 }]);
  });

  it('compares a part by content when asked to, always the same part', async () => {
    const first = await verify('requests', { sample: 0.2 });
    const second = await verify('requests', { sample: 0.2 });
    expect(first.comparedRows).toBeGreaterThan(100);
    expect(first.comparedRows).toBeLessThan(270);
    expect(second.comparedRows).toBe(first.comparedRows);
  });

  it('names 37 removed and 12 corrupted rows, no others, and repairs exactly these', async () => {
    const all = await ids('select id from tiledesk.requests');
    const removed = all.filter((_, index) => index % 24 === 3).slice(0, 37);
    const corrupted = all
      .filter((_, index) => index % 70 === 5)
      .filter((id) => !removed.includes(id))
      .slice(0, 12);
    expect([removed.length, corrupted.length]).toEqual([37, 12]);
    await client.query('delete from tiledesk.requests where id = any($1)', [removed]);
    const ways = [
      `first_text = 'corrupted'`,
      `raw = raw || '{"status": 7}'`,
      `content_hash = 'nonsense'`,
      `updated_at = '2099-01-01'`,
      `deleted_at = now()`,
      `participants = '{nobody}'`,
    ];
    for (const [index, id] of corrupted.entries()) {
      await client.query(`update tiledesk.requests set ${ways[index % ways.length]} where id = $1`, [id]);
    }
    const untouched = `select id || ' ' || xmin as id from tiledesk.requests where not (id = any('{${corrupted}}'))`;
    const before = await ids(untouched);

    const report = await verify('requests');
    expect(report.findings.map(({ id }) => id)).toEqual([...removed, ...corrupted].sort());
    expect(await ids(untouched)).toEqual(before);

    const repair = await verify('requests', { repair: true });
    expect(repair).toMatchObject({ repaired: 49, error: null });
    expect(repair.findings).toHaveLength(49);
    expect(await compareMirror(setup.database.url, setup.sandbox, 'requests')).toEqual(EQUAL);
    const after = new Set(await ids(untouched));
    expect(before.every((line) => after.has(line))).toBe(true);
    expect((await verify('requests')).findings).toEqual([]);
  });

  it('finds rows that the upstream has not, and marks them when asked to repair', async () => {
    await client.query(`insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id, synced_at)
      select connection_id, 'f' || substr(id, 2), raw, content_hash, run_id, now() - interval '1 day' from tiledesk.leads
      where deleted_at is null order by id limit 2`);
    const report = await verify('leads');
    expect(report.findings.map(({ kind }) => kind)).toEqual(['extra', 'extra']);
    expect(await verify('leads', { repair: true })).toMatchObject({ repaired: 2 });
    expect((await verify('leads')).findings).toEqual([]);
  });

  it('marks nothing on the strength of empty answers, although a person agreed to some deletions', async () => {
    const alive = 'select count(*)::int as n from tiledesk.departments where deleted_at is null';
    const [before] = (await client.query(alive)).rows;
    await client.query(`update sync.streams set deletions_accepted_at = now() where stream = 'tiledesk.departments'`);
    setup.sandbox.faults.push({ kind: 'empty-list', times: Number.POSITIVE_INFINITY });
    const report = await verify('departments', { repair: true });
    setup.sandbox.faults.clear();
    await client.query(`update sync.streams set deletions_accepted_at = null`);
    expect(report).toMatchObject({ repaired: 0, error: { code: 'suddenly_empty' } });
    expect((await client.query(alive)).rows).toEqual([before]);
    expect(before.n).toBeGreaterThan(0);
  });

  it('does not report what only changed while it looked', async () => {
    let answers = 0;
    setup.sandbox.faults.afterAnswer = ({ list }) => {
      if (list !== 'requests') return;
      answers += 1;
      if (answers < 30) setup.sandbox.data.randomEdits(2, { hardDeletes: false });
    };
    const report = await verify('requests');
    setup.sandbox.faults.afterAnswer = undefined;
    expect(report).toMatchObject({ findings: [], error: null });
  });

  it('names the fields that differ, and no value', async () => {
    // Not of late: an incremental pass would mend them.
    const [one = '', two = '', three = ''] = await ids(
      `select id from tiledesk.requests where deleted_at is null and updated_at < now() - interval '1 day'`,
    );
    await client.query(`update tiledesk.requests set first_text = 'canary', participants = '{canary}' where id = $1`, [
      one,
    ]);
    await client.query(
      `update tiledesk.requests set raw = raw || '{"closed_by": "canary", "canary@example.net": 1}' where id = $1`,
      [two],
    );
    await client.query(`update tiledesk.requests set content_hash = 'canary' where id = $1`, [three]);
    const report = await verify('requests');
    expect(report.findings).toEqual([
      { id: one, kind: 'different', fields: ['first_text', 'participants'] },
      { id: two, kind: 'different', fields: ['(odd name)', 'closed_by'] },
      { id: three, kind: 'different', fields: ['content_hash'] },
    ]);
    expect(await verify('requests', { repair: true })).toMatchObject({ repaired: 3 });
  });

  it('reports nothing of an account that never rests, with incremental passes beside it, and exactly what was planted', async () => {
    const all = await ids('select id from tiledesk.requests where deleted_at is null');
    const planted = all.filter((_, index) => index % 18 === 7).slice(0, 49);
    const busy = all.filter((id) => !planted.includes(id));
    let edits = 0;
    let passes: Promise<unknown> = Promise.resolve();
    // One after the other, as a daemon would.
    const pass = async () => {
      passes = passes.then(() => setup.run('requests', 'incremental'));
      await passes;
    };
    const editSome = () => {
      for (let n = 0; n < 3; n += 1) {
        setup.sandbox.data.touchRequest(busy[(edits * 37) % busy.length] ?? '', { first_text: `edit ${edits}` });
        edits += 1;
      }
    };
    setup.sandbox.faults.afterAnswer = ({ list }) => {
      if (list !== 'requests') return;
      editSome();
      if (edits % 30 === 0) void pass();
    };
    const calm = await verify('requests', { refresh: pass });
    await passes;
    await client.query(`update tiledesk.requests set subject = 'planted' where id = any($1)`, [planted]);
    const report = await verify('requests', { refresh: pass });
    setup.sandbox.faults.afterAnswer = undefined;
    await passes;
    expect(edits).toBeGreaterThan(60);
    expect(calm).toMatchObject({ findings: [], error: null });
    expect(report.findings).toEqual(planted.map((id) => ({ id, kind: 'different', fields: ['subject'] })));
    expect(await verify('requests', { repair: true })).toMatchObject({ repaired: 49, error: null });
    await setup.run('requests', 'incremental');
    expect((await verify('requests')).findings).toEqual([]);
  });

  it('takes back a difference that was mended after it was seen', async () => {
    const [id = ''] = (await ids('select id from tiledesk.requests where deleted_at is null')).slice(-1);
    const spoil = () => client.query(`update tiledesk.requests set subject = 'wrong' where id = $1`, [id]);
    await spoil();
    expect((await verify('requests')).findings).toEqual([{ id, kind: 'different', fields: ['subject'] }]);
    // It was compared on the first page; another run writes it while the last ones are read.
    let mending: Promise<unknown> | null = null;
    const onProgress = () => {
      mending ??= client.query(`update tiledesk.requests set subject = null, synced_at = now() where id = $1`, [id]);
    };
    const report = await verify('requests', { onProgress });
    await mending;
    expect(report).toMatchObject({ findings: [], error: null });
    await client.query(`update tiledesk.requests set synced_at = now() - interval '1 day' where id = $1`, [id]);
    expect(await verify('requests', { repair: true })).toMatchObject({ error: null });
  });

  it('proves nothing when the walk could not be finished', async () => {
    setup.sandbox.faults.push({
      kind: '401-text',
      times: Number.POSITIVE_INFINITY,
      match: ({ list }) => list !== 'signin',
    });
    const before = await client.query('select verified_at from sync.verifications order by 1');
    const report = await verify('requests', { refresh: async () => {} });
    setup.sandbox.faults.clear();
    expect(report.error).toMatchObject({ code: 'auth_failed' });
    expect((await client.query('select verified_at from sync.verifications order by 1')).rows).toEqual(before.rows);
  });
});

describe('verify of an unsorted source', () => {
  it('names what differs, and repairs it', async () => {
    const tilkee = await setupTilkee();
    try {
      await tilkee.syncAll('backfill');
      await tilkee.query(`delete from tilkee.tokens where id in (select id from tilkee.tokens order by id limit 5)`);
      await tilkee.query(
        `update tilkee.tokens set name = 'corrupted' where id in (select id from tilkee.tokens order by id limit 3)`,
      );
      const found = tilkee.app.findStream('tilkee:default', 'tilkee.tokens');
      if (found === undefined) throw new Error('no tokens');
      const signal = new AbortController().signal;
      const job = { ...found, signal, maxWaitMs: 60_000, leaseWaitMs: 0, sample: 1, refresh: async () => {} };
      const report = await tilkee.app.verifyStream({ ...job, repair: false });
      const kinds = report.findings.map(({ kind }) => kind).sort();
      expect(kinds).toEqual([...Array(3).fill('different'), ...Array(5).fill('missing')]);
      expect(await tilkee.app.verifyStream({ ...job, repair: true })).toMatchObject({ repaired: 8 });
      expect((await tilkee.app.verifyStream({ ...job, repair: false })).findings).toEqual([]);
    } finally {
      await tilkee.close();
    }
  });
});
