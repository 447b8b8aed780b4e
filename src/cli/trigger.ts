import { createQueues, enqueueRun } from '../../workers/queues.ts';
import { isPaused, whyItWaits } from '../store/engine/control.ts';
import { hasWorker } from '../store/engine/processes.ts';
import type { QueuedPass } from '../stream.ts';
import { type CommandProcess, runOnApp } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { selectStreams } from './selection.ts';

/** Through the queue: a running daemon does the work. */
export async function trigger(
  name: string,
  options: { readonly pass: QueuedPass; readonly connection?: string },
  proc: CommandProcess,
): Promise<void> {
  await runOnApp({ proc }, async ({ connections, database }, { config, logger, print }) => {
    const { pass } = options;
    const selected = selectStreams(connections, [name], options.connection);
    const queues = await createQueues({ config, databaseUrl: database.url, logger });
    let exitCode: ExitCode = EXIT.done;
    try {
      for (const { key } of selected) {
        const { connectionId: connection, stream } = key;
        if (await isPaused(database.prisma, key)) {
          exitCode = EXIT.failed;
          print(`${connection} ${stream} ${pass}: not asked for, the stream is paused`);
          print(`  Take it up again with: leadmirror resume ${stream} --connection ${connection}`);
          continue;
        }
        await enqueueRun(queues, { connection, stream, pass, trigger: 'manual' });
        print(`${connection} ${stream} ${pass}: asked for`);
        const wait = await whyItWaits(database.prisma, key);
        if (wait !== '') print(`  ${wait}`);
      }
    } finally {
      await queues.close();
    }
    if (exitCode === EXIT.done && !(await hasWorker(database.prisma))) {
      print(`No daemon is running: it is done when one starts. To do it now: leadmirror sync ${name} --pass ${pass}`);
    }
    return exitCode;
  });
}
