import { openMirrorDatabase } from '../app.ts';
import { refreshReporting, setTimeZone } from '../store/reports/refresh.ts';
import { runCommand, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { formatSeconds, print, printJson } from './format.ts';

export interface ReportRefreshOptions {
  readonly full?: boolean;
  readonly timeZone?: string;
  readonly connection?: string;
  readonly json?: boolean;
}

const SENTENCES = {
  refreshed: 'The reporting tables hold what the mirror holds',
  rebuilt: 'The reporting tables were computed anew from all rows',
  busy: 'Another refresh is under way; look at reporting.freshness, or try again',
  early: 'The reporting tables were refreshed just now',
  stopped: 'Stopped: the reporting tables stay as they were',
} as const;

/** Brings the precomputed tables of schema `reporting` up to the mirror; the daemon and `sync` do the same after their runs. */
export async function reportRefresh(options: ReportRefreshOptions): Promise<void> {
  await runCommand({ json: options.json, requireConnections: false }, async ({ config, logger, signal }) => {
    if (options.connection !== undefined && options.timeZone === undefined) {
      throw new UsageError('--connection says whose --time-zone it is: give both, or none');
    }
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const { timeZone } = options;
      if (timeZone !== undefined && !(await setTimeZone(database.prisma, options.connection ?? null, timeZone))) {
        throw new UsageError(`Postgres knows no time zone ${timeZone}; give a name such as Europe/Rome`);
      }
      const from = performance.now();
      const outcome = await refreshReporting(database, { isFull: options.full === true, signal });
      const ms = Math.round(performance.now() - from);
      if (options.json) printJson({ outcome, ms });
      else print(`${SENTENCES[outcome]} (${formatSeconds(ms)}).`);
      if (outcome === 'stopped') return EXIT.stoppedBySignal;
      return outcome === 'busy' ? EXIT.failed : EXIT.done;
    } finally {
      await database.close();
    }
  });
}
