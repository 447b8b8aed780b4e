import { createQueues, enqueueRun } from '../../workers/queues.ts';
import { isPaused, whyItWaits } from '../store/engine/control.ts';
import { hasWorker } from '../store/engine/processes.ts';
import type { QueuedPass } from '../stream.ts';
import { type CommandProcess, runOnApp, type StreamOptions } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { selectStreams } from './selection.ts';

/** Through the queue: a running daemon does the work. */
export async function trigger(
  name: string,
  { pass, connection: id, json }: StreamOptions & { readonly pass: QueuedPass },
  proc: CommandProcess,
): Promise<void> {
  await runOnApp({ json, proc }, async ({ connections, database }, { config, logger, print, printResult }) => {
    const { prisma, url } = database;
    const selected = selectStreams(connections, [name], id);
    const queues = await createQueues({ config, databaseUrl: url, logger });
    const streams: object[] = [];
    let isEachAsked = true;
    try {
      for (const { key } of selected) {
        const { connectionId: connection, stream } = key;
        const asked = !(await isPaused(prisma, key));
        isEachAsked &&= asked;
        if (asked) await enqueueRun(queues, { connection, stream, pass, trigger: 'manual' });
        const resume = `Take it up again with: leadmirror resume ${stream} --connection ${connection}`;
        const note = asked ? await whyItWaits(prisma, key) : resume;
        print(`${connection} ${stream} ${pass}: ${asked ? 'asked for' : 'not asked for, the stream is paused'}`);
        if (note !== '') print(`  ${note}`);
        streams.push({ connection, stream, pass, asked, note: note || null });
      }
    } finally {
      await queues.close();
    }
    const hasDaemon = await hasWorker(prisma);
    const byHand = `leadmirror sync ${name} --pass ${pass}`;
    printResult({ streams, has_daemon: hasDaemon }, () =>
      isEachAsked && !hasDaemon ? [`No daemon is running: it is done when one starts. To do it now: ${byHand}`] : [],
    );
    return isEachAsked ? EXIT.done : EXIT.failed;
  });
}
