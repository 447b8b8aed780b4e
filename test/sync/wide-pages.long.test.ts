import { afterEach, expect, it } from '@jest/globals';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';

/** The leads' list has no upper limit of its own: full syncs ask for more rows while the answers come quickly. */
let setup: MirrorSetup;
afterEach(() => setup.close());

const limits = () =>
  setup.sandbox.log.filter(({ list }) => list === 'leads').map(({ query }) => Number(query.get('limit')));
const pages = () => limits().filter((limit) => limit > 10);
const growing = { TILEDESK_MAX_PAGE_SIZE: '1000' };

it('10,000 leads take a tenth of the requests, and all of them are mirrored', async () => {
  setup = await setupMirror({ leads: 10_000, requests: 10 }, growing);
  expect(await setup.run('leads', 'backfill')).toMatchObject({ outcome: 'succeeded' });
  expect(pages()[0]).toBe(115);
  expect(Math.max(...pages())).toBeGreaterThan(1000);
  expect(pages().length).toBeLessThan(20);
  expect(await compareMirror(setup.database.url, setup.sandbox, 'leads')).toEqual(EQUAL);
}, 120_000);

it('a page that takes too long is asked for once, and for a week not again', async () => {
  setup = await setupMirror({ leads: 5_000, requests: 10 }, { ...growing, HTTP_TIMEOUT_SECONDS: '2' });
  setup.sandbox.faults.push({
    kind: 'hang',
    times: Number.POSITIVE_INFINITY,
    match: ({ query }) => Number(query.get('limit')) > 500,
  });
  expect(await setup.run('leads', 'backfill')).toMatchObject({ outcome: 'succeeded' });
  expect(pages().filter((limit) => limit > 500)).toHaveLength(1);
  expect(await compareMirror(setup.database.url, setup.sandbox, 'leads')).toEqual(EQUAL);
  setup.sandbox.clearLog();
  expect(await setup.run('leads', 'reconcile')).toMatchObject({ outcome: 'succeeded' });
  expect(pages().filter((limit) => limit > 500)).toEqual([]);
  expect(Math.max(...pages())).toBeGreaterThan(200);
}, 120_000);
