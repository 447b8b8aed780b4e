import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { compareMirror, EQUAL } from '../helpers/compare.ts';
import { expireLeasesOfDead, killAgainAndAgain } from '../helpers/kills.ts';
import { STREAMS, variables } from '../helpers/mirror.ts';
import { createTestDatabase } from '../helpers/postgres.ts';

let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());

it('killed five times in the middle, a first full read still ends equal, and repeats at most two pages a kill', async () => {
  const report = await killAgainAndAgain({
    cli,
    ...{ kills: 5, seed: 20_260_101, leads: 3_000, requests: 6_000, pageSize: 100 },
    // Ten seconds each: one wait shows that it works, the others would only show that time passes.
    waitsForLease: (kill) => kill === 2,
  });
  expect(report.end).toMatchObject({ code: 0, stderr: '' });
  expect(report.differences).toEqual(STREAMS.map(() => EQUAL));
  expect(report.kills).toBe(5);
  expect(report.pagesTwice).toBeLessThanOrEqual(2 * report.kills);
  expect(report.pages).toBeLessThanOrEqual(report.pagesUndisturbed + 2 * report.kills);
  // As `bench:kills` counts, but for the questions that every sync asks once: beside a thousand pages they are nothing, here they are a tenth.
  expect(report.requests).toBeLessThanOrEqual(
    report.requestsUndisturbed + report.pagesMinimum * 0.2 + 2 * report.kills,
  );
}, 120_000);

it('killed three times among the messages, a first full read still ends equal, and repeats at most two conversations a kill', async () => {
  const sandbox = createTiledeskSandbox({ seed: 7, leads: 50, requests: 300 });
  const database = await createTestDatabase();
  const admin = new pg.Client({ connectionString: database.url });
  await admin.connect();
  try {
    const { url } = await sandbox.listen();
    cli.guard(sandbox);
    const env = {
      ...variables(sandbox, url, database.url),
      TILEDESK_STREAMS: 'requests,messages',
      LEADMIRROR_SECRET_KEY: 'a-key-that-is-long-enough-for-a-test',
    };
    sandbox.faults.push({ kind: 'slow', delayMs: 10, match: { list: 'messages' }, times: Number.POSITIVE_INFINITY });
    const asked = () => sandbox.log.filter(({ list }) => list === 'messages').length;
    let kills = 0;
    for (const until of [40, 110, 200]) {
      const running = cli.start(['sync'], { env });
      let isOver = false;
      const ended = running.ended.finally(() => {
        isOver = true;
      });
      while (!isOver && asked() < until) await delay(2);
      running.kill('SIGKILL');
      if ((await ended).signal === 'SIGKILL') kills += 1;
      await expireLeasesOfDead(admin);
    }
    const { code, stderr } = await cli.run(['sync'], { env, timeoutMs: 60_000 });

    expect({ code, stderr, kills }).toEqual({ code: 0, stderr: '', kills: 3 });
    expect(asked()).toBeLessThanOrEqual(300 + 2 * kills);
    expect(await compareMirror(database.url, sandbox, 'messages')).toEqual(EQUAL);
  } finally {
    await admin.end();
    await sandbox.close();
    await database.drop();
  }
}, 120_000);
