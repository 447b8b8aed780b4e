import { afterEach, describe, expect, it } from '@jest/globals';
import { cleanUp } from '../../src/app/clean-up.ts';
import { erasureTargets } from '../../src/app/erase-person.ts';
import { verifySelected } from '../../src/app/verify-streams.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import type { Pass, RetentionRule } from '../../src/stream.ts';
import { applyRetention, type RetentionOptions, type RetentionParts } from '../../src/sync/privacy/retain.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { type BothProducts, quarantine, setupBoth } from './both-products.ts';
import { backUp, erasePerson, openApp, query, searchDump } from './support.ts';

const never = new AbortController().signal;
const LEADS: RetentionRule = { stream: 'tiledesk.leads', since: 'last_contact', after: '60 days', do: 'erase' };
const TEXTS: RetentionRule = { ...LEADS, do: 'texts' };

let setup: BothProducts;
afterEach(() => setup.close());

async function retain(
  rules: readonly RetentionRule[],
  { parts = {}, ...options }: RetentionOptions & { readonly parts?: Partial<RetentionParts> } = {},
) {
  const { app } = setup;
  const targets = await erasureTargets(app);
  const { prisma } = app.database;
  const own = { prisma, targets, rules, visitsCount: false, share: 0.1, signal: never, logger: unheardLogger() };
  return applyRetention({ ...own, clock: app.clock, privacy: app.privacy, ...parts }, options);
}

async function run(pass: Pass, ...names: readonly string[]): Promise<void> {
  for (const connection of setup.app.connections) {
    for (const stream of connection.streams) {
      if (names.length > 0 && !names.includes(stream.name)) continue;
      const waits = { maxWaitMs: 60_000, leaseWaitMs: 0 };
      const { outcome } = await setup.app.runPass({ connection, stream, pass, signal: never, ...waits });
      expect({ name: stream.name, outcome }).toEqual({ name: stream.name, outcome: 'succeeded' });
    }
  }
}

async function differences(name: string) {
  const connection = setup.app.connections.find(({ streams }) => streams.some((one) => one.name === name));
  const stream = connection?.streams.find((one) => one.name === name);
  if (connection === undefined || stream === undefined) throw new Error(`no ${name}`);
  const { report, error } = await verifySelected(setup.app, { connection, stream }, { signal: never, repair: false });
  return { findings: report?.findings, error };
}

interface Person {
  readonly id: string;
  readonly email: string | null;
  readonly is_due: boolean;
}

/** Leads with whether the last contact was more than 60 days ago, asked without the code under test. */
const people = () =>
  query<Person>(
    setup.database.url,
    `select l.id, l.email, greatest(l.created_at, (select max(r.created_at) from tiledesk.requests r where r.lead_id in (l.id, l.lead_id)),
        (select max(m.created_at) from tiledesk.messages m where m.sender in (l.id, l.lead_id))) < now() - interval '60 days' as is_due
      from tiledesk.leads l order by l.id`,
  );

const erasedLeads = async () =>
  (
    await query<{ id: string }>(
      setup.database.url,
      'select id from tiledesk.leads where erased_at is not null order by id',
    )
  ).map(({ id }) => id);

const dueIds = (all: readonly Person[]) => all.filter(({ is_due }) => is_due).map(({ id }) => id);

/** Addresses that only leads have whose time is over. */
function dueAddresses(all: readonly Person[]): string[] {
  const kept = new Set(all.filter(({ is_due }) => !is_due).map(({ email }) => email?.toLowerCase()));
  return all.flatMap(({ email, is_due }) =>
    is_due && email !== null && !kept.has(email.toLowerCase()) ? [email] : [],
  );
}

const found = async (addresses: readonly string[]) =>
  (await searchDump(setup.database.url, addresses)).filter((text) => !text.startsWith('tilkee.'));

