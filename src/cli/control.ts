import { createQueues, enqueueRun, QueueUnavailableError } from '../../workers/queues.ts';
import { type MirrorDatabase, openMirrorDatabase } from '../app.ts';
import { DatabaseError } from '../errors.ts';
import { listStreams, type StreamKey } from '../store/engine/streams.ts';
import type { QueuedPass } from '../stream.ts';
import { type CommandContext, runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson } from './format.ts';
import { selectKnown } from './selection.ts';

export interface ControlOptions {
  readonly connection?: string;
  readonly json?: boolean;
}

export interface ControlContext extends CommandContext {
  readonly database: MirrorDatabase;
  readonly selected: readonly StreamKey[];
  /** How a stream is named on the command line, so that just this one is meant. */
  readonly wordFor: (key: StreamKey) => string;
}

/** What a command did to one stream, for people and for scripts. */
export interface Controlled {
  readonly key: StreamKey;
  /** Behind the stream's name; further lines are indented. */
  readonly lines: readonly string[];
  readonly json: Readonly<Record<string, unknown>>;
}

/** The frame of pause, resume, cancel and resync: they work in the database, which knows the streams; no account has to be configured here. */
export async function controlStreams(
  word: string,
  options: ControlOptions,
  work: (context: ControlContext) => Promise<readonly Controlled[]>,
): Promise<void> {
  await runCommand({ requireConnections: false, json: options.json }, async (context) => {
    const { config, logger, signal } = context;
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const known = await listStreams(database.prisma);
      const selected = selectKnown(known, word, options.connection);
      const wordFor = ({ connectionId, stream }: StreamKey) =>
        known.filter((key) => key.stream === stream).length > 1 ? `${stream} --connection ${connectionId}` : stream;
      const done = await work({ ...context, database, selected, wordFor });
      if (options.json) printJson({ streams: done.map(toJson) });
      else for (const line of done.flatMap(toText)) print(line);
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}

function toText({ key, lines }: Controlled): string[] {
  const [first = '', ...others] = lines;
  return [`${key.connectionId} ${key.stream}: ${first}`, ...others.map((line) => `  ${line}`)];
}

const toJson = ({ key, json }: Controlled) => ({ connection: key.connectionId, stream: key.stream, ...json });

export interface WantedRun extends StreamKey {
  readonly pass: QueuedPass;
}

const REACH_MS = 2_000;

/** Puts runs into the queue, for a running daemon. False when the queue cannot be reached: then its next round or tick has to do. */
export async function askDaemon(
  { config, database, logger }: Pick<ControlContext, 'config' | 'database' | 'logger'>,
  wanted: readonly WantedRun[],
): Promise<boolean> {
  if (wanted.length === 0) return true;
  try {
    const queues = await createQueues({ config, databaseUrl: database.url, logger, reachMs: REACH_MS });
    try {
      for (const { connectionId, stream, pass } of wanted) {
        await enqueueRun(queues, { connection: connectionId, stream, pass, trigger: 'manual' });
      }
    } finally {
      await queues.close();
    }
    return true;
  } catch (error) {
    if (error instanceof QueueUnavailableError || error instanceof DatabaseError) return false;
    throw error;
  }
}
