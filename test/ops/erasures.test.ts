import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { PrivacyError } from '../../src/errors.ts';
import { createPrivacyGuard } from '../../src/store/privacy/guard.ts';
import { addErasures, addFreshStream, clear, type OpsSetup, setupOps } from './support.ts';

let setup: OpsSetup;
let folder: string;
beforeAll(async () => {
  setup = await setupOps();
  folder = await mkdtemp(join(tmpdir(), 'journal-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await setup.close();
});
beforeEach(async () => {
  await clear(setup.store);
  await addFreshStream(setup.store, 'tiledesk.leads');
});

const dayOf = (daysAgo: number) => new Date(Date.now() - daysAgo * 86_400_000).toISOString().slice(0, 10);

it('erasures are shown by count and day, the newest first, without a name, reason or reference', async () => {
  await addErasures(setup.store, [
    [0, 'done'],
    [3, 'done'],
    [3, 'residue'],
    [3, 'lifted'],
    [40, 'done'],
  ]);
  const server = setup.server();
  const days = [
    { day: dayOf(0), count: 1 },
    { day: dayOf(3), count: 2 },
    { day: dayOf(40), count: 1 },
  ];
  const { erasures } = (await server.inject('/api/status')).json();
  expect(erasures).toEqual({ total: 4, unfinished: 1, days, problem: null });
  const page = (await server.inject('/')).body;
  expect(page).toContain('<h2>4 erasures</h2>');
  expect(page).toContain('1 not finished:');
  for (const { day } of days) expect(page).toContain(`<time datetime="${day}">`);
  expect(page).not.toMatch(/Canary|T-1/);
});

it('nothing is shown of erasures before the first one', async () => {
  const page = (await setup.server().inject('/')).body;
  expect(page).not.toMatch(/id="(erasures|journal)"/);
});

it('a missing erasure is the headline, with the way out of it', async () => {
  const message =
    'the journal of erasures is ahead of the database; to repeat them: leadmirror forget --replay <journal>';
  const server = setup.server({ privacy: { problem: async () => new PrivacyError('erasures_missing', message) } });
  const { erasures } = (await server.inject('/api/status')).json();
  expect(erasures.problem).toEqual({ code: 'erasures_missing', message });
  const page = (await server.inject('/')).body;
  expect(page).toContain('<h1>Erasures are missing: nothing new is read</h1>');
  expect(page).toMatch(/id="journal" role="alert"><b>No run begins\.<\/b> The journal of erasures is ahead/);
  expect(page).toContain('forget --replay &lt;journal&gt;');
  // No state is sure while it lasts, so none is shown in the colour of a good one.
  for (const path of ['/', '/accounts/tiledesk:agency', '/streams/tiledesk:agency/tiledesk.leads']) {
    expect({ path, page: (await server.inject(path)).body }).toEqual({
      path,
      page: expect.stringMatching(/<main id="main" class="unsure">.*Erasures are missing:/s),
    });
  }
});

it('a journal with an erasure that the database never had is a problem, and so is a lost or a spoilt one', async () => {
  const journal = join(folder, 'erasures.jsonl');
  const guard = createPrivacyGuard(setup.store.prisma, { secretKey: null, journal });
  expect(await guard.problem()).toBeNull();
  const entry = { erasure: 'e', at: '2026-01-01T00:00:00Z', reason: 'request', deletes: false, hashes: [] };
  await writeFile(journal, `${JSON.stringify({ journal: 'a', key: '' })}\n${JSON.stringify(entry)}\n`);
  expect(await guard.problem()).toMatchObject({ code: 'erasures_missing' });
  await writeFile(journal, 'no journal\n');
  expect(await guard.problem()).toMatchObject({ code: 'journal_unusable' });
  await rm(journal);
  await setup.store.query(`update sync.privacy set journal_id = gen_random_uuid(), journal_hash = 'x'`);
  expect(await guard.problem()).toMatchObject({ code: 'erasures_journal_missing' });
  await setup.store.query('update sync.privacy set journal_id = null, journal_hash = null');
  expect(await guard.problem()).toBeNull();
});
