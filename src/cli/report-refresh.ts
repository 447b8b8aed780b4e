import { type ReportSettings, refreshReporting, setReportSettings } from '../store/reports/refresh.ts';
import { type CommandProcess, runOnDatabase, type StreamOptions, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { formatSeconds } from './format.ts';

const SENTENCES = {
  refreshed: 'The reporting tables hold what the mirror holds',
  rebuilt: 'The reporting tables were computed anew from all rows',
  busy: 'Another refresh is under way; look at reporting.freshness, or try again',
  early: 'The reporting tables were refreshed just now',
  stopped: 'Stopped: the reporting tables stay as they were',
} as const;

/** Brings the precomputed tables of schema `reporting` up to the mirror; the daemon and `sync` do the same after their runs. */
export async function reportRefresh(
  options: StreamOptions & ReportSettings & { readonly full?: boolean },
  proc: CommandProcess,
): Promise<void> {
  const { full, timeZone, businessHours, connection, json } = options;
  if (connection !== undefined && timeZone === undefined && businessHours === undefined) {
    throw new UsageError('--connection belongs to --time-zone or --business-hours: give it with one of them');
  }
  await runOnDatabase({ json, proc }, async (database, { signal, printResult }) => {
    const set = (settings: ReportSettings) => setReportSettings(database.prisma, connection ?? null, settings);
    if (businessHours !== undefined && !(await set({ businessHours }))) {
      throw new UsageError(
        `--business-hours ${businessHours} cannot be read; write "mon-fri 09:00-18:00", several windows as "mon-fri 09:00-13:00 14:00-18:00, sat 09:00-12:00", or "none"`,
      );
    }
    if (timeZone !== undefined && !(await set({ timeZone }))) {
      throw new UsageError(`Postgres knows no time zone ${timeZone}; give a name such as Europe/Rome`);
    }
    const from = performance.now();
    const outcome = await refreshReporting(database, { isFull: full === true, signal });
    const ms = Math.round(performance.now() - from);
    printResult({ outcome, ms }, () => [`${SENTENCES[outcome]} (${formatSeconds(ms)}).`]);
    if (outcome === 'stopped') return EXIT.stoppedBySignal;
    return outcome === 'busy' ? EXIT.failed : EXIT.done;
  });
}
