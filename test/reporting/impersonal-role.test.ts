import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { companies, lastNames, questions, replies } from '../../sandbox/texts.ts';
import { createTilkeeSandbox } from '../../sandbox/tilkee.ts';
import { BUILT_IN_TABLES } from '../../src/sources/tables.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import { runInProcess } from '../helpers/in-process.ts';
import { type MirrorSetup, setupMirror, variables } from '../helpers/mirror.ts';
import { tilkeeVariables } from '../helpers/tilkee-mirror.ts';

const ROLE = `analyst_${randomBytes(4).toString('hex')}`;
const TILKEE = createTilkeeSandbox({ projects: 8, items: 8, tokens: 30, visits: 20, users: 3 });
const never = new AbortController().signal;
let setup: MirrorSetup;
let env: Record<string, string>;
let owner: pg.Client;
let analyst: pg.Client;

beforeAll(async () => {
  const address = await TILKEE.listen();
  const { DATABASE_URL: _, ...tilkee } = tilkeeVariables(TILKEE, address, '');
  const streams = 'leads,requests,departments,project_users,messages,bots,groups,tags';
  const more = { ...tilkee, TILEDESK_STREAMS: streams, SYNC_HISTORY_STREAMS: 'tiledesk.requests,tiledesk.leads' };
  setup = await setupMirror({ leads: 25, requests: 20, now: Date.now() - 3_600_000 }, more);
  env = { ...variables(setup.sandbox, setup.url, setup.database.url), ...more };
  for (const connection of setup.app.connections) {
    for (const stream of connection.streams) {
      const job = { connection, stream, pass: 'backfill', signal: never, maxWaitMs: 60_000, leaseWaitMs: 0 } as const;
      expect((await setup.app.runPass(job)).outcome).toBe('succeeded');
    }
  }
  await refreshReporting(setup.app.database, { signal: never, isFull: true });
  owner = new pg.Client({ connectionString: setup.database.url });
  await owner.connect();
  await owner.query(`insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id)
    select connection_id, 'tiledesk.leads', 'q' || id, 'bad', raw::text, run_id from tiledesk.leads limit 5`);
  // Statistics hold values of columns, for those who may read them.
  await owner.query(`analyze; create role ${ROLE} login password 'made-up'`);
  const url = new URL(setup.database.url);
  [url.username, url.password] = [ROLE, 'made-up'];
  analyst = new pg.Client({ connectionString: url.href });
  await analyst.connect();
});
afterAll(async () => {
  await analyst?.end();
  await owner.query(`drop owned by ${ROLE}; drop role ${ROLE}`);
  await owner.end();
  await setup.close();
  await TILKEE.close();
});

const grant = (...args: readonly string[]) => runInProcess(['grant-readonly', ROLE, ...args], env, { cwd: '/' });

/** Every column of every schema that the connection may read. Postgres' own hold names only, but for the statistics. */
async function readableColumns(client: pg.Client): Promise<{ relation: string; columns: string }[]> {
  const { rows } = await client.query(
    `select format('%I.%I', n.nspname, c.relname) as relation, string_agg(format('%I::text', a.attname), ', ' order by a.attnum) as columns
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relkind in ('r', 'p', 'v', 'm') and has_schema_privilege(n.oid, 'USAGE') and has_column_privilege(c.oid, a.attnum, 'SELECT')
        and (n.nspname not in ('pg_catalog', 'information_schema') or c.relname like 'pg_stat%')
      group by 1`,
  );
  return rows;
}

