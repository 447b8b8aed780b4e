import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Locator, Page } from 'playwright-core';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli, until } from '../helpers/cli.ts';
import { createTestDatabase, type TestDatabase, withClient } from '../helpers/postgres.ts';
import { TOKEN } from '../ops/support.ts';
import { faultsOf, forgive, inBrowser, newPage, PHONE, signIn } from './support.ts';

/** What a person comes for, with a running daemon: each within three clicks from the first page, at a desk and on a phone. */
inBrowser('an operator', () => {
  let cli: Cli;
  let sandbox: TiledeskSandbox;
  let database: TestDatabase;
  let daemon: ReturnType<Cli['converse']>;
  let url: string;
  let upstream: string;
  beforeAll(async () => {
    cli = await createCli();
    sandbox = createTiledeskSandbox({ leads: 60, requests: 30 });
    upstream = (await sandbox.listen()).url;
    database = await createTestDatabase();
    cli.guard(sandbox);
    const env = {
      ...{ DATABASE_URL: database.url, OPS_PORT: '0', OPS_TOKEN: TOKEN, CONNECTION_HOSTS: '127.0.0.1' },
      LEADMIRROR_SECRET_KEY: 'a-secret-key-of-the-browser-tests',
      SYNC_INCREMENTAL_CRON: '*/2 * * * * *',
    };
    daemon = cli.converse(['start'], { env });
    [, url = ''] = await daemon.says(/status on (http:\S+)\/api\/status/);
  });
  afterAll(async () => {
    daemon.kill('SIGTERM');
    await daemon.ended;
    await database.drop();
    await sandbox.close();
    await cli.close();
  });

  const ask = (text: string) => withClient(database.url, async (client) => (await client.query(text)).rows);
  const api = (page: Page, path: string, method: string, data?: object) =>
    page.context().request.fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${TOKEN}` }, data });
  const stateOf = async (page: Page, stream: string) => {
    const { streams } = await (await api(page, '/api/status', 'GET')).json();
    return streams.find((one: { stream: string }) => one.stream === `tiledesk.${stream}`);
  };

  /** Begins at the first page; `press` counts, and looks at what is shown then. */
  async function task(page: Page, work: (press: (what: Locator) => Promise<void>) => Promise<void>): Promise<void> {
    let clicks = 0;
    const look = async () => {
      await page.waitForLoadState();
      const sticksOut = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
      expect([page.url(), sticksOut]).toEqual([page.url(), 0]);
      expect(await faultsOf(page)).toEqual([]);
    };
    await page.goto(`${url}/`);
    await look();
    await work(async (what) => {
      clicks += 1;
      await what.first().click();
      await look();
    });
    expect(clicks).toBeLessThanOrEqual(3);
  }

  it.each([
    ['at a desk', { viewport: { width: 1280, height: 800 } }],
    ['on a phone', PHONE],
  ])('%s finds each within three clicks', async (_, options) => {
    const page = await newPage(options);
    page.on('dialog', (dialog) => void dialog.accept());
    const id = `tiledesk:${sandbox.projectId}`;
    await signIn(page, url);

    // Add an account, which is refused at first.
    await task(page, async (press) => {
      await press(page.getByRole('link', { name: 'Accounts', exact: true }));
      await press(page.getByText('Tiledesk project', { exact: true }));
      const add = page.locator('form[action="/accounts"]:has([value=tiledesk])');
      await add.getByLabel('Label').fill('Made-up Shop');
      await add.getByLabel('Project id').fill(sandbox.projectId);
      await add.getByLabel('Email').fill(sandbox.email);
      await add.getByLabel('Password').fill('not-the-password');
      await add.getByText('More settings').click();
      await add.getByLabel('Base url').fill('https://169.254.1.1/v3');
      await add.getByRole('button').click();
      await page.getByRole('alert').getByText('CONNECTION_HOSTS').waitFor();
      await add.getByText('More settings').click();
      await add.getByLabel('Base url').fill(upstream);
      // What is encrypted is never sent back.
      await add.getByLabel('Email').fill(sandbox.email);
      await add.getByLabel('Password').fill('not-the-password');
      await press(add.getByRole('button', { name: 'Add and check' }));
      await page.getByRole('status').getByText('failed').waitFor();
    });
    await until('it is refused', async () => (await stateOf(page, 'leads'))?.state === 'blocked');

    // Which account is broken, and why; and mend it.
    await task(page, async (press) => {
      await page.getByRole('heading', { level: 1, name: /the sign-in of Made-up Shop was refused/ }).waitFor();
      await press(page.getByRole('link', { name: 'Change its settings' }));
      await page.locator('details[open]').getByLabel('Password').fill(sandbox.password);
      await press(page.getByRole('button', { name: 'Save and check' }));
      await page.getByText('Everything can be read.').waitFor();
    });
    await until('it is mirrored', async () => (await stateOf(page, 'project_users'))?.state === 'fresh');
    await until('it is mirrored', async () => (await stateOf(page, 'leads'))?.state === 'fresh');

    // The run that failed.
    await task(page, async (press) => {
      await press(page.getByRole('link', { name: 'Runs', exact: true }));
      await page.locator('#failures').getByText('auth_').first().waitFor();
    });

    // A record in quarantine.
    const [department] = await ask('select raw from tiledesk.departments limit 1');
    const raw = JSON.stringify({ ...department.raw, _id: 'unread' }).replaceAll("'", "''");
    await ask(
      `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id, first_seen_at, last_seen_at)
       values ('${id}', 'tiledesk.departments', 'unread', 'bad_type', '${raw}', 1, now(), now())`,
    );
    await until('it is seen', async () => (await stateOf(page, 'departments'))?.open_quarantine === 1);
    await task(page, async (press) => {
      await press(page.getByRole('link', { name: 'To decide' }));
      await press(page.getByRole('button', { name: /^Retry quarantine/ }));
      await page.getByText('1 of 1 record written').waitFor();
    });

    // Deletions that are held back.
    for (const lead of [...sandbox.data.leads.keys()].slice(0, 20)) sandbox.data.hardDeleteLead(lead);
    await api(page, `/api/streams/${id}/tiledesk.leads/trigger`, 'POST', { pass: 'reconcile' });
    await until('the guard holds them back', async () => (await stateOf(page, 'leads'))?.deletions === 'blocked');
    await task(page, async (press) => {
      await press(page.getByRole('button', { name: /^Accept deletions/ }));
      await page.getByText(/^Accepted/).waitFor();
    });
    await until('they are marked', async () => (await stateOf(page, 'leads'))?.deleted_rows > 0);

    // One stream compared.
    await task(page, async (press) => {
      await press(page.getByRole('button', { name: /^More actions for tiledesk.requests/ }));
      await press(page.getByRole('dialog').getByRole('button', { name: /^Verify tiledesk/ }));
      await page.getByText(/is equal: \d+ rows compared/).waitFor();
    });

    // And the account goes.
    await task(page, async (press) => {
      await press(page.getByRole('link', { name: 'Accounts', exact: true }));
      await press(page.getByText('Made-up Shop').first());
      await press(page.getByRole('button', { name: /^Remove/ }));
      await page.getByText('Its rows and runs stay').waitFor();
    });
    // A refused form is an answer with 400.
    forgive((fault) => fault.includes('400'));
    await ask('truncate sync.streams, sync.runs, sync.checkpoints, sync.quarantine, tiledesk.leads cascade');
  });
});
