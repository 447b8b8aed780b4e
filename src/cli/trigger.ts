import { createQueues, enqueueRun } from '../../workers/queues.ts';
import { createApp } from '../app.ts';
import type { QueuedPass } from '../stream.ts';
import { runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print } from './format.ts';
import { selectStreams } from './selection.ts';

export interface TriggerOptions {
  readonly pass: QueuedPass;
  readonly connection?: string;
}

/** Through the queue: a running daemon does the work. */
export async function trigger(word: string, options: TriggerOptions): Promise<void> {
  await runCommand({}, async ({ config, logger, signal }) => {
    const app = await createApp(config, { logger, signal });
    try {
      const selected = selectStreams(app.connections, [word], options.connection);
      const queues = await createQueues({ config, databaseUrl: app.database.url, logger });
      try {
        for (const { connection, stream } of selected) {
          await enqueueRun(queues, {
            connection: connection.id,
            stream: stream.name,
            pass: options.pass,
            trigger: 'manual',
          });
          print(`${connection.id} ${stream.name} ${options.pass}: asked for`);
        }
      } finally {
        await queues.close();
      }
      return EXIT.done;
    } finally {
      await app.close();
    }
  });
}
