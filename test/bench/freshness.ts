/**
 * How soon is a change in the mirror with the default schedule? A simulated Tiledesk of 200 requests a minute with CHANGES a second (5, as `sandbox --live`
 * has), and a simulated Tilkee of 100 with TILKEE_CHANGES (2), for MINUTES (10) after two of warming up.
 *
 * Ends with 1 when 95 % of Tiledesk's changes took more than 20 s, or Tiledesk got more than four tenths of its limit: passes that bring something may
 * take so much. QUEUE=postgres for the other queue; OUT=file adds the report to it as a JSON line.
 */
import { fileURLToPath } from 'node:url';
import { measureFreshness, type SourceFreshness } from '../helpers/bench/freshness.ts';
import { printVerdicts, saveReport, seconds, type Verdict } from '../helpers/bench/print.ts';
import { createCli } from '../helpers/cli.ts';
import { startTestServer } from '../helpers/test-server.ts';

const { MINUTES = '10', CHANGES = '5', TILKEE_CHANGES = '2', QUEUE = 'redis' } = process.env;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const server = await startTestServer();
const cli = await createCli({ program: fileURLToPath(new URL('../../../bin/leadmirror.js', import.meta.url)) });
try {
  const sources = await measureFreshness({
    ...{ cli, queue: QUEUE === 'postgres' ? 'postgres' : 'redis', warmUpMs: 120_000, forMs: Number(MINUTES) * 60_000 },
    ...{ tiledeskChangesPerSecond: Number(CHANGES), tilkeeChangesPerSecond: Number(TILKEE_CHANGES) },
    ...{ tiledeskPerMinute: 200, tilkeePerMinute: 100 },
  });
  if (sources === null) process.stdout.write('no Redis, left out\n');
  for (const source of sources ?? []) {
    const changes = source.source === 'tiledesk' ? CHANGES : TILKEE_CHANGES;
    printVerdicts(
      `${source.source}: ${changes} changes a second, for ${MINUTES} min, queue in ${QUEUE}`,
      judge(source),
    );
  }
  await saveReport('freshness', sources);
} finally {
  await cli.close();
  await server.stop();
}

/** Tilkee's lists allow less: what is reached there is only reported. */
function judge({ source, requestsPerMinute, allowedPerMinute, streams }: SourceFreshness): Verdict[] {
  const isJudged = source === 'tiledesk';
  return [
    {
      ...{ name: 'requests a minute', value: requestsPerMinute.toFixed(1), bound: `at most ${allowedPerMinute * 0.4}` },
      ...(isJudged && { isWell: requestsPerMinute <= allowedPerMinute * 0.4 }),
    },
    ...streams.map(({ stream, changes, missed, medianMs, p95Ms, maxMs, passesPerMinute, requestsPerPass }) => {
      const lag = `95 % within ${seconds(p95Ms)}, median ${seconds(medianMs)}, worst ${seconds(maxMs)}, ${changes} changes, ${missed} missed`;
      const cost = `${passesPerMinute.toFixed(1)} passes a minute of ${requestsPerPass.toFixed(1)} requests`;
      return {
        ...{ name: stream, value: changes === 0 ? cost : `${lag}; ${cost}` },
        ...(isJudged && changes > 0 && { bound: 'at most 20 s', isWell: p95Ms <= 20_000 && missed === 0 }),
      };
    }),
  ];
}
