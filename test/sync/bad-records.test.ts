import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { pino } from 'pino';
import { RecordError } from '../../src/errors.ts';
import type { Stream } from '../../src/stream.ts';
import { mapPage } from '../../src/sync/map-page.ts';
import { reproject } from '../../src/sync/reproject.ts';
import { retryQuarantine } from '../../src/sync/retry-quarantine.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { setupTilkee } from '../helpers/tilkee-mirror.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

let setup: MirrorSetup;
let sql: pg.Client;
beforeEach(async () => {
  setup = await setupMirror({ leads: 60, requests: 90, now: Date.now() - 3_600_000 });
  sql = new pg.Client({ connectionString: setup.database.url });
  await sql.connect();
});
afterEach(async () => {
  await sql.end();
  await setup.close();
});

const query = async <T extends object>(text: string) => (await sql.query(text)).rows as T[];
const open = () =>
  query<{ record_id: string; reason: string; raw_text: string }>(
    'select record_id, reason, raw_text from sync.quarantine where resolved_at is null order by record_id',
  );
const drift = () =>
  query(`select stream, path, kind, types, seen_count::int, cardinality(record_ids) as ids from sync.schema_drift
    order by stream, path, kind`);
const parts = () => {
  const { database, clock, privacy } = setup.app;
  return { prisma: database.prisma, clock, privacy, logger: unheardLogger() };
};
const never = new AbortController().signal;

function streamNamed(name: string) {
  const [connection] = setup.app.connections;
  const stream = connection?.streams.find((one) => one.name === name);
  if (connection === undefined || stream === undefined) throw new Error(`no stream ${name}`);
  return { connection, stream, signal: never };
}

const incompressible = () => randomBytes(9000).toString('base64');

describe('a record that the database refuses', () => {
  it('is set aside, the others are written; a later version that is written resolves it', async () => {
    const [id = ''] = [...setup.sandbox.data.leads.keys()];
    setup.sandbox.data.editLead(id, { email: incompressible() });

    const first = await setup.run('leads', 'backfill');

    expect(first).toMatchObject({ outcome: 'partial', error: { code: 'quarantined' }, created: 59, quarantined: 1 });
    expect(await open()).toMatchObject([{ record_id: id, reason: 'refused_by_database' }]);
    expect(await query(`select outcome, quarantined::int from sync.runs`)).toEqual([
      { outcome: 'partial', quarantined: 1 },
    ]);
    expect(await query(`select cursor from sync.checkpoints where pass = 'backfill'`)).toEqual([{ cursor: null }]);

    setup.sandbox.data.editLead(id, { email: 'short@example.net' });
    expect(await setup.run('leads', 'incremental')).toMatchObject({ outcome: 'succeeded', created: 1 });
    expect(await open()).toEqual([]);
  });

  it('is written by a retry without a request, once the database takes it', async () => {
    const [id = ''] = [...setup.sandbox.data.leads.keys()];
    setup.sandbox.data.editLead(id, { email: incompressible() });
    await setup.run('leads', 'backfill');
    setup.sandbox.clearLog();

    const refused = await retryQuarantine(parts(), streamNamed('tiledesk.leads'));
    expect(refused).toMatchObject({ tried: 1, resolved: 0, left: 1 });
    expect(await open()).toMatchObject([{ record_id: id, reason: 'refused_by_database' }]);

    await query('drop index tiledesk.leads_email_idx');
    const written = await retryQuarantine(parts(), streamNamed('tiledesk.leads'));

    expect(written).toMatchObject({ tried: 1, resolved: 1, left: 0 });
    expect(await open()).toEqual([]);
    expect(await query(`select id from tiledesk.leads where id = '${id}'`)).toHaveLength(1);
    expect(setup.sandbox.log).toEqual([]);
  });
});

