import { createQueues, enqueueRun } from '../../workers/queues.ts';
import { createApp } from '../app.ts';
import { isPaused, whyItWaits } from '../store/engine/control.ts';
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
      let isAnyPaused = false;
      try {
        for (const { connection, stream } of selected) {
          if (await isPaused(app.database.prisma, { connectionId: connection.id, stream: stream.name })) {
            isAnyPaused = true;
            print(`${connection.id} ${stream.name} ${options.pass}: not asked for, the stream is paused`);
            print(`  Take it up again with: leadmirror resume ${stream.name} --connection ${connection.id}`);
            continue;
          }
          await enqueueRun(queues, {
            connection: connection.id,
            stream: stream.name,
            pass: options.pass,
            trigger: 'manual',
          });
          print(`${connection.id} ${stream.name} ${options.pass}: asked for`);
          const wait = await whyItWaits(app.database.prisma, { connectionId: connection.id, stream: stream.name });
          if (wait !== '') print(`  ${wait}`);
        }
      } finally {
        await queues.close();
      }
      return isAnyPaused ? EXIT.failed : EXIT.done;
    } finally {
      await app.close();
    }
  });
}
