import { readFileSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { createOpsServer } from '../../src/ops/server.ts';
import { ensureHistory } from '../../src/store/mirror/history.ts';
import { type Report, type ReportQuery, readReport } from '../../src/store/reports/report.ts';
import { bucketsOf, parseDay, unitOf } from '../../src/store/reports/report-days.ts';
import type { PastFigures } from '../../src/store/reports/report-past.ts';
import { startChromium } from '../helpers/chromium.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import fc from '../helpers/property.ts';
import { type ReportingSetup, setupReporting } from './setup.ts';

const browser: Browser | null = await startChromium();
let setup: ReportingSetup;
let cli: Cli;
let folder: string;
beforeAll(async () => {
  [setup, cli] = await Promise.all([setupReporting(), createCli()]);
  cli.guard(setup.tiledesk);
  folder = await mkdtemp(join(tmpdir(), 'leadmirror-report-'));
  await setup.sync('backfill');
  await setup.client.query("update reporting.settings set time_zone = 'Europe/Rome'");
  const requests = setup.app.connections.flatMap(({ streams }) => streams.map(({ table }) => table));
  await ensureHistory(setup.app.database, requests, ['tiledesk.requests']);
  // As if it had been on for long.
  await setup.client.query(`update sync.history set on_since = '${HISTORY_SINCE}'`);
  await setup.refresh();
}, 180_000);
afterAll(async () => {
  await browser?.close();
  await cli.close();
  await setup.close();
  await rm(folder, { recursive: true });
});

const read = (query: ReportQuery): Promise<Report> => readReport(setup.app.database.prisma, query);
const HISTORY_SINCE = '2026-03-10T09:00:00Z';
const RANGE = { from: '2026-03-01', to: '2026-04-20' } as const;

describe('days, weeks and months', () => {
  const day = fc
    .integer({ min: Date.parse('2019-01-01') / 86_400_000, max: Date.parse('2031-12-31') / 86_400_000 })
    .map((days) => new Date(days * 86_400_000).toISOString().slice(0, 10));

  it('of any range follow each other without a gap, from the one that holds its first day to the one that holds its last', () => {
    fc.assert(
      fc.property(day, day, (one, other) => {
        const [from = '', to = ''] = [one, other].sort();
        const unit = unitOf(from, to);
        const buckets = bucketsOf(from, to, unit);
        expect(buckets[0] !== undefined && buckets[0] <= from).toBe(true);
        expect((buckets.at(-1) ?? '') <= to).toBe(true);
        const days = buckets.map((at) => Date.parse(at) / 86_400_000);
        const gaps = new Set(days.slice(1).map((at, index) => at - (days[index] ?? 0)));
        for (const gap of gaps) expect({ day: [1], week: [7], month: [28, 29, 30, 31] }[unit]).toContain(gap);
        if (unit === 'week') for (const at of buckets) expect(new Date(at).getUTCDay()).toBe(1);
        if (unit === 'month') for (const at of buckets) expect(at.slice(8)).toBe('01');
        expect(buckets.length).toBeLessThanOrEqual(160);
      }),
    );
  });

  it('are told from what is none', () => {
    const none = ['2026-02-29', '2026-13-01', '26-01-01', '2026-1-1', 'x', '9999-12-31', '0001-01-01'];
    expect(['2026-02-28', '2024-02-29', ...none].map(parseDay)).toEqual([
      '2026-02-28',
      '2024-02-29',
      ...none.map(() => null),
    ]);
  });
});

/** What the views hold, added up by hand. */
async function expected({ from, to }: { from: string; to: string }, connection?: string) {
  const mine = (row: Record<string, unknown>) => connection === undefined || row.connection_id === connection;
  const requests = (await setup.rows('select * from reporting.requests')).filter(mine);
  const links = (await setup.rows('select * from reporting.link_engagement')).filter(mine);
  const leads = (await setup.rows('select * from reporting.lead_funnel')).filter(mine);
  const within = (day: unknown) => typeof day === 'string' && day >= from && day <= to;
  const opened = requests.filter((row) => within(row.opened_on));
  const numbers = (rows: readonly Record<string, unknown>[], name: string) =>
    rows
      .map((row) => row[name])
      .filter((value) => value !== null)
      .map(Number)
      .sort((a, b) => a - b);
  const percentile = (values: readonly number[], share: number) => {
    const place = share * (values.length - 1);
    const low = values[Math.floor(place)] ?? Number.NaN;
    return low + (place % 1) * ((values[Math.ceil(place)] ?? low) - low);
  };
  const first = numbers(opened, 'first_response_seconds');
  const resolution = numbers(opened, 'resolution_seconds');
  const ratings = numbers(opened, 'rating');
  const sent = links.filter((row) => within(row.sent_on));
  const total = (rows: readonly Record<string, unknown>[], name: string) =>
    rows.reduce((sum, row) => sum + Number(row[name]), 0);
  return {
    requests: {
      opened: opened.length,
      closed: requests.filter((row) => within(row.closed_on)).length,
      abandoned: opened.filter((row) => row.status === 150).length,
    },
    byHour: Array.from({ length: 24 }, (_, hour) => opened.filter((row) => row.opened_hour === hour).length),
    byWeekday: Array.from(
      { length: 7 },
      (_, day) => opened.filter((row) => (new Date(String(row.opened_on)).getUTCDay() + 6) % 7 === day).length,
    ),
    byDay: (at: string) => opened.filter((row) => row.opened_on === at).length,
    response: {
      answered: first.length,
      first_response_median_seconds: expect.closeTo(percentile(first, 0.5), 6),
      first_response_p90_seconds: expect.closeTo(percentile(first, 0.9), 6),
      first_response_business_median_seconds: null,
      first_response_business_p90_seconds: null,
      resolved: resolution.length,
      resolution_median_seconds: expect.closeTo(percentile(resolution, 0.5), 6),
      resolution_p90_seconds: expect.closeTo(percentile(resolution, 0.9), 6),
    },
    satisfaction: {
      rated: ratings.length,
      satisfied: ratings.filter((rating) => rating >= 4).length,
      average_rating:
        ratings.length === 0 ? null : expect.closeTo(ratings.reduce((a, b) => a + b, 0) / ratings.length, 9),
    },
    backlog: requests.filter((row) => row.is_open).length,
    funnel: Object.fromEntries(
      ['leads', 'with_request', 'answered', 'closed', 'rated'].map((step) => [
        step,
        total(
          leads.filter((row) => within(row.day)),
          step,
        ),
      ]),
    ),
    links: {
      sent: sent.length,
      opened: sent.filter((row) => row.is_opened).length,
      signed: sent.filter((row) => row.is_signed).length,
      won: sent.filter((row) => row.verdict === 'won').length,
      lost: sent.filter((row) => row.verdict === 'lost').length,
      time_read_seconds: expect.closeTo(total(sent, 'time_read_seconds'), 6),
    },
  };
}

async function readPast(query: ReportQuery): Promise<PastFigures> {
  const { past } = await read(query);
  if (past === null) throw new Error('there is no past');
  return past;
}

describe('the figures', () => {
  it.each([
    ['of all accounts', undefined],
    ['of Tiledesk', 'tiledesk'],
    ['of Tilkee', 'tilkee'],
  ])('%s are what the rows add up to', async (_, source) => {
    const connection = setup.app.connections.find((one) => one.source === source)?.id;
    const report = await read({ ...RANGE, connection });
    const sums = await expected(RANGE, connection);
    expect(report.requests).toMatchObject(sums.requests);
    expect(report.requests.by_hour).toEqual(sums.byHour);
    expect(report.requests.by_weekday).toEqual(sums.byWeekday);
    for (const { at, opened } of report.requests.by_time) expect([at, opened]).toEqual([at, sums.byDay(at)]);
    for (const parts of [report.requests.by_channel, report.requests.by_department]) {
      expect(parts.reduce((sum, { opened }) => sum + opened, 0)).toBe(sums.requests.opened);
    }
    expect(report.satisfaction).toMatchObject(sums.satisfaction);
    expect(report.backlog.open).toBe(sums.backlog);
    expect(report.funnel).toEqual(sums.funnel);
    expect(report.links).toMatchObject(sums.links);
    if (source === 'tilkee') expect(report.response_times.first_response_median_seconds).toBeNull();
    else {
      expect(sums.requests.opened).toBeGreaterThan(100);
      expect(report.response_times).toMatchObject(sums.response);
    }
    if (source !== 'tiledesk') expect(sums.links.sent).toBeGreaterThan(10);
  });

  it('of a long range count the same in weeks and months', async () => {
    for (const to of ['2027-09-01', '2029-09-01']) {
      const report = await read({ from: '2025-09-01', to });
      const sums = await expected({ from: '2025-09-01', to });
      expect(report.unit).toBe(to === '2027-09-01' ? 'week' : 'month');
      expect(report.requests).toMatchObject(sums.requests);
      expect(report.requests.by_time.reduce((sum, { opened }) => sum + opened, 0)).toBe(sums.requests.opened);
    }
  });

  it('of the past are those of the versions, from the day on which history was switched on', async () => {
    const past = await readPast(RANGE);
    const days = new Map<unknown, { open: number; least: number; most: number }>();
    for (const row of await setup.rows('select day, open, open_least, open_most from reporting.backlog_daily')) {
      const { open, least, most } = days.get(row.day) ?? { open: 0, least: 0, most: 0 };
      const more = { least: least + Number(row.open_least), most: most + Number(row.open_most) };
      days.set(row.day, { open: open + Number(row.open), ...more });
    }
    const shown = past.backlog;
    expect([shown[0]?.at, shown.at(-1)?.at, shown.length]).toEqual(['2026-03-10', '2026-04-20', 42]);
    for (const { at, ...values } of shown) expect({ at, ...values }).toEqual({ at, ...days.get(at) });
    expect(shown.every(({ open, least, most }) => least <= open && open <= most && open > 0)).toBe(true);

    const closed = await setup.rows(
      `select r.opened_on, t.unassigned_ms_least + t.assigned_ms_least as least, t.unassigned_ms_most + t.assigned_ms_least as most from reporting.status_times t join reporting.requests r using (id)
       where r.status = 1000 and r.opened_at >= '${HISTORY_SINCE}' and r.opened_on <= '${RANGE.to}'`,
    );
    const weeks = past.closings;
    expect(weeks[0]?.at).toBe('2026-03-09');
    expect(weeks.reduce((sum, week) => sum + week.closed, 0)).toBe(closed.length);
    for (const { at, least, most } of weeks) {
      const end = new Date(Date.parse(at) + 7 * 86_400_000).toISOString().slice(0, 10);
      const own = closed.filter(({ opened_on: day }) => String(day) >= at && String(day) < end);
      for (const [name, median] of Object.entries({ least, most })) {
        const seconds = own.map((row) => Number(row[name]) / 1000);
        expect(seconds.filter((one) => one <= median).length).toBeGreaterThanOrEqual(own.length / 2);
        expect(seconds.filter((one) => one >= median).length).toBeGreaterThanOrEqual(own.length / 2);
      }
    }
  });

  it('of the past count by the last known day of each week', async () => {
    const days = await readPast(RANGE);
    const weeks = await readPast({ from: '2025-09-01', to: '2026-04-20' });
    const ends = new Map(days.backlog.map((day) => [day.at, day.open]));
    expect(weeks.backlog.find(({ at }) => at === '2026-03-16')?.open).toBe(ends.get('2026-03-22'));
    expect(weeks.backlog.at(-1)).toMatchObject({ at: '2026-04-20', open: ends.get('2026-04-20') });
  });

  it('of the past are left out while history is off', async () => {
    await setup.client.query('update sync.history set off_since = now()');
    expect((await read(RANGE)).past).toBeNull();
    await setup.client.query('update sync.history set off_since = null');
  });

  it('of no day are zero and null, not an error', async () => {
    const report = await read({ from: '2001-01-01', to: '2001-01-02' });
    expect(report.requests).toMatchObject({ opened: 0, closed: 0, by_channel: [] });
    expect(report.response_times.first_response_median_seconds).toBeNull();
    expect(report.links).toMatchObject({ sent: 0, percent_read: null });
  });

  it('say how fresh they are, and in which time zone the days are', async () => {
    const report = await read(RANGE);
    expect(report.time_zones).toEqual(['Europe/Rome']);
    expect(report.as_of).toBeInstanceOf(Date);
    expect(report.connections).toHaveLength(2);
  });
});

describe('the command', () => {
  const run = (...args: readonly string[]) =>
    cli.run(['report', ...args], { env: { DATABASE_URL: setup.url }, cwd: folder });

  it('prints the main figures, and writes them with charts into one file', async () => {
    const { code, stdout, stderr } = await run('--from', RANGE.from, '--to', RANGE.to);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { requests } = await expected(RANGE);
    expect(stdout).toMatch(new RegExp(`^Requests opened +${requests.opened} +${requests.closed} closed, `, 'm'));
    expect(stdout).toContain('Europe/Rome');
    const [, path = ''] = /With charts: (.*)\n$/.exec(stdout) ?? [];
    const text = await readFile(path, 'utf8');
    expect(text).toContain('<title>leadmirror report, 2026-03-01 to 2026-04-20</title>');
    expect(text).toMatch(/aria-label="Open at the end of each day: \d+ at the last of them, between \d+ and \d+"/);
    expect(text).toContain('<h2>Time open until closed, median by week</h2>');
    // Sums only.
    for (const { fullname, email } of setup.tiledesk.data.leads.values()) {
      for (const personal of [fullname, email]) if (personal) expect(text).not.toContain(personal);
    }
  });

  it('gives scripts one document, and a page only where one is named', async () => {
    const page = join(folder, 'named.html');
    const { code, stdout } = await run('--from', RANGE.from, '--to', RANGE.to, '--json', '--html', page);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ...RANGE, unit: 'day', requests: (await expected(RANGE)).requests });
    expect(await readFile(page, 'utf8')).toContain('<!doctype html>');
    const link = join(folder, 'link');
    await symlink('named.html', link);
    await writeFile(page, 'old');
    expect((await run('--json', '--html', link)).code).toBe(0);
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readFile(page, 'utf8')).toContain('<!doctype html>');
  });

  it('names agents where that is asked for', async () => {
    const file = join(folder, 'agents.html');
    const agents = await setup.rows(
      `select agent, sum(requests)::int as requests from reporting.agent_activity
       where day between '${RANGE.from}' and '${RANGE.to}' group by 1 order by 2 desc, 1`,
    );
    expect(agents.length).toBeGreaterThan(1);
    const reportWith = async (...more: readonly string[]) => {
      const { stdout } = await run('--from', RANGE.from, '--to', RANGE.to, '--json', '--html', file, ...more);
      return { json: JSON.parse(stdout), page: await readFile(file, 'utf8') };
    };
    const [bare, named] = [await reportWith(), await reportWith('--agents')];
    expect(bare.json.agents).toBeNull();
    expect(named.json.agents).toMatchObject(agents);
    for (const { agent } of agents) {
      expect(bare.page).not.toContain(agent);
      expect(named.page).toContain(`<td data-head="Agent">${agent}</td>`);
    }
  });

  it('explains what it cannot do', async () => {
    const cannot = async (...args: readonly string[]) => {
      const { code, stderr } = await run(...args);
      return [code, stderr];
    };
    await writeFile(join(folder, 'file'), '');
    await mkdir(join(folder, 'directory'), { recursive: true });
    expect(await cannot('--from', '2026-02-30')).toEqual([2, expect.stringContaining('2026-02-30 is no day')]);
    expect(await cannot('--from', '2026-02-02', '--to', '2026-02-01')).toEqual([2, expect.stringContaining('later')]);
    expect(await cannot('--connection', 'tiledesk:nobody')).toEqual([
      2,
      expect.stringContaining('There is no account'),
    ]);
    expect(await cannot('--html', 'file/below.html')).toEqual([
      2,
      expect.stringContaining('cannot be written (ENOTDIR)'),
    ]);
    expect(await cannot('--html', 'directory')).toEqual([2, expect.stringContaining('cannot be written (EISDIR)')]);
  }, 120_000);
});