describe('a mapping that fails on a record', () => {
  const broken = (stream: Stream): Stream => ({
    ...stream,
    mapRecord(record) {
      const row = stream.mapRecord(record);
      if (row.id === 'b') throw new TypeError(`cannot read ${JSON.stringify(record)}`);
      return row;
    },
  });

  it('costs that record only, and its content is in no log', () => {
    const lines: string[] = [];
    const logger = pino({ base: null }, { write: (line) => lines.push(line) });
    const records = [{ _id: 'a' }, { _id: 'b', email: 'canary@example.net', userAgent: 'canary' }, { none: 1 }];
    const entries = records.map(({ _id: id = null }) => ({ id, createdAt: null, updatedAt: null }));
    const page = { records, entries, pageSize: null, total: null, serverTime: null };

    const { rows, bad } = mapPage(broken(streamNamed('tiledesk.leads').stream), page, logger);

    expect(rows.map(({ id }) => id)).toEqual(['a']);
    expect(bad).toEqual([
      {
        recordId: 'b',
        reason: 'unmappable',
        detail: { error: 'TypeError' },
        rawText: '{"_id":"b","email":"canary@example.net"}',
      },
      { recordId: null, reason: 'no_id', detail: { field: '_id', found: 'absent' }, rawText: '{"none":1}' },
    ]);
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({
        stream: 'tiledesk.leads',
        error: 'TypeError',
        at: expect.stringContaining('mapRecord'),
      }),
    ]);
    expect(lines.join()).not.toContain('canary');
  });

  it('is corrected by a retry after the mapping was', async () => {
    const { connection, stream } = streamNamed('tiledesk.leads');
    let isBroken = true;
    const failing: Stream = {
      ...stream,
      mapRecord(record) {
        const row = stream.mapRecord(record);
        if (isBroken && Number.parseInt(row.id.slice(-1), 16) % 2 === 0)
          throw new RecordError('odd', 'odd', { recordId: row.id });
        return row;
      },
    };
    const job = { connection, stream: failing, pass: 'backfill' as const, maxWaitMs: 1000, leaseWaitMs: 0 };
    expect((await setup.app.runPass({ ...job, signal: never })).outcome).toBe('partial');
    const aside = (await open()).length;
    expect(aside).toBeGreaterThan(10);

    isBroken = false;
    expect(await retryQuarantine(parts(), { connection, stream: failing, signal: never })).toEqual({
      connection: connection.id,
      stream: 'tiledesk.leads',
      tried: aside,
      resolved: aside,
      left: 0,
    });
    expect(await query('select id from tiledesk.leads')).toHaveLength(60);
  });
});

describe('schema drift', () => {
  it('is empty for everything that the simulated products send', async () => {
    await setup.syncAll();
    expect(await drift()).toEqual([]);
    const v2 = { TILKEE_PROJECTS_API: 'v2', TILKEE_STORE_LINKS: 'true', STORE_VISITOR_PII: 'true' };
    const settings: readonly Record<string, string>[] = [{}, v2];
    for (const env of settings) {
      const tilkee = await setupTilkee({ env, projects: 12, items: 15, tokens: 20, visits: 30 });
      try {
        await tilkee.syncAll('backfill');
        expect(await tilkee.query('select stream, path, kind, types from sync.schema_drift')).toEqual([]);
      } finally {
        await tilkee.close();
      }
    }
  });

  it('counts new fields and other types by name, without a value', async () => {
    const { leads } = setup.sandbox.data;
    for (const [index, id] of [...leads.keys()].slice(0, 12).entries()) {
      setup.sandbox.data.editLead(id, {
        newcomer: index % 2 === 0 ? 'canary' : { deep: 'canary' },
        phone: 612_345_678,
        city: null,
        ...(index < 3 ? { 'canary@example.net': 1, [`${index}612345678`]: 'x', ['x'.repeat(65)]: true } : {}),
      } as never);
    }
    const result = await setup.run('leads', 'backfill');

    expect(result.outcome).toBe('succeeded');
    expect(await drift()).toEqual([
      {
        stream: 'tiledesk.leads',
        path: '(odd name)',
        kind: 'new_field',
        types: ['boolean', 'number', 'string'],
        seen_count: 3,
        ids: 3,
      },
      {
        stream: 'tiledesk.leads',
        path: 'newcomer',
        kind: 'new_field',
        types: ['object', 'string'],
        seen_count: 12,
        ids: 10,
      },
      { stream: 'tiledesk.leads', path: 'phone', kind: 'other_type', types: ['number'], seen_count: 12, ids: 10 },
    ]);
    expect(JSON.stringify(await query('select * from sync.schema_drift'))).not.toMatch(/canary|612345678/);

    // The same rows again, as every tick reads them: nothing new to say.
    await setup.run('leads', 'incremental');
    expect(await query('select max(seen_count)::int as most from sync.schema_drift')).toEqual([{ most: 12 }]);
    const [id = ''] = [...leads.keys()];
    setup.sandbox.data.editLead(id, { fullname: 'changed' });
    await setup.run('leads', 'incremental');
    expect(await query('select max(seen_count)::int > 12 as counted from sync.schema_drift')).toEqual([
      { counted: true },
    ]);
  });

  it('that cannot be noted does not fail the run', async () => {
    const [id = ''] = [...setup.sandbox.data.leads.keys()];
    setup.sandbox.data.editLead(id, { newcomer: 1 } as never);
    await query('alter table sync.schema_drift rename to elsewhere');
    expect((await setup.run('leads', 'backfill')).outcome).toBe('succeeded');
  });
});

