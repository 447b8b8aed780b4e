import type { ScaleReport, TickFigures } from './scale.ts';

/** The figures of one installation as Markdown. */
export function describeScale(report: ScaleReport): string {
  const { queue, connections, streams, cron } = report;
  const parts = [
    `\n## ${connections} connections, each with ${streams.join(', ')}, \`${cron}\`, queue in ${queue}\n`,
    table(['what', 'measured'], onceRows(report)),
    table(TICK_COLUMNS, report.ticks.map(tickRow)),
    table(['workers', 'Postgres rows written per run'], report.ticks.map(writesRow)),
    'Extrapolated from the busiest ten seconds of the last tick of each number of workers, as if the ticks were spread evenly over the interval:\n',
    table(['workers', 'connections at 5 min', 'at 10 min', 'at 60 min'], capacityRows(report.ticks)),
  ];
  return `${parts.join('\n')}\n`;
}

function onceRows({ start, firstReads, storage }: ScaleReport): string[][] {
  const tables = Object.entries(storage.postgresTables).map(([name, bytes]) => `${name} ${bytes}`);
  const redis = [storage.redisBytesEach, storage.redisBytesEachWhileWaiting];
  return [
    ['scheduler: start to running', s(start.runningMs)],
    ['scheduler: first round', `${s(start.firstRoundMs)}, ${start.schedules} schedules put`],
    ['scheduler: CPU for both, memory', `${start.cpuSeconds.toFixed(1)} s, ${start.memoryMb} MB`],
    [`worker: start to running (${firstReads.workers} at once)`, s(firstReads.workerRunningMs)],
    [
      'first full reads',
      `${s(firstReads.tookMs)}, ${firstReads.perSecond.toFixed(1)} a second, ${firstReads.workers} workers`,
    ],
    [
      'each of them',
      `${firstReads.requestsEach.toFixed(1)} requests, ${firstReads.workerCpuMsEach.toFixed(1)} ms CPU of a worker`,
    ],
    [
      'Redis per connection',
      redis[0] === null ? 'none' : `${redis[0]} bytes; ${redis[1]} while its first full read waits`,
    ],
    ['Postgres per connection', `${storage.postgresBytesEach} bytes: ${tables.join(', ')}`],
  ];
}

const TICK_COLUMNS = [
  ...[
    'workers',
    'tick',
    'runs ended',
    'lag p50',
    'p95',
    'p99',
    'max',
    'ticks within',
    'all done after',
    'runs/s',
    'busiest 10 s',
  ],
  ...[
    'requests/run',
    'worker CPU/run',
    'Redis CPU/run',
    'Postgres CPU/run',
    'transactions/run',
    'WAL/run',
    'scheduler CPU/min',
  ],
  ...['scheduler memory', 'worker memory', 'new rows in sync.runs'],
];

function tickRow(tick: TickFigures): string[] {
  const { lagMs, postgres } = tick;
  return [
    ...[String(tick.workers), String(tick.nth), `${tick.ended}/${tick.due}`],
    ...[lagMs.p50, lagMs.p95, lagMs.p99, lagMs.max].map(s),
    ...[s(tick.spreadMs), s(tick.tookMs), tick.perSecond.toFixed(1), tick.busiestPerSecond.toFixed(1)],
    ...[tick.requestsPerRun.toFixed(2), ms(tick.workerCpuMsPerRun)],
    ...[tick.redisCpuMsPerRun === null ? 'none' : ms(tick.redisCpuMsPerRun), ms(postgres.cpuMs)],
    ...[
      postgres.transactions.toFixed(1),
      `${Math.round(postgres.walBytes)} B`,
      `${tick.schedulerCpuPerMinute.toFixed(2)} s`,
    ],
    ...[`${tick.schedulerMemoryMb} MB`, `${tick.workerMemoryMb} MB`, String(tick.newRunRows)],
  ];
}

function writesRow({ workers, nth, postgres }: TickFigures): string[] {
  const writes = Object.entries(postgres.rowsWritten).map(([name, amount]) => `${name} ${amount.toFixed(2)}`);
  return [`${workers}, tick ${nth}`, writes.join(', ')];
}

function capacityRows(ticks: readonly TickFigures[]): string[][] {
  const last = new Map(ticks.map((tick) => [tick.workers, tick]));
  return [...last.values()].map(({ workers, busiestPerSecond }) => [
    String(workers),
    ...[5, 10, 60].map((minutes) => String(Math.round(busiestPerSecond * 60 * minutes))),
  ]);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}

const s = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const ms = (value: number): string => `${value.toFixed(1)} ms`;
