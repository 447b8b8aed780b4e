import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { Locator, Page } from 'playwright-core';
import { PrivacyError } from '../../src/errors.ts';
import type { OpsServer } from '../../src/ops/server.ts';
import { type Daemon, startDaemon } from '../../workers/main.ts';
import { startWeb } from '../../workers/web.ts';
import { until } from '../helpers/cli.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import {
  ACCOUNT,
  addErasures,
  addEveryState,
  addFreshStream,
  addRun,
  clear,
  createRecorder,
  type OpsSetup,
  QUIET_QUEUE,
  setupOps,
  TOKEN,
} from '../ops/support.ts';
import { faultsOf, forgive, inBrowser, LAN, newPage, PHONE, signIn } from './support.ts';

const shareOf = async (row: Locator) => Number(await row.locator('progress').getAttribute('value'));
const rowOf = (page: Page, stream: string) => page.locator('.stream', { has: page.locator('h3', { hasText: stream }) });

inBrowser('the status page', () => {
  let setup: OpsSetup;
  let url: string;
  let recorder: ReturnType<typeof createRecorder>;
  beforeAll(async () => {
    setup = await setupOps();
    recorder = createRecorder();
  });
  afterAll(() => setup.close());
  beforeEach(async () => {
    await clear(setup.store);
    recorder.asked.length = 0;
    // One of its own: a server may show what it saw half a second ago, in the test before.
    url = await serve({});
  });

  const serve = (parts: Parameters<OpsSetup['server']>[0]) =>
    setup
      .server({ token: TOKEN, control: recorder.control, host: '127.0.0.1', ...parts })
      .listen({ host: '127.0.0.1', port: 0 });

  (LAN === null ? it.skip : it)('lets a person in by its form from another machine, on plain http', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    const host = LAN ?? '';
    const server = setup.server({ token: TOKEN, control: recorder.control, host });
    const open = await server.listen({ host, port: 0 });
    const page = await newPage();
    await page.goto(`${open}/`);
    await page.locator('input[name=token]').fill(TOKEN);
    await page.locator('input[name=token]').press('Enter');
    await page.locator('.stream').waitFor();
    // Chromium says with every page that a header for https does nothing here.
    forgive((fault) => fault.includes('Cross-Origin-Opener-Policy'));
  });

  it('names the processes of the daemon, and never says fresh while no worker lives', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    const page = await newPage();
    await signIn(page, url);
    const line = page.locator('#processes');
    const iconOf = () => page.locator('link[rel=icon]').getAttribute('href');
    await line.getByText('Daemon: 1 process, leader host-a:4711').waitFor();
    expect(await page.title()).toBe('The stream is fresh · leadmirror');
    expect(await iconOf()).toMatch(/icon\.svg$/);
    await setup.store.query(`update sync.processes set beat_at = now() - interval '1 hour'`);
    await line.getByText(/^Daemon: no process alive; 1 lost since /).waitFor();
    await page.getByRole('heading', { level: 1, name: 'No worker is running: nothing new is read' }).waitFor();
    expect(await page.title()).toBe('No worker is running: nothing new is read · leadmirror');
    expect(await iconOf()).toMatch(/icon-bad\.svg$/);
  });

  it('shows erasures, and that some are missing, on a desk and on a phone', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    await addErasures(setup.store, [
      [0, 'done'],
      [2, 'done'],
      [2, 'residue'],
    ]);
    const message = 'the journal of erasures is ahead; to repeat them: leadmirror forget --replay <journal>';
    const problem = new PrivacyError('erasures_missing', message);
    const page = await newPage({ viewport: { width: 1280, height: 900 } });
    await signIn(page, await serve({ privacy: { problem: async () => problem } }));
    await page.getByRole('heading', { level: 1, name: 'Erasures are missing: nothing new is read' }).waitFor();
    for (const width of [1280, PHONE.viewport.width]) {
      await page.setViewportSize({ width, height: 900 });
      await page.locator('#journal', { hasText: 'forget --replay' }).waitFor();
      await page.locator('#erasures tbody tr', { hasText: /2$/ }).waitFor();
      // The charts are drawn anew.
      await until('it fits', () => page.evaluate('document.documentElement.scrollWidth <= innerWidth'));
    }
    expect(await faultsOf(page)).toEqual([]);
  });

  it('with fifty streams paints first within four times of what it takes with none', async () => {
    const open = await serve({ token: null });
    await medianPaint(open, 0);
    const empty = await medianPaint(open, 0);
    for (let i = 0; i < 10; i++) {
      for (const stream of ['leads', 'requests', 'departments', 'project_users']) {
        await addFreshStream(setup.store, `tiledesk.${stream}`, `tiledesk:${i}`);
      }
      await addFreshStream(setup.store, 'tilkee.users', `tiledesk:${i}`);
    }
    // A server of its own again: the other one may show what it saw half a second ago.
    expect((await medianPaint(await serve({ token: null }), 10)) / empty).toBeLessThan(4);
  });

  /** Of three, each in a fresh profile, with nothing in its cache. */
  async function medianPaint(address: string, accounts: number): Promise<number> {
    const paints: number[] = [];
    for (let i = 0; i < 3; i++) {
      const page = await newPage();
      await page.goto(address);
      expect(await page.locator('.stream, tr.account').count()).toBe(accounts);
      const paint = await page.evaluate<number>(`new Promise((resolve) => {
        new PerformanceObserver((list) => {
          for (const { startTime } of list.getEntriesByName('first-contentful-paint')) resolve(startTime);
        }).observe({ type: 'paint', buffered: true });
      })`);
      paints.push(paint);
      await page.close();
    }
    return paints.sort((a, b) => a - b)[1] ?? Number.NaN;
  }

  it('shows each state in words, with its reason and what to do', async () => {
    await addEveryState(setup.store);
    const page = await newPage();
    await signIn(page, url);
    await page.getByRole('heading', { level: 1, name: '2 accounts need you: 3 causes' }).waitFor();
    // What is wrong stands with its cause; all else with its stream.
    const seen = await page.locator('.cause, .stream:has(.why, .is-fresh)').evaluateAll((rows) =>
      rows.map((row) => ({
        state: row.querySelector('.chip')?.textContent?.trim(),
        reason: row.querySelector('.reason')?.textContent,
        step: row.querySelector('.step')?.textContent,
      })),
    );
    const byState = Object.fromEntries(seen.map(({ state, reason, step }) => [state, `${reason} ${step}`]));
    expect(byState).toEqual({
      blocked: expect.stringMatching(/refresh token.*What to do: Sign in again.*leadmirror tilkee login/),
      partial: expect.stringMatching(/40 of 90 rows.*What to do: .*leadmirror accept-deletions tiledesk.project_users/),
      stale: expect.stringMatching(/No complete pass in time.*What to do: .*leadmirror sync tiledesk.requests/),
      never: expect.stringMatching(
        /No run yet.*What to do: .*leadmirror sync tiledesk.leads --connection tiledesk:new/,
      ),
      syncing: expect.stringMatching(/first full read.*What to do: Nothing to do/),
      paused: expect.stringMatching(/Paused by a person.*What to do: .*leadmirror resume tilkee.users/),
      fresh: expect.anything(),
    });
    await expect(rowOf(page, 'departments').getByText('4 min ago').first().isVisible()).resolves.toBe(true);
    await rowOf(page, 'leads')
      .getByText(/1,200 rows read · 12 pages/)
      .waitFor();
    // Also the one in good order, on its own page.
    await rowOf(page, 'departments').getByRole('link').click();
    await page.getByText('Complete as of the last pass.').waitFor();
    await page.getByText('What to do: Nothing to do.').waitFor();
  });

  it.each([
    ['light', {}],
    ['dark', { colorScheme: 'dark' }],
    ['on a phone', PHONE],
  ] as const)('has no serious fault for people who do not see or point: %s', async (_, options) => {
    await addEveryState(setup.store);
    await addRun(setup.store, 'tiledesk.departments', 'incremental', 90, 'failed', {
      code: 'network',
      message: 'gone',
    });
    const page = await newPage(options);
    await page.goto(`${url}/sign-in`);
    const found = await faultsOf(page);
    await signIn(page, url);
    await page
      .locator('.charts')
      .first()
      .evaluate((charts) => charts.scrollIntoView());
    await page.locator('.chart canvas').first().waitFor();
    // With a sheet over it, the page behind is looked at too.
    await page.getByRole('button', { name: 'More actions for tiledesk.departments' }).click();
    found.push(...(await faultsOf(page)));
    await page.goto(`${url}/streams/${ACCOUNT}/tiledesk.departments`);
    found.push(...(await faultsOf(page)));
    expect(found).toEqual([]);
    // Nothing sticks out at the side, nor inside a table on a phone.
    for (const path of ['/', '/runs', '/decide', '/data', '/report', `/streams/${ACCOUNT}/tiledesk.departments`]) {
      await page.goto(url + path);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
      expect(
        await page.evaluate(
          '[...document.querySelectorAll(".scroll")].every((one) => one.scrollWidth <= one.clientWidth)',
        ),
      ).toBe(true);
    }
  });

  it('is worked with the keyboard alone', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    const page = await newPage();
    await page.goto(`${url}/`);
    await page.locator('input:focus').waitFor();
    await page.keyboard.type(TOKEN);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${url}/`);
    const reached: string[] = [];
    for (let i = 0; i < 30 && !reached.at(-1)?.startsWith('More actions'); i++) {
      await page.keyboard.press('Tab');
      reached.push(
        await page.evaluate<string>(
          "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).replace(/\\s+/g, ' ').trim()",
        ),
      );
    }
    expect(reached[0]).toBe('Skip to the streams');
    expect(reached).toEqual(expect.arrayContaining(['leadmirror', 'JSON', 'Sign out', 'tiledesk.departments']));
    expect(reached.find((name) => name.startsWith('Run now'))).toBe(`Run now tiledesk.departments of ${ACCOUNT}`);
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByText('trigger: asked for').waitFor();
    expect(recorder.asked).toEqual([`trigger ${ACCOUNT} tiledesk.departments reconcile`]);
  });

  it('works without its script', async () => {
    await addEveryState(setup.store);
    const page = await newPage({ javaScriptEnabled: false });
    await page.goto(`${url}/`);
    await page.getByLabel('Token').fill(TOKEN);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL(`${url}/`);
    await rowOf(page, 'leads').first().getByText('What to do:').waitFor();
    expect(await page.locator('.strip title').first().textContent()).toMatch(/^Last 24 hours: /);
    await page.getByRole('link', { name: '1 blocked' }).click();
    await page.waitForURL(`${url}/?state=blocked`);
    expect(await page.locator('.stream').count()).toBe(1);
    await page.getByRole('link', { name: 'tilkee.projects' }).first().click();
    await page.waitForURL(/\/streams\//);
    await page.getByText('As a table').click();
    expect(await page.locator('table').first().locator('tbody tr').count()).toBe(24);
    await page.getByRole('button', { name: 'Read now' }).first().click();
    await page.waitForURL(/\/streams\/tilkee%3Adefault\/tilkee.projects$/);
    expect(recorder.asked).toEqual(['trigger tilkee:default tilkee.projects backfill']);
  });

  it('finds one of many accounts, those in trouble first, and the run that failed', async () => {
    await setup.store.query(
      `insert into sync.streams (connection_id, stream, created_at)
       select 'tiledesk:client' || to_char(n, 'FM000'), 'tiledesk.' || s, now() from generate_series(1, 120) n, unnest('{leads,requests,departments}'::text[]) s`,
    );
    await addFreshStream(setup.store, 'tiledesk.leads', 'tiledesk:zebra');
    await addRun(setup.store, 'tiledesk.leads', 'incremental', 1, 'failed', {
      connection: 'tiledesk:zebra',
      code: 'unexpected_shape',
      message: 'the answer is no list',
    });
    const page = await newPage();
    await signIn(page, url);
    const names = page.locator('tr.account td:first-child');
    expect(await names.first().textContent()).toBe('tiledesk:zebra');
    expect(await names.count()).toBe(121);
    await page.getByRole('link', { name: 'Account', exact: true }).click();
    await page.waitForURL(/sort=account/);
    expect(await names.first().textContent()).toBe('tiledesk:client001');
    await page.getByLabel('Find').fill('client077');
    await page.keyboard.press('Enter');
    await page.waitForURL(/q=client077/);
    expect(await names.allTextContents()).toEqual(['tiledesk:client077']);
    await names.getByRole('link').click();
    await page.waitForURL(/accounts/);
    expect(await page.locator('.stream').count()).toBe(3);
    await page.getByRole('link', { name: 'Runs', exact: true }).click();
    await page.locator('#failures').getByText('the answer is no list').waitFor();
  });

  it('keeps what a person opened, closed or wrote while changes arrive', async () => {
    for (let i = 0; i < 5; i++) {
      for (const stream of ['leads', 'departments'])
        await addFreshStream(setup.store, `tiledesk.${stream}`, `tiledesk:${i}`);
    }
    const page = await newPage();
    await signIn(page, url);
    await page.getByText('Live', { exact: true }).waitFor();
    const cards = page.locator('.connection');
    await page.getByLabel('Find').fill('departments');
    await cards.nth(4).locator('summary').click();
    await page.getByRole('button', { name: 'More actions for tiledesk.departments of tiledesk:0' }).click();
    await setup.store.query(
      `update sync.streams set paused_at = now() where connection_id in ('tiledesk:0', 'tiledesk:1')`,
    );
    await cards.nth(1).locator('.chip', { hasText: 'paused' }).first().waitFor();
    expect(await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).isVisible()).toBe(true);
    expect(await page.getByLabel('Find').inputValue()).toBe('departments');
    expect(await cards.nth(0).locator('.stream:visible h3').allTextContents()).toEqual(['tiledesk.departments']);
    expect(await cards.nth(4).getAttribute('open')).toBeNull();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
  });

  it('says what to do when nothing is configured, and fills by itself', async () => {
    const page = await newPage();
    await signIn(page, url);
    await page.getByRole('heading', { name: 'Nothing is mirrored yet' }).waitFor();
    await addFreshStream(setup.store, 'tiledesk.departments');
    await page.getByRole('heading', { name: 'The stream is fresh' }).waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
  });

  it('says when the queue does not answer', async () => {
    await addFreshStream(setup.store, 'tiledesk.departments');
    const away = await serve({
      token: null,
      queue: {
        ...QUIET_QUEUE,
        health: async () => ({ backend: 'redis', ok: false, error: 'connection refused', lanes: null }),
      },
    });
    const page = await newPage();
    await page.goto(away);
    await page
      .getByRole('alert')
      .getByText(/The queue in Redis does not answer.*connection refused/)
      .waitFor();
    expect(await page.title()).toBe('The queue does not answer: nothing new is read · leadmirror');
  });
});

inBrowser('with a running daemon', () => {
  let mirror: MirrorSetup;
  let daemon: Daemon;
  let web: OpsServer;
  beforeAll(async () => {
    mirror = await setupMirror(
      { leads: 60, requests: 400 },
      {
        OPS_PORT: '0',
        OPS_TOKEN: TOKEN,
        SYNC_INCREMENTAL_CRON: '0 0 1 1 *',
        SYNC_RECONCILE_CRON: '0 0 1 1 *',
        TILEDESK_PAGE_SIZE: '20',
      },
    );
    await mirror.syncAll();
    const logger = unheardLogger();
    daemon = await startDaemon(mirror.app, {
      roles: ['worker', 'scheduler'],
      logger,
      signal: new AbortController().signal,
    });
    web = await startWeb(mirror.app, daemon);
  });
  afterAll(async () => {
    await web.close();
    await daemon.stop();
    await mirror.close();
  });

  it('a run started by its button shows how far it is, and ends, without a reload', async () => {
    const page = await newPage();
    await signIn(page, web.url);
    await page.getByText('Live', { exact: true }).waitFor();
    await page.evaluate(() => Object.assign(globalThis, { isSamePage: true }));
    mirror.sandbox.faults.push({ kind: 'slow', delayMs: 300, match: ({ list }) => list === 'requests', times: 1_000 });
    const row = rowOf(page, 'requests');
    await row.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Full sync' }).click();
    await page.getByText(/A full sync of tiledesk.requests asked for/).waitFor();
    await row.getByText(/^[1-9]\d* of about 400 rows \(\d+ %\).*left/).waitFor();
    const before = await shareOf(row);
    await until('it went on', async () => (await shareOf(row)) > before);
    mirror.sandbox.faults.clear();
    await row.locator('progress').waitFor({ state: 'detached' });
    const run = page.locator('#runs tbody tr').first();
    await run.getByText('succeeded').waitFor();
    expect(await run.textContent()).toMatch(/tiledesk\.requests.*full syncsucceeded4\d\d/);
    expect(await page.evaluate(() => 'isSamePage' in globalThis)).toBe(true);
  });

  it('pausing and resuming is seen at once', async () => {
    const page = await newPage();
    await signIn(page, web.url);
    const row = rowOf(page, 'departments');
    await row.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await row.locator('.chip', { hasText: 'paused' }).waitFor();
    await row.getByRole('button', { name: /^Resume/ }).click();
    await row.locator('.chip', { hasText: 'fresh' }).waitFor();
  });

  it('compares a stream, and writes quarantined records, by a button each', async () => {
    const { prisma } = mirror.app.database;
    const { connection_id, raw } = await prisma.tiledeskDepartment.findFirstOrThrow();
    await prisma.syncQuarantine.create({
      data: {
        ...{ connection_id, stream: 'tiledesk.departments', record_id: 'unread', reason: 'bad_type', run_id: 1n },
        raw_text: JSON.stringify({ ...Object(raw), _id: 'unread' }),
      },
    });
    const page = await newPage();
    await signIn(page, web.url);
    await page.getByRole('link', { name: 'To decide' }).click();
    await page.getByRole('button', { name: /^Retry quarantine/ }).click();
    await page.getByText('1 of 1 record written').waitFor();
    await page.getByText('No record is in quarantine.').waitFor();
    await page.getByRole('link', { name: 'Streams', exact: true }).click();
    const row = rowOf(page, 'departments');
    await row.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Verify and repair' }).click();
    await page.getByText(/1 of \d+ rows differ, 1 of them repaired/).waitFor();
  });

  it('the queues can be looked into, and nothing is asked of any other host', async () => {
    const page = await newPage();
    await signIn(page, web.url);
    await page.getByRole('link', { name: 'Queues' }).click();
    await page.getByText('leadmirror-fast').first().waitFor();
    await page.getByText('leadmirror-bulk').first().click();
    await page
      .getByText(/delayed/i)
      .first()
      .waitFor();
  });
});
