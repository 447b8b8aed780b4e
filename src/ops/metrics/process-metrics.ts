import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { readVersion } from '../../version.ts';

/**
 * What this process did since it started. Not read from `sync.runs`, which is pruned and whose idle runs are folded: a
 * total of it goes down. Labels never name a connection, so that their number does not grow with the accounts.
 */
export type ProcessMetrics = ReturnType<typeof createProcessMetrics>;

export function createProcessMetrics() {
  const registry = new Registry();
  const common = { registers: [registry] };
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter<L>({ ...common, name: `leadmirror_${name}_total`, help, labelNames });
  const histogram = <L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]) =>
    new Histogram<L>({ ...common, name: `leadmirror_${name}_seconds`, help, buckets, labelNames });
  new Gauge({
    ...common,
    name: 'leadmirror_build_info',
    help: 'Always 1; the labels show what runs.',
    labelNames: ['version', 'node'],
  }).set({ version: readVersion(), node: process.version }, 1);
  return {
    registry,
    runs: counter('runs', 'Runs that ended in this process, verifies included.', 'stream', 'pass', 'outcome'),
    runSeconds: histogram(
      'run_duration',
      'How long a run took; of one that yielded to others, the last slice.',
      [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400],
      'stream',
      'pass',
    ),
    rows: counter('rows', 'Rows by what became of them in this process.', 'stream', 'action'),
    requests: counter('upstream_requests', 'Requests to the upstream, with retries and sign-ins.', 'source', 'status'),
    requestSeconds: histogram(
      'upstream_request_duration',
      'From sending a request to the end of its answer.',
      [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      'source',
    ),
    waitSeconds: histogram(
      'upstream_wait',
      'Waits before requests: for a slot in the budget, for Retry-After, for a retry.',
      [0.05, 0.25, 0.5, 1, 5, 15, 60, 300],
      'source',
    ),
    pageWriteSeconds: histogram(
      'page_write_duration',
      'The transaction of a page: rows, checkpoint, counts; failed tries included.',
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
      'stream',
    ),
    jobsSkipped: counter('jobs_skipped', 'Jobs that ended without a run.', 'reason'),
    alertMessages: counter(
      'alert_messages',
      'Attempts of this process to deliver an alert message.',
      'channel',
      'outcome',
    ),
  };
}
