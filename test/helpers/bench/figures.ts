/** What a part of `npm run bench` found out, and how it is told: lines for people, one JSON document, a table for docs/benchmarks.md. */
import { cpus, loadavg, totalmem } from 'node:os';
import pg from 'pg';
import { percentile } from './print.ts';

export interface Figure {
  readonly name: string;
  /** As people read it. */
  readonly value: string;
  /** The same as a number, where it is judged. */
  readonly measured?: number;
  /** What was wanted; undefined: only told. */
  readonly goal?: string;
  readonly isReached?: boolean;
}

export interface PartReport {
  readonly part: string;
  /** What was measured, in a line. */
  readonly subject: string;
  readonly figures: readonly Figure[];
  /** What must never be, such as rows that are missing: the command ends with 1. */
  readonly wrong: readonly string[];
  /** What these figures do not say. */
  readonly notMeasured: readonly string[];
  /** Every round as it was. */
  readonly rounds: unknown;
}

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  /** Of the minute before the measurement: what others did on the machine. */
  readonly loadBefore: number;
  readonly platform: string;
  readonly node: string;
  readonly postgres: string;
}

export async function readMachine(databaseUrl: string): Promise<Machine> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    const all = cpus();
    return {
      date: new Date().toISOString().slice(0, 10),
      cpu: all[0]?.model.trim() ?? 'unknown',
      cores: all.length,
      memoryGb: Math.round(totalmem() / 2 ** 30),
      loadBefore: Math.round((loadavg()[0] ?? 0) * 10) / 10,
      platform: `${process.platform} ${process.arch}`,
      node: process.version,
      postgres: rows[0]?.server_version ?? 'unknown',
    };
  } finally {
    await client.end();
  }
}

/** For the end of the output. */
export function describeMachine({ date, cpu, cores, memoryGb, platform, node, postgres, loadBefore }: Machine): string {
  return `${date}, ${cores} × ${cpu}, ${memoryGb} GB, ${platform}, Node ${node}, Postgres ${postgres}, load ${loadBefore} at the start`;
}

/** One line a figure, `+` where the goal was reached, `-` where it was missed. */
export function describePart({ part, subject, figures, wrong }: PartReport): string {
  const width = Math.max(...figures.map(({ name }) => name.length)) + 2;
  const lines = figures.map((figure) => {
    const mark = figure.isReached === undefined ? ' ' : figure.isReached ? '+' : '-';
    return `${mark} ${figure.name.padEnd(width)}${figure.value}${goalOf(figure)}`;
  });
  return `\n${part}: ${subject}\n${[...lines, ...wrong.map((what) => `! ${what}`)].join('\n')}\n`;
}

function goalOf({ goal, isReached }: Figure): string {
  if (goal === undefined) return '';
  return ` (goal ${goal}${isReached === false ? ': missed' : ''})`;
}

/** A table that can be put into docs/benchmarks.md as it is. */
export function describeTable(machine: Machine, parts: readonly PartReport[], leftOut: readonly string[]): string {
  const rows = parts.flatMap(({ part, figures }) =>
    figures.map(({ name, value, goal = '', isReached }) => {
      const verdict = isReached === undefined ? '' : isReached ? 'reached' : 'missed';
      return `| ${[part, name, value, goal, verdict].join(' | ')} |`;
    }),
  );
  const unsaid = parts.flatMap(({ part, notMeasured }) => notMeasured.map((what) => `- ${part}: ${what}`));
  const absent = leftOut.map((part) => `- ${part}: this part was left out`);
  return `
Measured ${describeMachine(machine)}; ratios and times are medians of rounds in one run.

| part | figure | value | goal | |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

Not measured:
${[...unsaid, ...absent].join('\n')}
`;
}

/** The page with another table between the two marks of a script. @throws when it has no marks */
export function replaceTable(page: string, table: string, script = 'bench'): string {
  const [first, last] = [`<!-- npm run ${script}: table -->`, `<!-- npm run ${script}: end -->`];
  const [begin, end] = [page.indexOf(first), page.indexOf(last)];
  if (begin < 0 || end < begin) throw new Error(`the page has no ${first} before its ${last}`);
  return `${page.slice(0, begin + first.length)}\n${table.trim()}\n${page.slice(end)}`;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
export const perSecond = (rows: number, ms: number): number => Math.round((rows / ms) * 1000);
export const inRounds = (count: number): string => (count === 1 ? '1 round' : `${count} rounds`);
export const ratio = (value: number): string => value.toFixed(2);
export const range = (values: readonly number[], text: (value: number) => string): string =>
  `${text(median(values))} (${text(Math.min(...values))} to ${text(Math.max(...values))})`;