describe('reproject', () => {
  it('derives the columns of every row again, without a request, and finds nothing the second time', async () => {
    await setup.syncAll();
    const before = await query('select * from tiledesk.requests order by id');
    await query(`update tiledesk.requests set first_text = 'wrong', status = null, tags = '{wrong}', contact = '{"wrong":1}',
      created_at = null where right(id, 1) in ('0', '2', '4', '6', '8', 'a', 'c', 'e')`);
    const [{ wrong } = { wrong: 0 }] = await query<{ wrong: number }>(
      `select count(*)::int as wrong from tiledesk.requests where first_text = 'wrong'`,
    );
    setup.sandbox.clearLog();
    const seen: number[] = [];

    const job = { ...streamNamed('tiledesk.requests'), onProgress: ({ read }: { read: number }) => seen.push(read) };
    const report = await reproject(parts(), job);

    expect(report).toMatchObject({ rows: 90, read: 90, rewritten: wrong, failed: 0 });
    expect(seen.at(-1)).toBe(90);
    const withoutTime = (rows: object[]) => rows.map((row) => ({ ...row, synced_at: null }));
    expect(withoutTime(await query('select * from tiledesk.requests order by id'))).toEqual(withoutTime(before));
    expect(await reproject(parts(), job)).toMatchObject({ read: 90, rewritten: 0 });
    expect(setup.sandbox.log).toEqual([]);
  });

  it('leaves rows as they are that the mapping or the database does not take', async () => {
    await setup.run('leads', 'backfill');
    const { connection, stream } = streamNamed('tiledesk.leads');
    const [one, two] = await query<{ id: string }>('select id from tiledesk.leads order by id limit 2');
    const other: Stream = {
      ...stream,
      mapRecord(record) {
        const row = stream.mapRecord(record);
        if (row.id === one?.id) throw new TypeError('no');
        return { ...row, note: 'derived', ...(row.id === two?.id ? { email: incompressible() } : {}) };
      },
    };
    const report = await reproject(parts(), { connection, stream: other, signal: never });
    expect(report).toMatchObject({ read: 60, rewritten: 58, failed: 2 });
    expect(await query(`select count(*)::int as count from tiledesk.leads where note = 'derived'`)).toEqual([
      { count: 58 },
    ]);
  });

  it('stops when told, and goes through the rest the next time', async () => {
    await setup.run('requests', 'backfill');
    await query(`update tiledesk.requests set first_text = 'wrong'`);
    const stop = new AbortController();
    const job = { ...streamNamed('tiledesk.requests'), signal: stop.signal, onProgress: () => stop.abort() };
    await expect(reproject(parts(), job)).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    await reproject(parts(), streamNamed('tiledesk.requests'));
    expect(await query(`select id from tiledesk.requests where first_text = 'wrong'`)).toEqual([]);
  });
});
