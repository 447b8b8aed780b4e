import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { type Cli, createCli } from '../helpers/cli.ts';
import { EQUAL } from '../helpers/compare.ts';
import { killAgainAndAgain } from '../helpers/kills.ts';
import { STREAMS } from '../helpers/mirror.ts';

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
