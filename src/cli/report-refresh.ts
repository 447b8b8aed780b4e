import { refreshReporting, setTimeZone } from '../store/reports/refresh.ts';
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
  options: StreamOptions & { readonly full?: boolean; readonly timeZone?: string },
  proc: CommandProcess,
): Promise<void> {
  const { full, timeZone, connection, json } = options;
  if (connection !== undefined && timeZone === undefined) {
    throw new UsageError('--connection belongs to --time-zone: give both, or none');
  }
  await runOnDatabase({ json, proc }, async (database, { signal, printResult }) => {
    if (timeZone !== undefined && !(await setTimeZone(database.prisma, connection ?? null, timeZone))) {
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
