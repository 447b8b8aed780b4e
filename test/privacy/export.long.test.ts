import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Random } from '../../sandbox/random.ts';
import { erasureTargets } from '../../src/app/erase-person.ts';
import type { Selectors } from '../../src/sync/privacy/closure.ts';
import { exportPerson } from '../../src/sync/privacy/export-person.ts';
import { type BothProducts, quarantine, setupBoth } from './both-products.ts';
import { NOBODY, planFor, query } from './support.ts';

const PEOPLE = 100;

let setup: BothProducts;
beforeAll(async () => {
  const env = { SYNC_HISTORY_STREAMS: 'tiledesk.leads,tiledesk.requests,tilkee.tokens' };
  setup = await setupBoth({ seed: 7, leads: 100, links: 100, env });
  await setup.syncAll();
  await query(setup.database.url, 'update tiledesk.requests set status = 999 where random() < 0.5');
}, 300_000);
afterAll(() => setup.close());

async function exported(selectors: Selectors): Promise<Record<string, number>> {
  const targets = await erasureTargets(setup.app);
  const connectionIds = setup.app.connections.map(({ id }) => id);
  const parts = { prisma: setup.app.database.prisma, targets };
  const { document, counts } = (await exportPerson(parts, { connectionIds, selectors, facts: {} })) ?? {
    document: '{"tables": {}}',
    counts: {},
  };
  const { tables } = JSON.parse(document) as { tables: Record<string, unknown[]> };
  const found = Object.fromEntries(Object.entries(tables).map(([name, rows]) => [name, rows.length]));
  expect(found).toEqual(counts);
  return found;
}

it(`an export holds what forget --dry-run counts, table by table, of ${PEOPLE} random people of both products`, async () => {
  const random = new Random(11);
  const { url } = setup.database;
  const column = async (sql: string) => (await query<{ value: string }>(url, sql)).map(({ value }) => value);
  const leads = await column('select id as value from tiledesk.leads order by 1');
  await quarantine(url, leads.slice(0, 30));
  await quarantine(url, ['never-written']);
  const of = {
    leads: [...leads, 'never-written'],
    emails: await column('select email as value from tiledesk.leads where email is not null order by 1'),
    phones: await column('select phone as value from tiledesk.leads where phone is not null order by 1'),
    links: await column('select id as value from tilkee.tokens order by 1'),
    requests: await column('select request_id as value from tiledesk.requests order by 1'),
  };
  const compared = [];
  for (let n = 0; n < PEOPLE; n += 1) {
    const by = random.pick(['leads', 'leads', 'emails', 'phones', 'links', 'requests'] as const);
    const given = { [by]: [random.pick(of[by])] };
    const { matched } = await planFor(setup.app, given);
    compared.push({ given, matched, exported: await exported({ ...NOBODY, ...given }) });
  }
  expect(compared.filter((one) => Object.keys(one.matched).length === 0)).toEqual([]);
  expect(compared.map((one) => one.exported)).toEqual(compared.map((one) => one.matched));
  const tables = new Set(compared.flatMap(({ matched }) => Object.keys(matched)));
  const expected = ['leads', 'leads_history', 'messages', 'requests', 'requests_history'].map(
    (name) => `tiledesk.${name}`,
  );
  expect([...tables]).toEqual(expect.arrayContaining(['sync.quarantine', ...expected, 'tilkee.tokens']));
}, 600_000);
