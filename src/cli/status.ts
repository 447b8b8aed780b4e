import { createNextRuns } from '../../workers/schedules.ts';
import { loadWithStored } from '../app/stored-connections.ts';
import { scheduleOf } from '../config.ts';
import { StatusReader } from '../ops/read-status.ts';
import type { StatusDocument, StreamFacts } from '../ops/status-document.ts';
import { databaseError } from '../store/faults.ts';
import { type CommandProcess, runOnDatabase } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { earliest, viewStatus } from './status-view.ts';
import { type Screen, screenOf } from './terminal.ts';
import { watch } from './watch.ts';

const WATCH_MS = 2_000;

export async function status(
  options: { readonly json?: boolean; readonly watch?: boolean; readonly all?: boolean; readonly exitCode?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json: options.json, proc }, async (database, context) => {
    const { signal, printResult } = context;
    const config = await loadWithStored(context.stored, database, context.config.secretKey);
    const configured = config.connections.flatMap((connection) =>
      connection.streams.map((name) => ({
        connectionId: connection.id,
        stream: `${connection.source}.${name}`,
        schedule: scheduleOf(config.sync, connection, name),
      })),
    );
    const nextRuns = createNextRuns(() => configured);
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
    // The names are a contract. `next_run`: by the schedule; a daemon has to be running for it to happen.
    const nextRun = ({ next_runs }: StreamFacts) => earliest(next_runs.map(({ at }) => at));
    const streams = document.streams.map((line) => ({ ...line, next_run: nextRun(line) }));
    printResult({ streams }, () => view(document)(screenOf(proc.stdout)));
    const isEachFresh = streams.length > 0 && streams.every(({ state }) => state === 'fresh');
    return options.exitCode && !isEachFresh ? EXIT.failed : EXIT.done;
  });
}
