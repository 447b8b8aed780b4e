import { createQueues, enqueueRun, type Queues, QueueUnavailableError } from '../../workers/queues.ts';
import { DatabaseError } from '../errors.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { listStreams, type StreamKey } from '../store/engine/streams.ts';
import type { QueuedPass } from '../stream.ts';
import { type CommandProcess, runOnDatabase, type StreamOptions, UsageError } from './command.ts';
import { selectKnown } from './selection.ts';

export interface StreamControl {
  readonly key: StreamKey;
  readonly prisma: PrismaClient;
  /** How the stream is named on the command line, so that just this one is meant. */
  readonly name: string;
  /** Puts runs into the queue. False when it cannot be reached: then the next round or tick of a daemon has to do. */
  ask(passes: readonly QueuedPass[]): Promise<boolean>;
}

export interface Controlled {
  /** Behind the stream's name; further lines are indented. */
  readonly lines: readonly string[];
  readonly json: Readonly<Record<string, unknown>>;
}

const REACH_MS = 2_000;

type ControlCommand<Options> = (streams: string, options: Options, proc: CommandProcess) => Promise<void>;

/** The frame of the commands on streams that the database knows: no account has to be configured here. */
export const controlCommand =
  <Options extends StreamOptions>(
    work: (stream: StreamControl, options: Options) => Promise<Controlled>,
  ): ControlCommand<Options> =>
  (name, options, proc) =>
    runOnDatabase({ json: options.json, proc }, async ({ prisma, url }, { config, logger, printResult }) => {
      const { connection } = options;
      const known = await listStreams(prisma, 'configured');
      if (known.length === 0) {
        throw new UsageError(
          'The database knows no stream yet: leadmirror start and leadmirror sync note those configured.',
        );
      }
      const selected = selectKnown(known, [name], connection);
      if (selected.length === 0) throw new UsageError(`The connection ${connection} has no stream ${name}.`);
      let queues: Promise<Queues> | null = null;
      const ask = async ({ connectionId, stream }: StreamKey, passes: readonly QueuedPass[]): Promise<boolean> => {
        try {
          for (const pass of passes) {
            queues ??= createQueues({ config, databaseUrl: url, logger, reachMs: REACH_MS });
            await enqueueRun(await queues, { connection: connectionId, stream, pass, trigger: 'manual' });
          }
          return true;
        } catch (error) {
          if (error instanceof QueueUnavailableError || error instanceof DatabaseError) return false;
          throw error;
        }
      };
      try {
        const done: (Controlled & { readonly key: StreamKey })[] = [];
        for (const key of selected) {
          const { connectionId, stream } = key;
          const isOnlyOne = known.filter((other) => other.stream === stream).length === 1;
          const own = isOnlyOne ? stream : `${stream} --connection ${connectionId}`;
          done.push({ key, ...(await work({ key, prisma, name: own, ask: (passes) => ask(key, passes) }, options)) });
        }
        const documents = done.map(({ key, json }) => ({ connection: key.connectionId, stream: key.stream, ...json }));
        printResult({ streams: documents }, () =>
          done.map(({ key, lines }) => `${key.connectionId} ${key.stream}: ${lines.join('\n  ')}`),
        );
      } finally {
        const opened = await (queues as Promise<Queues> | null)?.catch(() => null);
        await opened?.close();
      }
    });
