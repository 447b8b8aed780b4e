import { resolve } from 'node:path';
import { reportFile } from '../ops/report/file.ts';
import { refreshReporting } from '../store/reports/refresh.ts';
import { readReport, readReportedConnections } from '../store/reports/report.ts';
import { parseDay } from '../store/reports/report-days.ts';
import { type CommandProcess, runOnDatabase, type StreamOptions, UsageError, writeOutput } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { viewReport } from './report-view.ts';
import { screenOf } from './terminal.ts';

export interface ReportOptions extends StreamOptions {
  readonly from?: string;
  readonly to?: string;
  /** A file name; false: none is written. */
  readonly html?: string | boolean;
  readonly agents?: boolean;
}

/** Prints the main figures, and writes them with charts into one HTML file. The precomputed tables are brought up to the mirror first. */
export async function report(options: ReportOptions, proc: CommandProcess): Promise<void> {
  const { from, to, connection, agents } = options;
  for (const day of [from, to]) {
    if (day !== undefined && parseDay(day) === null) {
      throw new UsageError(`${day} is no day; write it as 2026-01-31.`);
    }
  }
  if (from !== undefined && to !== undefined && from > to) throw new UsageError('--from is later than --to.');
  await runOnDatabase({ json: options.json, proc }, async (database, { signal, printResult }) => {
    const { prisma } = database;
    if ((await refreshReporting(database, { signal })) === 'stopped') return EXIT.stoppedBySignal;
    if (connection !== undefined) assertReported(connection, await readReportedConnections(prisma));
    const found = await readReport(prisma, { from, to, connection, agents });
    const name = fileName(options, found);
    const file = name && resolve(proc.cwd(), name);
    if (file !== null) await writeOutput(file, reportFile(found, Date.now()), NOT_WRITTEN);
    printResult(found, () => [
      ...viewReport(found, screenOf(proc.stdout), Date.now()),
      ...(file === null ? [] : [`\nWith charts: ${file}`]),
    ]);
  });
}

const NOT_WRITTEN = '. Name another file with --html, or leave it out with --no-html.';

function assertReported(connection: string, known: readonly string[]): void {
  if (known.includes(connection)) return;
  if (known.length === 0) throw new UsageError('Nothing is mirrored yet. Start with: leadmirror sync');
  const more = known.length > 10 ? ', ...' : '';
  throw new UsageError(`There is no account ${connection}; there is ${known.slice(0, 10).join(', ')}${more}.`);
}

/** Null: none. With `--json` only one that was asked for. */
function fileName({ html, json }: ReportOptions, { from, to }: { from: string; to: string }): string | null {
  if (typeof html === 'string') return html;
  return html === false || json === true ? null : `leadmirror-report-${from}-to-${to}.html`;
}
