import { type MirrorDatabase, openMirrorDatabase } from '../app.ts';
import { type Config, type StreamSchedule, scheduleOf } from '../config.ts';
import type { NextRun } from '../ops/parts.ts';
import { afterPauses, StatusReader } from '../ops/read-status.ts';
import type { StreamKey } from '../store/engine/streams.ts';
import { databaseError } from '../store/faults.ts';
import { readPauses } from '../store/reports/budget-status.ts';
import { countRows, readStatus } from '../store/reports/status.ts';
import { nextTick } from '../sync/schedule.ts';
import { runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson } from './format.ts';
import { viewStatus } from './status-view.ts';
import { type Screen, screenOf } from './terminal.ts';
import { watch } from './watch.ts';

export interface StatusOptions {
  readonly json?: boolean;
  readonly watch?: boolean;
}

const WATCH_MS = 2_000;

export async function status(options: StatusOptions): Promise<void> {
  await runCommand({ requireConnections: false, json: options.json }, async ({ config, logger, signal }) => {
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const nextRuns = createNextRuns(config);
      if (options.json) {
        printJson({ streams: await readForScripts(database, nextRuns) });
        return EXIT.done;
      }
      const reader = new StatusReader({ prisma: database.prisma, nextRuns });
      const look = async () => {
        const document = await reader.read().catch((error: unknown) => {
          throw databaseError(error, database.place);
        });
        return (screen: Screen) => viewStatus(document, screen, Date.now());
      };
      if (options.watch) return await watch(look, { output: process.stdout, intervalMs: WATCH_MS, signal });
      const view = await look();
      for (const line of view(screenOf(process.stdout))) print(line);
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}

type NextRuns = (key: StreamKey, nowMs: number) => readonly NextRun[];

/** The document of `--json`; its names are a contract. */
async function readForScripts({ prisma }: MirrorDatabase, nextRuns: NextRuns) {
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

/** When a stream is read next, by its own schedule; nothing where it is not configured here. Thousands of streams share a few, so each tick is worked out once. */
function createNextRuns(config: Config): NextRuns {
  const connections = new Map(config.connections.map((connection) => [connection.id, connection]));
  const ticks = new Map<string, number>();
  const tickOf = (cron: string, timezone: string, nowMs: number): number => {
    const key = `${cron} ${timezone}`;
    const known = ticks.get(key);
    if (known !== undefined && known > nowMs) return known;
    const next = nextTick({ cron, timezone }, nowMs);
    ticks.set(key, next);
    return next;
  };
  const scheduleIn = ({ connectionId, stream }: StreamKey): StreamSchedule | undefined => {
    const connection = connections.get(connectionId);
    return connection && scheduleOf(config.sync, connection, stream.slice(connection.source.length + 1));
  };
  return (key, nowMs) => {
    const schedule = scheduleIn(key);
    if (schedule === undefined) return [];
    return (['incremental', 'reconcile'] as const).flatMap((pass) => {
      const cron = schedule[pass];
      return cron === null ? [] : [{ pass, at: new Date(tickOf(cron, schedule.timezone, nowMs)) }];
    });
  };
}
