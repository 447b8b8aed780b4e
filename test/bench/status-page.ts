/**
 * How soon the status page is seen: the first paint in Chromium, each time in a new profile, at 60 accounts with 260 streams and at 1,000 with 4,333,
 * each stream with 96 runs in a day. The median of ROUNDS (9).
 */
import type { Browser } from 'playwright-core';
import { createOpsServer } from '../../src/ops/server.ts';
import { createDatabase } from '../../src/store/database.ts';
import { printVerdicts, type Verdict } from '../helpers/bench/print.ts';
import { startChromium } from '../helpers/chromium.ts';
import { createTestDatabase, withClient } from '../helpers/postgres.ts';
import { startTestServer } from '../helpers/test-server.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

const ROUNDS = Number(process.env.ROUNDS ?? 9);
const SIZES = [
  { accounts: 60, boundMs: 500 },
  { accounts: 1_000, boundMs: 1_000 },
];
const MOST_BYTES = 200_000;
/** Longer than the server shows one status for. */
const APART_MS = 700;

/** Every third account has a fifth stream; each stream has two runs in each half hour, one in a hundred failed. */
const FILL = `
insert into sync.streams (connection_id, stream, created_at)
select 'tiledesk:' || n, 'tiledesk.' || kind, now() - interval '9 days' from generate_series(1, $1::int) n,
  unnest('{leads,requests,departments,project_users,messages}'::text[]) kind where kind <> 'messages' or n % 3 = 0;
insert into sync.checkpoints (connection_id, stream, pass, started_at, completed_at)
select connection_id, stream, pass, now() - interval '1 minute', now() from sync.streams, unnest('{backfill,reconcile,incremental}'::text[]) pass;
insert into sync.runs (connection_id, stream, pass, outcome, error_code, error_message, created, read, requests, pages, started_at, ended_at)
select connection_id, stream, 'incremental', case when k % 100 = 50 then 'failed' else 'succeeded' end,
  case when k % 100 = 50 then 'network' end, case when k % 100 = 50 then 'the connection ended' end, 3, 3, 3, 2,
  now() - make_interval(mins => k * 15), now() - make_interval(mins => k * 15, secs => -2) from sync.streams, generate_series(1, 96) k;
insert into tiledesk.leads (connection_id, id, raw, content_hash, run_id)
select 'tiledesk:' || n, 'lead' || k, '{}', '', 1 from generate_series(1, $1::int) n, generate_series(1, 200) k;
insert into sync.processes (id, host, pid, roles, version, is_leading, queue_ok, running_runs, beat_at)
values (gen_random_uuid(), 'host-a', 4711, '{worker}', '1', true, true, 0, now() + interval '1 hour')`;

async function measure(browser: Browser, { accounts, boundMs }: (typeof SIZES)[number]): Promise<Verdict[]> {
  const database = await createTestDatabase();
  await withClient(database.url, async (client) => {
    for (const statement of FILL.replaceAll('$1', String(accounts)).split(';')) await client.query(statement);
    await client.query('vacuum analyze');
  });
  const { prisma, close } = createDatabase({ url: database.url, logger: unheardLogger() });
  const server = createOpsServer({ prisma });
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  const paints: number[] = [];
  const answers: number[] = [];
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const response = await page.goto(url);
    bytes = (await response?.body())?.length ?? 0;
    const [paint = Number.NaN, answer = Number.NaN] = await page.evaluate<number[]>(`new Promise((resolve) => {
      new PerformanceObserver((list) => {
        for (const { startTime } of list.getEntriesByName('first-contentful-paint'))
          resolve([startTime, performance.getEntriesByType('navigation')[0].responseStart]);
      }).observe({ type: 'paint', buffered: true });
    })`);
    paints.push(paint);
    answers.push(answer);
    await context.close();
    await new Promise((resolve) => setTimeout(resolve, APART_MS));
  }
  await server.close();
  await close();
  await database.drop();
  const paint = medianOf(paints);
  return [
    {
      name: 'first paint',
      value: `${Math.round(paint)} ms (the first of all ${Math.round(paints[0] ?? 0)}; until the answer began ${Math.round(medianOf(answers))})`,
      isWell: paint < boundMs,
      bound: `under ${boundMs} ms`,
    },
    { name: 'size of the page', value: `${bytes} bytes`, isWell: bytes < MOST_BYTES, bound: `under ${MOST_BYTES}` },
  ];
}

const medianOf = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

const postgres = await startTestServer({ isDurable: true });
const browser = await startChromium();
try {
  if (browser === null) throw new Error('no Chromium');
  for (const size of SIZES) printVerdicts(`${size.accounts} accounts`, await measure(browser, size));
} finally {
  await browser?.close();
  await postgres.stop();
}
