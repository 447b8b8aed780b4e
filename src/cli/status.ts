import { createNextRuns } from '../../workers/next-runs.ts';
import type { MirrorDatabase } from '../app/mirror-database.ts';
import { loadWithStored } from '../app/stored-connections.ts';
import { scheduleOf } from '../config.ts';
import type { OpsParts } from '../ops/parts.ts';
import { nextTries, StatusReader } from '../ops/read-status.ts';
import type { StatusDocument } from '../ops/status-document.ts';
import { readPolls } from '../store/engine/polls.ts';
import { databaseError } from '../store/faults.ts';
import { readPauses } from '../store/reports/budget-status.ts';
import { countRows, readStatus, type StreamState } from '../store/reports/status.ts';
import { type CommandProcess, runOnDatabase } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { viewStatus } from './status-view.ts';
import { type Screen, screenOf } from './terminal.ts';
import { watch } from './watch.ts';

const WATCH_MS = 2_000;

export async function status(
  options: { readonly json?: boolean; readonly watch?: boolean; readonly all?: boolean; readonly exitCode?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json: options.json, proc }, async (database, context) => {
    const { signal, print, printJson } = context;
    const config = await loadWithStored(context.stored, database, context.config.secretKey);
    const streams = config.connections.flatMap((connection) =>
      connection.streams.map((name) => ({
        connectionId: connection.id,
        stream: `${connection.source}.${name}`,
        schedule: scheduleOf(config.sync, connection, name),
      })),
    );
    const nextRuns = createNextRuns(() => streams);
    const exitCode = (streams: readonly { readonly state: StreamState }[]): ExitCode =>
      options.exitCode && (streams.length === 0 || streams.some(({ state }) => state !== 'fresh'))
        ? EXIT.failed
        : EXIT.done;
    if (options.json) {
      const lines = await readForScripts(database, nextRuns);
      printJson({ streams: lines });
      return exitCode(lines);
    }
    const reader = new StatusReader({ prisma: database.prisma, nextRuns, names: () => config.connections });
    const look = () =>
      reader.read().catch((error: unknown) => {
        throw databaseError(error, database.address);
      });
    const view = (document: StatusDocument) => (screen: Screen) =>
      viewStatus(document, screen, { nowMs: Date.now(), isWhole: options.all });
    if (options.watch)
      return watch(async () => view(await look()), { output: proc.stdout, intervalMs: WATCH_MS, signal });
    const document = await look();
    for (const line of view(document)(screenOf(proc.stdout))) print(line);
    return exitCode(document.streams);
  });
}

/** The document of `--json`; its names are a contract. */
async function readForScripts({ prisma }: MirrorDatabase, nextRuns: NonNullable<OpsParts['nextRuns']>) {
  const streams = await readStatus(prisma);
  const names = [...new Set(streams.map(({ stream }) => stream))];
  const counts = new Map(await Promise.all(names.map(async (name) => [name, await countRows(prisma, name)] as const)));
  const now = Date.now();
  const polls = await readPolls(prisma);
  const nextTry = nextTries(nextRuns, { pauses: await readPauses(prisma), polls });
  return streams.map((line) => {
    const rows = counts.get(line.stream)?.get(line.connection_id);
    const ticks = nextTry({ connectionId: line.connection_id, stream: line.stream }, now).map(({ at }) => at.getTime());
    return {
      ...line,
      rows: rows?.alive ?? 0,
      deleted_rows: rows?.deleted ?? 0,
      // By the schedule, null without one; a daemon has to be running for it to happen.
      next_run: ticks.length === 0 ? null : new Date(Math.min(...ticks)),
      // Between two incremental passes where that follows what changes; null: a cron decides, or none ran yet.
      interval_seconds: polls.get(`${line.connection_id}/${line.stream}`)?.intervalSeconds ?? null,
    };
  });
}
