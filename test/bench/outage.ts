/**
 * What does an outage cost the upstream, and what comes after it? A daemon is in the middle of its first full read of four streams, with an incremental
 * pass every minute, when the upstream answers 503 to everything for MINUTES (30): once without a word about when to come back, once with
 * Retry-After: 30. Both at the same time, one with the queue in Redis and one with the queue in Postgres; MODE=silent or retry-after for one of them.
 *
 * Ends with 1 when more than 40 requests came during an outage, a walk did not go on where it had stopped (the page after its checkpoint, or at most two
 * before it), the mirror differs from the upstream, or there was not exactly one event for the outage and one for its end. OUT=file adds the reports
 * to it as JSON lines.
 */
import { fileURLToPath } from 'node:url';
import { measureOutage, type OutageReport } from '../helpers/bench/outage.ts';
import { printVerdicts, saveReport, seconds, type Verdict } from '../helpers/bench/print.ts';
import { createCli } from '../helpers/cli.ts';
import { startTestServer } from '../helpers/test-server.ts';

const { MINUTES = '30', MODE } = process.env;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const server = await startTestServer();
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
const common = {
  ...{ cli, outageMs: Number(MINUTES) * 60_000, leads: 4_000, requests: 8_000, pageSize: 20 },
  // About a minute for the whole walk, so that the outage meets it in its first half.
  ...{ requestsPerMinute: 1_200, pagesBefore: 40, incrementalCron: '* * * * *', restMs: 40 * 60_000 },
};
const modes = [
  { name: 'silent', queue: 'redis', retryAfterMs: null, title: '503 without Retry-After' },
  { name: 'retry-after', queue: 'postgres', retryAfterMs: 30_000, title: '503 with Retry-After: 30' },
] as const;
try {
  await Promise.all(modes.filter(({ name }) => MODE === undefined || MODE === name).map(measure));
} finally {
  await cli.close();
  await server.stop();
}

async function measure({ queue, retryAfterMs, title }: (typeof modes)[number]): Promise<void> {
  const report =
    (await measureOutage({ ...common, queue, retryAfterMs })) ??
    (await measureOutage({ ...common, queue: 'postgres', retryAfterMs }));
  if (report === null) throw new Error('no queue');
  printVerdicts(`${title} for ${MINUTES} min, queue in ${report.queue}`, judge(report));
  await saveReport(`outage: ${title}`, report);
}

function judge(report: OutageReport): Verdict[] {
  const { requests, requestsByMinute, early, resumedAfterMs, stepsBack, pagesTwice, opened, closed } = report;
  const isEqual = report.differences.every((one) => Object.values(one).every((ids) => ids.length === 0));
  const steps = Object.values(stepsBack);
  const minutes = requestsByMinute.slice(0, 30).join(' ');
  return [
    {
      name: 'requests during the outage',
      value: `${requests}; by minute: ${minutes}`,
      bound: 'at most 40',
      isWell: requests <= 40,
    },
    { name: 'before a Retry-After was over', value: early, bound: 'none', isWell: early === 0 },
    {
      name: 'first good answer after it',
      value: resumedAfterMs === null ? 'never' : seconds(resumedAfterMs),
      isWell: resumedAfterMs !== null,
    },
    {
      name: 'went on so many pages back',
      value: Object.entries(stepsBack)
        .map(([list, back]) => `${list} ${back}`)
        .join(', '),
      bound: 'at most 2',
      isWell: steps.every((back) => back !== null && back <= 2),
    },
    { name: 'pages asked again', value: pagesTwice, bound: 'at most 2 a list', isWell: pagesTwice <= 2 * steps.length },
    { name: 'first full read complete', value: report.isComplete ? 'yes' : 'no', isWell: report.isComplete },
    { name: 'mirror equals upstream', value: isEqual ? 'yes' : 'no', isWell: isEqual },
    { name: 'events circuit_open', value: opened, bound: 'one', isWell: opened === 1 },
    { name: 'events circuit_closed', value: closed, bound: 'one', isWell: closed === 1 },
    { name: 'warnings in the log', value: report.warnings },
  ];
}