(browser === null ? describe.skip : describe)('in a browser', () => {
  const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const inBrowser = async (options: BrowserContextOptions, work: (page: Page, asked: string[]) => Promise<void>) => {
    if (browser === null) throw new Error('no browser');
    const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
    const page = await context.newPage();
    const [asked, complaints]: [string[], string[]] = [[], []];
    page.on('request', (request) => asked.push(request.url()));
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    try {
      await work(page, asked);
      expect(complaints).toEqual([]);
    } finally {
      await context.close();
    }
  };
  /** For each chart: is anything drawn? As a text, because it runs where there is a document. */
  const inked = (page: Page) =>
    page.evaluate<boolean[]>(`[...document.querySelectorAll('.plot canvas')].map((canvas) =>
      canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value !== 0))`);
  const serious = async (page: Page) => {
    await page.evaluate(AXE);
    return page.evaluate(async () => {
      const { axe } = globalThis as unknown as {
        axe: { run(): Promise<{ violations: { id: string; impact: string }[] }> };
      };
      const { violations } = await axe.run();
      return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id }) => id);
    });
  };
  const open = async () => {
    const server = createOpsServer({ prisma: setup.app.database.prisma });
    return { url: await server.listen({ host: '127.0.0.1', port: 0 }), close: () => server.close() };
  };

  it('the file draws its charts from itself alone', async () => {
    const path = join(folder, 'drawn.html');
    const { code } = await cli.run(['report', '--from', RANGE.from, '--to', RANGE.to, '--html', path], {
      env: { DATABASE_URL: setup.url },
      cwd: folder,
    });
    expect(code).toBe(0);
    await inBrowser({}, async (page, asked) => {
      await page.goto(`file://${path}`);
      expect(await page.locator('.plot canvas').count()).toBeGreaterThanOrEqual(4);
      expect(new Set(await inked(page))).toEqual(new Set([true]));
      expect(asked).toEqual([`file://${path}`]);
    });
  });

  it.each([
    ['desktop', { viewport: { width: 1280, height: 900 } }],
    ['phone, dark', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' }],
  ] as const)('the tab on a %s shows the same figures, fits, and has no serious fault', async (_, options) => {
    const server = await open();
    try {
      await inBrowser(options, async (page) => {
        await page.goto(`${server.url}/`);
        await page.getByRole('link', { name: 'Report', exact: true }).click();
        await page.locator('#from').fill(RANGE.from);
        await page.locator('#to').fill(RANGE.to);
        await page.getByRole('button', { name: 'Show' }).click();
        await page.locator('.plot canvas').first().waitFor();
        const { requests } = await expected(RANGE);
        expect(await page.locator('.tile').first().textContent()).toContain(`${requests.opened}`);
        expect(new Set(await inked(page))).toEqual(new Set([true]));
        expect(await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
        expect(await serious(page)).toEqual([]);
        const { SCREENSHOTS } = process.env;
        if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, `report-${_}.png`), fullPage: true });
      });
    } finally {
      await server.close();
    }
  });

  it('the ticks of weeks stand on Mondays', async () => {
    const server = await open();
    try {
      await inBrowser({}, async (page) => {
        await page.addInitScript(`globalThis.drawn = []; const { fillText } = CanvasRenderingContext2D.prototype;
          CanvasRenderingContext2D.prototype.fillText = function (text, ...at) { drawn.push(text); fillText.call(this, text, ...at); }`);
        await page.goto(`${server.url}/report?from=2025-09-01&to=2026-04-20`);
        expect(new Set(await inked(page))).toEqual(new Set([true]));
        const dates = (await page.evaluate<string[]>('drawn')).flatMap((text) => {
          const [, day, month] = /^(\d+) ([A-Z][a-z]{2})/.exec(text) ?? [];
          return day === undefined
            ? []
            : [new Date(`${day} ${month} ${/Sep|Oct|Nov|Dec/.test(text) ? 2025 : 2026} UTC`)];
        });
        expect(dates.length).toBeGreaterThan(10);
        expect(new Set(dates.map((date) => date.getUTCDay()))).toEqual(new Set([1]));
      });
    } finally {
      await server.close();
    }
  });

  it('the tab compares with the days before, names agents, and has the numbers of each figure as CSV', async () => {
    const server = await open();
    try {
      const text = await (await fetch(`${server.url}/report?from=2026-03-11&to=2026-03-20`)).text();
      const before = await expected({ from: '2026-03-01', to: '2026-03-10' });
      expect(text).toContain(`before: ${before.requests.opened}<`);
      const agents = await setup.rows(
        "select agent, sum(requests) as requests from reporting.agent_activity where day between '2026-03-11' and '2026-03-20' group by 1",
      );
      expect(agents.length).toBeGreaterThan(1);
      for (const { agent } of agents) expect(text).toContain(`<td data-head="Agent">${agent}</td>`);
      const links = [...text.matchAll(/href="(\/report\.csv[^"]*)"/g)].map(([, href = '']) =>
        href.replaceAll('&amp;', '&'),
      );
      expect(links.length).toBe(text.match(/class="figure[ "]/g)?.length);
      for (const href of links) {
        const response = await fetch(server.url + href);
        expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8');
        const lines = (await response.text()).trimEnd().split('\r\n');
        expect(lines.length).toBeGreaterThan(1);
        if (href.includes('figure=Agents')) expect(lines.length - 1).toBe(agents.length);
        if (href.includes('figure=Requests+by')) expect(lines[0]).toBe('From,opened,closed');
      }
      expect((await fetch(`${server.url}/report.csv?figure=none`)).status).toBe(404);
    } finally {
      await server.close();
    }
  });

  it('the tab keeps to the policy of the page, and is whole without its script', async () => {
    const server = await open();
    try {
      await inBrowser({}, async (page) => {
        await page.goto(`${server.url}/report?from=${RANGE.from}&to=${RANGE.to}`);
        expect(new Set(await inked(page))).toEqual(new Set([true]));
      });
      await inBrowser({ javaScriptEnabled: false }, async (page) => {
        await page.goto(`${server.url}/report?from=${RANGE.from}&to=${RANGE.to}`);
        expect(await page.locator('details table tbody tr').count()).toBeGreaterThan(50);
      });
      const wrong = await fetch(`${server.url}/report?from=2026-02-30`);
      expect([wrong.status, await wrong.text()]).toEqual([200, expect.stringContaining('A day is written as')]);
      expect((await fetch(`${server.url}/api/report?from=x`)).status).toBe(400);
      expect(await (await fetch(`${server.url}/api/report?from=${RANGE.from}&to=${RANGE.to}`)).json()).toMatchObject(
        RANGE,
      );
    } finally {
      await server.close();
    }
  });
});
