import { createNextRuns } from '../../workers/next-runs.ts';
import type { MirrorDatabase } from '../app/mirror-database.ts';
import { scheduleOf } from '../config.ts';
import type { OpsParts } from '../ops/parts.ts';
import { afterPauses, StatusReader } from '../ops/read-status.ts';
import { databaseError } from '../store/faults.ts';
import { readPauses } from '../store/reports/budget-status.ts';
import { countRows, readStatus } from '../store/reports/status.ts';
import { type CommandProcess, runOnDatabase } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { viewStatus } from './status-view.ts';
import { type Screen, screenOf } from './terminal.ts';
import { watch } from './watch.ts';

const WATCH_MS = 2_000;

export async function status(
  options: { readonly json?: boolean; readonly watch?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json: options.json, proc }, async (database, { config, signal, print, printJson }) => {
    const streams = config.connections.flatMap((connection) =>
      connection.streams.map((name) => ({
        connectionId: connection.id,
        stream: `${connection.source}.${name}`,
        schedule: scheduleOf(config.sync, connection, name),
      })),
    );
    const nextRuns = createNextRuns(() => streams);
    if (options.json) {
      printJson({ streams: await readForScripts(database, nextRuns) });
      return EXIT.done;
    }
    const reader = new StatusReader({ prisma: database.prisma, nextRuns });
    const look = async () => {
      const document = await reader.read().catch((error: unknown) => {
        throw databaseError(error, database.address);
      });
      return (screen: Screen) => viewStatus(document, screen, Date.now());
    };
    if (options.watch) return watch(look, { output: proc.stdout, intervalMs: WATCH_MS, signal });
    const view = await look();
    for (const line of view(screenOf(proc.stdout))) print(line);
    return EXIT.done;
  });
}

/** The document of `--json`; its names are a contract. */
async function readForScripts({ prisma }: MirrorDatabase, nextRuns: NonNullable<OpsParts['nextRuns']>) {
  const streams = await readStatus(prisma);
  const names = [...new Set(streams.map(({ stream }) => stream))];
  const counts = new Map(await Promise.all(names.map(async (name) => [name, await countRows(prisma, name)] as const)));
  const now = Date.now();
  const nextTry = afterPauses(nextRuns, await readPauses(prisma));
  return streams.map((line) => {
    const rows = counts.get(line.stream)?.get(line.connection_id);
    const ticks = nextTry({ connectionId: line.connection_id, stream: line.stream }, now).map(({ at }) => at.getTime());
    return {
      ...line,
      rows: rows?.alive ?? 0,
      deleted_rows: rows?.deleted ?? 0,
      // By the schedule, null without one; a daemon has to be running for it to happen.
      next_run: ticks.length === 0 ? null : new Date(Math.min(...ticks)),
    };
  });
}
