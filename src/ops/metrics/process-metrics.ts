import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { readVersion } from '../../version.ts';

/**
 * What this process did since it started: counters that only grow, and distributions. They are not read from `sync.runs`, because that table is pruned
 * and its idle runs are folded: a total of it goes down. Prometheus adds the processes up, and takes a restart for what it is.
 *
 * Labels name sources, streams, passes and outcomes only; never a connection, so their number does not grow with the accounts.
 */
export interface ProcessMetrics {
  readonly registry: Registry;
  readonly runs: Counter<'stream' | 'pass' | 'outcome'>;
  readonly runSeconds: Histogram<'stream' | 'pass'>;
  readonly rows: Counter<'stream' | 'action'>;
  readonly requests: Counter<'source' | 'status'>;
  readonly requestSeconds: Histogram<'source'>;
  readonly waitSeconds: Histogram<'source'>;
  readonly pageWriteSeconds: Histogram<'stream'>;
  readonly jobsSkipped: Counter<'reason'>;
  readonly alertMessages: Counter<'channel' | 'outcome'>;
}

export function createProcessMetrics(): ProcessMetrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'leadmirror_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version: readVersion(), node: process.version }, 1);
  return {
    registry,
    runs: new Counter({
      name: 'leadmirror_runs_total',
      help: 'Runs that ended in this process, verifies included.',
      labelNames: ['stream', 'pass', 'outcome'],
      registers,
    }),
    runSeconds: new Histogram({
      name: 'leadmirror_run_duration_seconds',
      help: 'How long a run took; of one that let others have their turn, the last slice.',
      labelNames: ['stream', 'pass'],
      buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400],
      registers,
    }),
    rows: new Counter({
      name: 'leadmirror_rows_total',
      help: 'Rows by what became of them in this process.',
      labelNames: ['stream', 'action'],
      registers,
    }),
    requests: new Counter({
      name: 'leadmirror_upstream_requests_total',
      help: 'Requests sent to the upstream by this process, retries and sign-ins included.',
      labelNames: ['source', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'leadmirror_upstream_request_duration_seconds',
      help: 'From sending a request to the end of its answer.',
      labelNames: ['source'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    }),
    waitSeconds: new Histogram({
      name: 'leadmirror_upstream_wait_seconds',
      help: 'Waits before requests: for a slot in the budget, for Retry-After, for a retry.',
      labelNames: ['source'],
      buckets: [0.05, 0.25, 0.5, 1, 5, 15, 60, 300],
      registers,
    }),
    pageWriteSeconds: new Histogram({
      name: 'leadmirror_page_write_duration_seconds',
      help: 'The transaction of a page: rows, checkpoint, counts; failed tries included.',
      labelNames: ['stream'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
      registers,
    }),
    jobsSkipped: new Counter({
      name: 'leadmirror_jobs_skipped_total',
      help: 'Jobs that ended without a run.',
      labelNames: ['reason'],
      registers,
    }),
    alertMessages: new Counter({
      name: 'leadmirror_alert_messages_total',
      help: 'Attempts of this process to deliver an alert message.',
      labelNames: ['channel', 'outcome'],
      registers,
    }),
  };
}