/** Names, addresses, numbers and what was written, of the persons whose time is over and of no other one. */
async function textsOf(ids: readonly string[]): Promise<string[]> {
  const [row] = await query<{ own: (string | null)[]; others: string }>(
    setup.database.url,
    `with due as (select l.*, array[l.id, l.lead_id] as keys from tiledesk.leads l where l.id = any($1)),
      keys as (select unnest(keys) as key from due),
      asked as (select * from tiledesk.requests where lead_id in (select key from keys)),
      links as (select * from tilkee.tokens where external_id in (select key from keys))
    select array(
        select unnest(array[email, phone, fullname]) from due union select first_text from asked
        union select text from tiledesk.messages where request_id in (select request_id from asked) union select name from links
      ) as own, lower(concat(
        (select string_agg(l::text, ' ') from tiledesk.leads l where not l.id = any($1)),
        (select string_agg(r::text, ' ') from tiledesk.requests r where id not in (select id from asked)),
        (select string_agg(m::text, ' ') from tiledesk.messages m where request_id not in (select request_id from asked)),
        (select string_agg(u::text, ' ') from tiledesk.project_users u where uuid_user is null or uuid_user not in (select key from keys)),
        (select string_agg(t::text, ' ') from tilkee.tokens t where id not in (select id from links)),
        (select string_agg(c::text, ' ') from tilkee.connexions c where token_id is null or token_id not in (select id from links)),
        (select string_agg(u::text, ' ') from tilkee.users u), (select string_agg(p::text, ' ') from tilkee.projects p), (select string_agg(i::text, ' ') from tilkee.items i),
        (select string_agg(d::text, ' ') from tiledesk.departments d)
      )) as others`,
    [ids],
  );
  const texts = row?.own.flatMap((text) => (text !== null && text.length > 7 && !/[%_\\"\n]/.test(text) ? [text] : []));
  return texts?.filter((text) => !row?.others.includes(text.toLowerCase())) ?? [];
}

describe('retention by last contact', () => {
  it('leaves no text of a person in any schema, and applies again by itself after a restored backup', async () => {
    const streams = 'tiledesk.leads,tiledesk.requests';
    const rules = 'tiledesk.leads last_contact 60 days erase';
    setup = await setupBoth({
      seed: 5,
      env: { SYNC_HISTORY_STREAMS: streams, SYNC_FEED_STREAMS: streams, PRIVACY_RETENTION: rules },
    });
    const { app, database, tiledesk, env } = setup;
    await setup.syncAll();
    const ids = dueIds(await people());
    const old = Date.now() - 100 * 86_400_000;
    for (const [n, lead] of ids.entries()) {
      tiledesk.data.insertRequest({ lead, first_text: `invented question ${n} of the past` }, old);
      tiledesk.data.editLead(lead, { company: `Invented Company ${n}` });
    }
    await run('reconcile');
    await quarantine(database.url, ids);
    await refreshReporting(app.database);
    const texts = [...(await textsOf(ids)), 'Invented Company'];
    expect(texts.length).toBeGreaterThan(2 * ids.length);
    const schemas = (found: readonly string[]) => [...new Set(found.map((text) => text.split(':', 1)[0]))].sort();
    expect(schemas(await searchDump(database.url, texts))).toEqual(
      expect.arrayContaining(['reporting.people', 'tiledesk.leads_history', 'tiledesk.requests', 'tilkee.tokens']),
    );
    const backup = await backUp(setup);

    for (const [url, open] of [
      [database.url, async () => app],
      [backup.url, () => openApp({ ...env, DATABASE_URL: backup.url })],
    ] as const) {
      const own = await open();
      expect(await cleanUp(own, { logger: unheardLogger(), signal: never })).toBe(false);
      await refreshReporting(own.database);
      expect(await searchDump(url, texts)).toEqual([]);
      if (own !== app) await own.close();
    }
    await backup.drop();
  });

  it('erases persons without contact and what belongs to them, and no pass brings them back', async () => {
    setup = await setupBoth({ seed: 5, env: { SYNC_HISTORY_STREAMS: 'tiledesk.leads' } });
    await setup.syncAll();
    const all = await people();
    const [first = ''] = dueIds(all);
    await quarantine(setup.database.url, [first]);
    // A colleague's edit is no contact.
    setup.tiledesk.data.editLead(first, { company: 'Made-up Shop' });
    await run('incremental', 'tiledesk.leads');
    expect(dueIds(await people())).toEqual(dueIds(all));
    const addresses = dueAddresses(all);
    expect(addresses.length).toBeGreaterThan(5);

    const dry = await retain([LEADS], { isDryRun: true });
    expect(dry.rules[0]).toMatchObject({ due: dueIds(all).length, of: all.length, isBlocked: false });
    expect(dry.rules[0]?.tables).toMatchObject({ 'tiledesk.leads': dueIds(all).length, 'sync.quarantine': 1 });
    expect(Object.keys(dry.rules[0]?.tables ?? {})).toEqual(
      expect.arrayContaining(['tiledesk.requests', 'tiledesk.messages', 'tiledesk.leads_history', 'tilkee.tokens']),
    );
    expect(await erasedLeads()).toEqual([]);

    const done = await retain([LEADS]);
    expect(done.rules).toEqual(dry.rules);
    await refreshReporting(setup.app.database);
    expect(await erasedLeads()).toEqual(dueIds(all));
    expect(await found(addresses)).toEqual([]);
    const log = await query(setup.database.url, 'select reason, state, counts, plan from sync.erasures');
    expect(log).toEqual([{ reason: 'retention', state: 'done', counts: dry.rules[0]?.tables, plan: null }]);

    await run('backfill');
    await run('reconcile');
    expect(await erasedLeads()).toEqual(dueIds(all));
    expect(await found(addresses)).toEqual([]);
    for (const name of ['tiledesk.leads', 'tiledesk.requests', 'tilkee.tokens']) {
      expect({ name, ...(await differences(name)) }).toEqual({ name, findings: [], error: null });
    }
    expect((await retain([LEADS])).rules[0]).toMatchObject({ due: 0, tables: {} });
  });

  it('goes on wherever it was stopped', async () => {
    setup = await setupBoth({ seed: 5 });
    await setup.syncAll();
    const all = await people();
    const [dry] = (await retain([LEADS], { isDryRun: true })).rules;
    let stops = 0;
    for (let isDone = false; !isDone; stops += 1) {
      let left = 1;
      const onStep = () => {
        left -= 1;
        if (left === 0) throw new Error('killed');
      };
      isDone = await retain([LEADS], { parts: { onStep, batchSize: 5 } }).then(
        ({ rules }) => rules[0]?.due === 0,
        () => false,
      );
    }
    expect(stops).toBeGreaterThan(5);
    expect(await erasedLeads()).toEqual(dueIds(all));
    for (const table of ['tiledesk.requests', 'tiledesk.messages', 'tilkee.tokens']) {
      const sql = `select count(*)::int as count from ${table} where erased_at is not null`;
      expect({ table, rows: await query(setup.database.url, sql) }).toEqual({
        table,
        rows: [{ count: dry?.tables[table] ?? 0 }],
      });
    }
    expect(await query(setup.database.url, 'select state from sync.erasures')).toEqual([{ state: 'done' }]);
  });

  it('keeps a person who wrote again, and lets one back who does so later', async () => {
    setup = await setupBoth({ seed: 5 });
    const { tiledesk, database, app } = setup;
    await setup.syncAll();
    const old = (await people()).filter(({ is_due, email }) => is_due && email !== null);
    const [early, late, forgotten] = old;
    tiledesk.data.insertRequest({ lead: early?.id ?? '' });
    await run('incremental', 'tiledesk.requests');
    const due = dueIds(await people());
    expect(due).not.toContain(early?.id);
    await erasePerson(app, { leads: [forgotten?.id ?? ''] });
    await retain([LEADS]);
    expect(await erasedLeads()).toEqual([...new Set([...due, forgotten?.id ?? ''])].sort());

    for (const person of [late, forgotten]) tiledesk.data.insertRequest({ lead: person?.id ?? '' });
    await run('incremental', 'tiledesk.requests');
    const erasedBefore = await query(
      database.url,
      'select id from tiledesk.requests where erased_at is not null order by id',
    );
    expect((await retain([LEADS])).returned).toBe(1);
    await run('reconcile');
    const row = (id = '') =>
      query<{ email: string }>(database.url, 'select email, erased_at from tiledesk.leads where id = $1', [id]);
    expect(await row(late?.id)).toEqual([{ email: late?.email, erased_at: null }]);
    expect(await row(forgotten?.id)).toEqual([{ email: null, erased_at: expect.any(Date) }]);
    // What was erased of the time before stays so.
    expect(
      await query(database.url, 'select id from tiledesk.requests where erased_at is not null order by id'),
    ).toEqual(erasedBefore);
    expect((await retain([LEADS])).rules[0]).toMatchObject({ due: 0 });
  });

  it('takes no more at a time than it may, and old rows that are mirrored later', async () => {
    setup = await setupBoth({ seed: 5 });
    await setup.syncAll();
    const all = await people();
    const parts = { batchSize: 2 };
    const first = await retain([LEADS], { limit: 3, parts });
    expect(first.hasMore).toBe(true);
    expect((await erasedLeads()).length).toBeLessThan(dueIds(all).length);
    for (let rounds = 0; rounds < 30 && (await retain([LEADS], { limit: 3, parts })).hasMore; ) rounds += 1;
    expect(await erasedLeads()).toEqual(dueIds(all));

    const old = Date.now() - 100 * 86_400_000;
    const late = setup.tiledesk.data.insertRequest({ lead: dueIds(all)[0] ?? '' }, old);
    await run('reconcile', 'tiledesk.requests');
    const row = () =>
      query(setup.database.url, 'select first_text, erased_at from tiledesk.requests where id = $1', [late._id]);
    expect(await row()).toEqual([{ first_text: expect.any(String), erased_at: null }]);
    const { returned, rules } = await retain([LEADS]);
    expect({ returned, tables: rules[0]?.tables }).toEqual({ returned: 0, tables: { 'tiledesk.requests': 1 } });
    expect(await row()).toEqual([{ first_text: null, erased_at: expect.any(Date) }]);
  });

  it('counts visits only where they are meant to count', async () => {
    setup = await setupBoth({ seed: 5 });
    await setup.syncAll();
    const [linked] = await query<{ lead: string; link: string }>(
      setup.database.url,
      `select l.id as lead, t.id as link from tiledesk.leads l join tilkee.tokens t on t.external_id in (l.id, l.lead_id)
        where l.id = any($1) limit 1`,
      [dueIds(await people())],
    );
    await query(setup.database.url, 'update tilkee.connexions set token_id = $1, access_date = now()', [linked?.link]);
    const due = async (visitsCount: boolean) =>
      (await retain([LEADS], { isDryRun: true, parts: { visitsCount } })).rules[0]?.due ?? 0;
    expect([await due(false), await due(true)]).toEqual([
      dueIds(await people()).length,
      dueIds(await people()).length - 1,
    ]);
  });
});

describe('retention of texts', () => {
  const numbers = () =>
    query(
      setup.database.url,
      `select id, status, department_id, created_at, closed_at, waiting_time_ms, duration_ms, lead_id from tiledesk.requests order by id`,
    );
  /** Conversations and messages with a text, by whether their lead is due. */
  const texts = async (ids: readonly string[]) =>
    query(
      setup.database.url,
      `select 'requests' as name, count(*)::int as count from tiledesk.requests where lead_id = any($1)
          and (first_text is not null or raw ? 'first_text' or raw ? 'transcript' or raw -> 'attributes' ? 'last_message')
        union all select 'messages', count(*)::int from tiledesk.messages m join tiledesk.requests r using (request_id, connection_id)
          where r.lead_id = any($1) and (m.text is not null or m.raw ? 'text') order by 1`,
      [ids],
    );

  it('leaves rows, counts and times, and no pass brings a text back', async () => {
    setup = await setupBoth({ seed: 5 });
    await run('backfill', 'tiledesk.leads', 'tiledesk.requests');
    const all = await people();
    const others = all.filter(({ is_due }) => !is_due).map(({ id }) => id);
    const [before, kept] = [await numbers(), await texts(others)];
    const dry = await retain([TEXTS], { isDryRun: true });
    const done = await retain([TEXTS]);
    expect(done.rules).toEqual(dry.rules);
    expect(done.rules[0]?.tables['tiledesk.requests']).toBeGreaterThan(0);
    const gone = [
      { name: 'messages', count: 0 },
      { name: 'requests', count: 0 },
    ];
    expect(await texts(dueIds(all))).toEqual(gone);
    expect(await numbers()).toEqual(before);
    expect(await texts(others)).toEqual(kept);
    expect(await erasedLeads()).toEqual([]);

    // Messages are mirrored for the first time now; old ones come without their texts.
    await run('backfill');
    await run('reconcile');
    expect(await texts(dueIds(all))).toEqual(gone);
    expect(await numbers()).toEqual(before);
    const [messages] = await texts(others);
    expect(messages).toMatchObject({ name: 'messages', count: expect.any(Number) });
    expect((messages as { count: number }).count).toBeGreaterThan(0);
    for (const name of ['tiledesk.leads', 'tiledesk.requests']) {
      expect({ name, ...(await differences(name)) }).toEqual({ name, findings: [], error: null });
    }
    expect((await retain([TEXTS])).rules[0]).toMatchObject({ due: 0 });
  });

  it('holds against runs that are under way, and forget finds the person all the same', async () => {
    setup = await setupBoth({ seed: 5, leads: 60 });
    const { app } = setup;
    await setup.syncAll();
    const all = await people();
    const connection = app.connections.find(({ source }) => source === 'tiledesk');
    let removal: Promise<unknown> | null = null;
    for (const stream of connection?.streams ?? []) {
      if (connection === undefined || !/requests|messages/.test(stream.name)) continue;
      const onProgress = () => {
        removal ??= retain([TEXTS], { parts: { batchSize: 3 } });
      };
      const waits = { maxWaitMs: 60_000, leaseWaitMs: 0 };
      await app.runPass({ connection, stream, pass: 'backfill', signal: never, onProgress, ...waits });
    }
    await removal;
    expect(removal).not.toBeNull();
    const gone = [
      { name: 'messages', count: 0 },
      { name: 'requests', count: 0 },
    ];
    expect(await texts(dueIds(all))).toEqual(gone);
    const [id = ''] = dueIds(all);
    const { state, matched } = await erasePerson(app, { leads: [id] });
    expect({ state, leads: matched['tiledesk.leads'] }).toEqual({ state: 'done', leads: 1 });
  });

  it('goes on wherever it was stopped, and takes what was written since', async () => {
    setup = await setupBoth({ seed: 5 });
    await setup.syncAll();
    const all = await people();
    const [person = ''] = dueIds(all);
    for (let isDone = false; !isDone; ) {
      const onStep = () => {
        throw new Error('killed');
      };
      isDone = await retain([TEXTS], { parts: { onStep, batchSize: 5 } }).then(
        () => true,
        () => false,
      );
    }
    const empty = [
      { name: 'messages', count: 0 },
      { name: 'requests', count: 0 },
    ];
    expect(await texts(dueIds(all))).toEqual(empty);

    const request = setup.tiledesk.data.insertRequest({ lead: person, first_text: 'invented question' });
    await run('incremental');
    const sql = 'select first_text from tiledesk.requests where id = $1';
    expect(await query(setup.database.url, sql, [request._id])).toEqual([{ first_text: 'invented question' }]);
    expect((await retain([TEXTS])).rules[0]).toMatchObject({ due: 0 });
    // Sixty days later.
    await query(
      setup.database.url,
      `update tiledesk.requests set created_at = now() - interval '61 days' where id = $1`,
      [request._id],
    );
    await query(
      setup.database.url,
      `update tiledesk.messages set created_at = now() - interval '61 days' where request_id = $1`,
      [request.request_id],
    );
    await query(setup.database.url, `update sync.erased_texts set until = now() - interval '120 days'`);
    expect((await retain([TEXTS])).rules[0]?.tables).toMatchObject({ 'tiledesk.requests': 1 });
    expect(await query(setup.database.url, sql, [request._id])).toEqual([{ first_text: null }]);
  });
});
