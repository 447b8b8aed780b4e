import { afterEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { TiledeskSandboxOptions } from '../../sandbox/tiledesk.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';

let setup: MirrorSetup;
let client: pg.Client;
afterEach(async () => {
  await client.end();
  await setup.close();
});

const HOUR = 3_600_000;

/** A project whose requests and messages are mirrored. */
async function start(options: TiledeskSandboxOptions = {}, env: Readonly<Record<string, string>> = {}) {
  setup = await setupMirror(
    { leads: 20, requests: 60, now: Date.now() - HOUR, ...options },
    { TILEDESK_STREAMS: 'messages,requests', ...env },
  );
  client = new pg.Client({ connectionString: setup.database.url });
  await client.connect();
  return setup.sandbox.data;
}

async function query<T extends object>(sql: string): Promise<T[]> {
  return (await client.query(sql)).rows as T[];
}

const difference = () => compareMirror(setup.database.url, setup.sandbox, 'messages');

async function mirrorBoth(): Promise<void> {
  for (const stream of ['requests', 'messages']) {
    expect(await setup.run(stream, 'backfill')).toMatchObject({ outcome: 'succeeded' });
  }
}

/** What the schedule does, in its order. */
async function tick() {
  await setup.run('requests', 'incremental');
  return setup.run('messages', 'incremental');
}

const asked = () => setup.sandbox.log.filter(({ list }) => list === 'messages');
const askedFor = () => asked().map(({ path }) => path.split('/').at(-2));

describe('messages', () => {
  it('wait for their conversations, in whatever order the streams are named', async () => {
    await start();
    expect(setup.app.connections[0]?.streams.map(({ name }) => name)).toEqual([
      'tiledesk.requests',
      'tiledesk.messages',
    ]);
    const early = await setup.run('messages', 'backfill');
    expect(early).toMatchObject({ outcome: 'postponed', error: { code: 'parent_first' }, retryInMs: 60_000 });
    expect(asked()).toEqual([]);
  });

  it('of every conversation are mirrored whole, with one request each; nothing is asked while nothing changes', async () => {
    const data = await start();
    await setup.run('requests', 'backfill');
    setup.sandbox.clearLog();

    const first = await setup.run('messages', 'backfill');

    expect(first).toMatchObject({ outcome: 'succeeded', requests: data.requests.size, quarantined: 0 });
    expect(first.created).toBe(data.listable().messages.length);
    expect(new Set(askedFor()).size).toBe(data.requests.size);
    expect(asked()).toHaveLength(data.requests.size);
    expect(await difference()).toEqual(EQUAL);

    setup.sandbox.clearLog();
    expect(await setup.run('messages', 'incremental')).toMatchObject({ outcome: 'succeeded', requests: 0, read: 0 });
    expect(await tick()).toMatchObject({ outcome: 'succeeded', requests: 0, read: 0 });
    expect(asked()).toEqual([]);
  });

  it('are read again of conversations that changed, of those and no others, once', async () => {
    const data = await start();
    await mirrorBoth();
    const written = [...data.requests.values()].filter((_, index) => index % 12 === 5);
    for (const { _id } of written) data.writeMessage(_id, 'A made-up answer');
    setup.sandbox.clearLog();

    const result = await tick();

    expect(result).toMatchObject({ outcome: 'succeeded', requests: written.length, created: written.length });
    expect(askedFor().sort()).toEqual(written.map(({ request_id }) => request_id).sort());
    expect(await difference()).toEqual(EQUAL);
    expect((await tick()).requests).toBe(0);
  });

  it('that are written while conversations are being read arrive with the next passes', async () => {
    const data = await start({ requests: 40 });
    await setup.run('requests', 'backfill');
    let left = 25;
    setup.sandbox.faults.afterAnswer = ({ list }) => {
      if (list !== 'messages' || left-- <= 0) return;
      data.randomEdits(2);
    };
    await setup.run('messages', 'backfill');
    left = 5;
    await tick();
    setup.sandbox.faults.afterAnswer = undefined;

    await tick();

    expect(await compareMirror(setup.database.url, setup.sandbox, 'requests')).toEqual(EQUAL);
    expect(await difference()).toEqual(EQUAL);
  });

  it('of conversations that a full sync found, or a person repaired, are read too, however old those are', async () => {
    await start();
    await mirrorBoth();
    await client.query(`with late as (delete from tiledesk.requests where id in (select id from tiledesk.requests order by created_at limit 3) returning request_id)
      delete from tiledesk.messages where request_id in (select request_id from late)`);
    expect((await difference()).missing.length).toBeGreaterThan(0);

    expect(await setup.run('requests', 'reconcile')).toMatchObject({ created: 3 });
    expect(await setup.run('messages', 'incremental')).toMatchObject({ requests: 3 });

    expect(await difference()).toEqual(EQUAL);
  });

  it('of a page that is committed late are read too', async () => {
    const data = await start();
    await mirrorBoth();
    const [late] = data.requests.values();
    if (late === undefined) throw new Error('no request');
    data.writeMessage(late._id, 'One more');
    // A transaction that began before the pass and ends after it.
    await client.query('begin');
    await client.query('update tiledesk.requests set synced_at = now() where id = $1', [late._id]);
    expect(await setup.run('messages', 'incremental')).toMatchObject({ requests: 0 });
    await client.query('commit');

    expect(await setup.run('messages', 'incremental')).toMatchObject({ requests: 1, created: 1 });
    expect(await difference()).toEqual(EQUAL);
  });

  it('do not count as fresh when their conversations are not', async () => {
    await start();
    await mirrorBoth();
    expect(await query(`update sync.streams set fresh_within_seconds = 600 returning stream`)).toHaveLength(2);
    const age = (pass: string) =>
      client.query(`update sync.checkpoints set completed_at = now() - interval '1 hour', started_at = now() - interval '1 hour'
        where stream = 'tiledesk.requests' and pass = '${pass}'`);
    await age('backfill');

    const result = await setup.run('messages', 'incremental');

    expect(result).toMatchObject({ outcome: 'postponed', error: { code: 'parent_first' } });
    expect(await tick()).toMatchObject({ outcome: 'succeeded' });
  });
});

describe('a pass over messages that is stopped', () => {
  it.each(['backfill', 'incremental'] as const)(
    'in the middle of a %s goes on where it was: nothing is lost',
    async (pass) => {
      const data = await start();
      await setup.run('requests', 'backfill');
      if (pass === 'incremental') {
        await setup.run('messages', 'backfill');
        for (const { _id } of data.requests.values()) data.writeMessage(_id, 'Once more');
        await setup.run('requests', 'incremental');
      }
      setup.sandbox.clearLog();
      let runs = 0;
      for (let outcome = ''; outcome !== 'succeeded'; runs++) {
        const stopping = new AbortController();
        const until = asked().length + 13;
        setup.sandbox.faults.afterAnswer = ({ list }) => {
          if (list === 'messages' && asked().length >= until) stopping.abort();
        };
        const stopped = await setup.run('messages', pass, { signal: stopping.signal });
        expect(['succeeded', 'cancelled']).toContain(stopped.outcome);
        outcome = stopped.outcome;
      }
      setup.sandbox.faults.afterAnswer = undefined;

      expect(runs).toBeGreaterThan(3);
      // The conversation under way, and the one fetched ahead.
      expect(asked().length).toBeLessThanOrEqual(data.requests.size + 2 * (runs - 1));
      expect(await difference()).toEqual(EQUAL);
      setup.sandbox.clearLog();
      await tick();
      expect(await difference()).toEqual(EQUAL);
    },
  );

  it.each([
    ['500 for long', { kind: '500' as const, times: 10 }, 'upstream_unavailable'],
    ['a page of HTML for long', { kind: 'html-200' as const, times: 10 }, 'not_json'],
    ['garbled JSON for long', { kind: 'garbled-json' as const, times: 10 }, 'not_json'],
  ])(
    'by %s fails at that conversation and skips none',
    async (_, fault, code) => {
      const data = await start({}, { RETRY_ATTEMPTS: '2', RETRY_MAX_SECONDS: '5' });
      await setup.run('requests', 'backfill');
      const bad = [...data.requests.values()][20]?.request_id ?? '';
      setup.sandbox.faults.push({ ...fault, match: ({ path }) => path.includes(bad) });

      expect(await setup.run('messages', 'backfill')).toMatchObject({ outcome: 'failed', error: { code } });
      expect(await query(`select id from tiledesk.messages where request_id = '${bad}'`)).toEqual([]);

      setup.sandbox.faults.clear();
      expect(await setup.run('messages', 'backfill')).toMatchObject({ outcome: 'succeeded' });
      expect(await difference()).toEqual(EQUAL);
    },
    60_000,
  );

  it('by a rate limit waits, and goes on from its checkpoint', async () => {
    const data = await start();
    await setup.run('requests', 'backfill');
    setup.sandbox.faults.push({ kind: '429', retryAfterMs: 2000, match: { list: 'messages', nth: 30 } });

    const first = await setup.run('messages', 'backfill', { maxWaitMs: 500 });
    expect(first).toMatchObject({ outcome: 'postponed', error: { code: 'rate_limited' } });
    const second = await setup.run('messages', 'backfill');

    expect(second.outcome).toBe('succeeded');
    expect(first.requests + second.requests).toBeLessThanOrEqual(data.requests.size + 2);
    expect(await difference()).toEqual(EQUAL);
  });
});

describe('messages of a conversation', () => {
  const deleted = () =>
    query<{ request_id: string; count: number }>(
      `select request_id, count(*)::int as count from tiledesk.messages where deleted_at is not null group by 1 order by 1`,
    );

  it('that was removed upstream are marked when it is, without a request; and live again when it does', async () => {
    const data = await start();
    await mirrorBoth();
    const gone = [...data.requests.values()].filter((_, index) => index % 20 === 3);
    const count = gone.reduce((sum, request) => sum + data.messagesOf(request).length, 0);
    for (const { _id } of gone) data.hardDeleteRequest(_id);
    expect(await setup.run('requests', 'reconcile')).toMatchObject({ deleted: gone.length });
    setup.sandbox.clearLog();

    expect(await setup.run('messages', 'incremental')).toMatchObject({
      outcome: 'succeeded',
      deleted: count,
      requests: 0,
    });

    expect((await deleted()).map(({ request_id }) => request_id)).toEqual(
      gone.map(({ request_id }) => request_id).sort(),
    );
    const [back] = gone;
    if (back === undefined) throw new Error('no request');
    data.collections.requests.put({ ...back, updatedAt: new Date().toISOString() });
    await tick();
    expect(await deleted()).toHaveLength(gone.length - 1);
  });

  it('that a run wrote late are marked by the next full sync, which asks nobody', async () => {
    const data = await start();
    await mirrorBoth();
    const [gone] = data.requests.values();
    if (gone === undefined) throw new Error('no request');
    const count = data.messagesOf(gone).length;
    data.hardDeleteRequest(gone._id);
    await setup.run('requests', 'reconcile');
    await setup.run('messages', 'incremental');
    await client.query('update tiledesk.messages set deleted_at = null');
    setup.sandbox.clearLog();

    const result = await setup.run('messages', 'reconcile');

    expect(result).toMatchObject({ outcome: 'succeeded', deleted: count, requests: 0 });
    expect(await deleted()).toEqual([{ request_id: gone.request_id, count }]);
    expect(await setup.run('messages', 'reconcile')).toMatchObject({ outcome: 'succeeded', deleted: 0 });
  });

  it('whose answer is empty or cut short stay', async () => {
    const data = await start();
    await mirrorBoth();
    for (const { _id } of data.requests.values()) data.touchRequest(_id);
    for (const kind of ['empty-list', 'truncated-page'] as const) {
      setup.sandbox.faults.push({ kind, match: { list: 'messages' }, times: 30 });
    }

    expect(await tick()).toMatchObject({ outcome: 'succeeded', requests: data.requests.size, deleted: 0 });

    expect(await difference()).toEqual(EQUAL);
    expect(await deleted()).toEqual([]);
  });
});

it('a resync reads all conversations again, rows kept', async () => {
  const data = await start();
  await mirrorBoth();
  await client.query(`update tiledesk.messages set text = 'wrong', content_hash = 'wrong'`);
  await client.query(
    `update sync.checkpoints set completed_at = null, cursor = null where stream = 'tiledesk.messages' and pass = 'backfill'`,
  );

  expect(await setup.run('messages', 'backfill')).toMatchObject({
    outcome: 'succeeded',
    requests: data.requests.size,
    created: 0,
  });

  expect(await difference()).toEqual(EQUAL);
});

it('status tells of messages what it tells of others; verify says that it does not compare them', async () => {
  await start();
  await mirrorBoth();
  await tick();
  expect(
    await query(`select stream, state, backfill_completed_at is not null as has_all from sync.status order by 1`),
  ).toEqual([
    { stream: 'tiledesk.messages', state: 'fresh', has_all: true },
    { stream: 'tiledesk.requests', state: 'fresh', has_all: true },
  ]);
  const found = setup.app.findStream(setup.app.connections[0]?.id ?? '', 'tiledesk.messages');
  if (found === undefined) throw new Error('no stream');
  setup.sandbox.clearLog();
  const waits = { signal: new AbortController().signal, maxWaitMs: 1000, leaseWaitMs: 0 };
  const report = await setup.app.verifyStream({ ...found, ...waits, sample: 1, repair: true, refresh: async () => {} });
  expect(report).toMatchObject({ findings: [], comparedRows: 0, repaired: 0, error: { code: 'not_compared' } });
  expect(setup.sandbox.log).toEqual([]);
});

it('personal data of visitors is left out of messages as of everything else', async () => {
  const data = await start({ requests: 3 });
  const [request] = data.requests.values();
  if (request === undefined) throw new Error('no request');
  const last_message = {
    ...data.messagesOf(request)[0],
    _id: 'f00000000000000000000001',
    attributes: { ipAddress: '192.0.2.77', client: 'Mozilla/5.0 canary', plan: 'gold' },
    metadata: { userAgent: 'canary' },
  };
  data.touchRequest(request._id, { attributes: { last_message } });
  await mirrorBoth();
  const [row] = await query<{ raw: object }>(
    `select raw, attributes, metadata from tiledesk.messages where id = 'f00000000000000000000001'`,
  );
  expect(row).toMatchObject({ attributes: { plan: 'gold' } });
  expect(JSON.stringify(row)).not.toMatch(/canary|192\.0\.2\.77/);
});