const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** Where the connection finds names, addresses, numbers, companies or texts of the invented people. */
async function findPeople(client: pg.Client): Promise<string[]> {
  const { rows } = await owner.query<{ value: string }>(
    `select distinct value from (
      select unnest(array[email, phone, fullname, company, note]) as value from tiledesk.leads
      union select unnest(array[first_text, subject, rating_message]) from tiledesk.requests
      union select unnest(array[text, sender_fullname]) from tiledesk.messages
      union select unnest(array[email, firstname || ' ' || lastname]) from tiledesk.project_users
      union select unnest(array[name, external_id]) from tilkee.tokens where name ~ '@|^\\+' or external_id ~ '@|^\\+'
      union select unnest(array[email, full_name, phone_number]) from tilkee.users) v where length(value) > 7`,
  );
  const needles = [...rows.map(({ value }) => value), ...lastNames, ...companies, ...questions, ...replies]
    .filter((text) => text.length > 4)
    .map((text) => escaped(text.toLowerCase()));
  const pattern = new RegExp(`${[...new Set(needles)].join('|')}|@example\\.|\\+(39000|3300000)`);
  const found: string[] = [];
  for (const { relation, columns } of await readableColumns(client)) {
    const { rows } = await client
      .query<{ text: string }>(`select concat_ws(' ', ${columns}) as text from ${relation} t`)
      .catch((error: pg.DatabaseError) => {
        // Some views of Postgres' own need more than the right to read them.
        if (relation.startsWith('pg_catalog.')) return { rows: [] };
        throw error;
      });
    if (rows.some(({ text }) => pattern.test(text.toLowerCase()))) found.push(relation);
  }
  return found;
}

it('finds the people with the right to read everything, so that the search is known to find them', async () => {
  expect((await grant('--json')).code).toBe(0);
  const found = (await findPeople(analyst)).join(' ');
  for (const table of [
    'tiledesk.leads',
    'tiledesk.messages',
    'tilkee.tokens',
    'reporting.people',
    'pg_catalog.pg_stats',
  ]) {
    expect(found).toContain(table);
  }
});

it('finds none of the people without personal data, in no schema, and still counts and joins', async () => {
  const { code, stdout } = await grant('--without-personal-data', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ outcome: 'granted', personal_data: false, unreadable: [], hidden: [] });
  expect(await findPeople(analyst)).toEqual([]);
  const readable = (await readableColumns(analyst)).map(({ relation }) => relation);
  for (const { schema, name } of BUILT_IN_TABLES) expect(readable).toContain(`${schema}.${name}`);
  for (const question of [
    'select day, opened, department from reporting.requests_daily',
    'select sum(leads) from reporting.lead_funnel having sum(leads) > 0',
    'select status, count(*) from tiledesk.leads group by 1',
    'select count(*) from tiledesk.messages m join tiledesk.requests r using (connection_id, request_id) having count(*) > 0',
    'select day, open from reporting.backlog_daily',
    'select stream, state, as_of from sync.status',
  ]) {
    expect((await analyst.query(question)).rows).not.toEqual([]);
  }
});

it.each([
  'select email from tiledesk.leads',
  'select raw from tiledesk.requests',
  'select * from tilkee.tokens',
  'select * from reporting.lead_360',
  'select * from reporting.people',
  'select agent from reporting.agent_activity',
  'select label from reporting.response_times',
  'select raw_text from sync.quarantine',
  'select * from sync.suppressions',
  'select * from sync.erasures',
  'select * from tiledesk.leads_versions',
  'select * from tiledesk.requests_as_of(now())',
])('is not allowed to %s', async (statement) => {
  await expect(analyst.query(statement)).rejects.toThrow('permission denied');
});

it('keeps closed what comes later, columns, tables and views, until it is run again, and then as well', async () => {
  await owner.query(`alter table tiledesk.leads add column nickname text default 'Someone';
    create table tilkee.later (connection_id text, id text, raw jsonb, content_hash text);
    create view reporting.later as select email from tiledesk.leads;
    create schema own; create table own.tickets (connection_id text, id text, raw jsonb, content_hash text, author text)`);
  for (const attempt of ['as it was', 'run again']) {
    for (const statement of [
      'select nickname from tiledesk.leads',
      'select id from tilkee.later',
      'select * from reporting.later',
      'select id from own.tickets',
    ]) {
      await expect(analyst.query(statement)).rejects.toThrow('permission denied');
    }
    if (attempt === 'as it was') expect((await grant('--without-personal-data')).code).toBe(0);
  }
});

it('refuses a role that reads personal data by another grant, names where, and changes nothing', async () => {
  await owner.query('grant usage on schema own to public; grant select on own.tickets, reporting.people to public');
  const { code, stderr } = await grant('--without-personal-data');
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/own\.tickets, reporting\.people/) });
  await owner.query('revoke select on own.tickets, reporting.people from public');
  expect((await grant('--without-personal-data')).code).toBe(0);
});
