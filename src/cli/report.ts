import { resolve } from 'node:path';
import { openMirrorDatabase } from '../app.ts';
import { reportFile } from '../ops/report/file.ts';
import { replaceFile } from '../replace-file.ts';
import { databaseError } from '../store/faults.ts';
import { refreshReporting } from '../store/reports/refresh.ts';
import { parseDay, readReport, readReportedConnections } from '../store/reports/report.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson } from './format.ts';
import { viewReport } from './report-view.ts';
import { screenOf } from './terminal.ts';

export interface ReportOptions {
  readonly from?: string;
  readonly to?: string;
  readonly connection?: string;
  /** A file name; false: none is written. */
  readonly html?: string | boolean;
  readonly json?: boolean;
}

/** Prints the main figures, and writes them with charts into one HTML file. The precomputed tables are brought up to the mirror first. */
export async function report(options: ReportOptions): Promise<void> {
  const { from, to, connection } = options;
  for (const day of [from, to]) {
    if (day !== undefined && parseDay(day) === null) {
      throw new UsageError(`${day} is no day; write it as 2026-01-31.`);
    }
  }
  if (from !== undefined && to !== undefined && from > to) throw new UsageError('--from is later than --to.');
  await runCommand({ requireConnections: false, json: options.json }, async ({ config, logger, signal }) => {
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      if ((await refreshReporting(database, { signal })) === 'stopped') return EXIT.stoppedBySignal;
      if (connection !== undefined) {
        const known = await readReportedConnections(database.prisma);
        if (!known.includes(connection)) {
          throw new UsageError(
            known.length === 0
              ? 'Nothing is mirrored yet. Start with: leadmirror sync'
              : `There is no account ${connection}; there is ${known.slice(0, 10).join(', ')}${known.length > 10 ? ', ...' : ''}.`,
          );
        }
      }
      const found = await readReport(database.prisma, { from, to, connection }).catch((error: unknown) => {
        throw databaseError(error, database.place);
      });
      const file = fileName(options, found);
      if (file !== null) await writeWhole(file, reportFile(found, Date.now()));
      if (options.json) printJson(found);
      else {
        for (const line of viewReport(found, screenOf(process.stdout), Date.now())) print(line);
        if (file !== null) print(`\nWith charts: ${file}`);
      }
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}

/** Null: none. With `--json` only one that was asked for. */
function fileName({ html, json }: ReportOptions, { from, to }: { from: string; to: string }): string | null {
  if (typeof html === 'string') return resolve(html);
  return html === false || json === true ? null : resolve(`leadmirror-report-${from}-to-${to}.html`);
}

async function writeWhole(path: string, text: string): Promise<void> {
  try {
    await replaceFile(path, text);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown reason';
    throw new UsageError(
      `${path} cannot be written (${code}). Name another file with --html, or leave it out with --no-html.`,
    );
  }
}
