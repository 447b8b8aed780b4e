/**
 * Is one account's request limit used, and kept? Three worker processes with eight jobs each and a scheduler mirror eight projects of one account, whose
 * backfills never end, from an upstream that refuses what is above 200 requests in any rolling minute. Judged by the upstream's own log, with the queue
 * in Redis and in Postgres, and once more with a 429 and Retry-After: 5 out of the blue at three random moments.
 *
 * SECONDS (300) of steady time, after WARM_UP seconds (75); QUEUE=redis or postgres for one of them; INJECTED=0 leaves the last part out; OUT=file
 * adds the reports to it as JSON lines. Ends with 1 when less than 97 % of the allowance was used, a thousandth of the requests was refused, or a
 * request came inside a Retry-After.
 */
import { fileURLToPath } from 'node:url';
import { type BudgetOptions, type BudgetReport, measureBudget } from '../helpers/bench/budget.ts';
import { percent, percentile, printVerdicts, saveReport, seconds, type Verdict } from '../helpers/bench/print.ts';
import { createCli } from '../helpers/cli.ts';
import { startTestServer } from '../helpers/test-server.ts';

const { SECONDS = '300', WARM_UP = '75', QUEUE, INJECTED = '1', SEED = '1' } = process.env;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const server = await startTestServer();
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
const common = {
  ...{ cli, requestsPerMinute: 200, workers: 3, concurrency: 8, connections: 8 },
  warmUpMs: Number(WARM_UP) * 1000,
  steadyMs: Number(SECONDS) * 1000,
  incrementalCron: '* * * * *',
};
const queues = (['redis', 'postgres'] as const).filter((queue) => QUEUE === undefined || QUEUE === queue);
try {
  for (const queue of queues) await measure(`queue in ${queue}`, { ...common, queue }, judgeSteady);
  if (INJECTED !== '0') {
    const injected = { times: 3, retryAfterMs: 5_000, seed: Number(SEED) };
    const options = { ...common, queue: queues[0] ?? 'postgres', steadyMs: 60_000, injected };
    await measure('429 with Retry-After: 5 at three random moments of a minute', options, judgeInjected);
  }
} finally {
  await cli.close();
  await server.stop();
}

async function measure(title: string, options: BudgetOptions, judge: (report: BudgetReport) => Verdict[]) {
  const report = await measureBudget(options);
  if (report === null) {
    process.stdout.write(`\n${title}: no Redis, left out\n`);
    return;
  }
  printVerdicts(title, [...judge(report), ...others(report)]);
  await saveReport(`budget: ${title}`, report);
}

function judgeSteady(report: BudgetReport): Verdict[] {
  const { used, requests, refused } = report;
  return [
    { name: 'used of the allowance', value: percent(used), bound: '97 % or more', isWell: used >= 0.97 },
    {
      name: 'refused (429)',
      value: `${refused} of ${requests}`,
      bound: 'less than 0.1 %',
      isWell: refused < requests / 1000,
    },
    ...kept(report),
  ];
}

function judgeInjected(report: BudgetReport): Verdict[] {
  const { hints } = report;
  return [{ name: 'Retry-After sent', value: hints, bound: '3 or more', isWell: hints >= 3 }, ...kept(report)];
}

function kept({ busiestWindow, allowedInWindow, inside, underWay, afterMs }: BudgetReport): Verdict[] {
  const times = afterMs.slice(0, 10).map(seconds).join(', ');
  return [
    {
      name: 'most in a rolling minute',
      value: busiestWindow,
      bound: `at most ${allowedInWindow}`,
      isWell: busiestWindow <= allowedInWindow,
    },
    {
      name: 'inside a Retry-After',
      value: `${inside}${times === '' ? '' : `: after ${times}`}`,
      bound: 'none',
      isWell: inside === 0,
    },
    { name: 'under way when it was sent', value: underWay },
  ];
}

function others({ byList, pausesMs, warnings }: BudgetReport): Verdict[] {
  const lists = Object.entries(byList).map(([list, count]) => `${list} ${count}`);
  const [half, most] = [0.5, 1].map((share) => seconds(percentile(pausesMs, share)));
  return [
    { name: 'requests by list', value: lists.join(', ') },
    { name: 'between two looks at changes', value: `median ${half}, longest ${most}` },
    { name: 'warnings in the logs', value: warnings },
  ];
}
