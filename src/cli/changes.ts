import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { readChanges } from '../store/mirror/feed.ts';
import { type CommandProcess, runOnDatabase, UsageError } from './command.ts';
import { EXIT } from './exit-codes.ts';

interface ChangesOptions {
  readonly consumer: string;
  readonly limit: number;
  readonly follow?: boolean;
  readonly ack?: string;
}

const POLL_MS = 1_000;

/** Prints what a consumer has not acknowledged; what it only reads comes again. */
export async function changes({ consumer, limit, follow, ack }: ChangesOptions, proc: CommandProcess): Promise<void> {
  if (ack !== undefined && !/^\d{1,18}$/.test(ack))
    throw new UsageError('--ack takes the cursor of a change that was read');
  await runOnDatabase({ proc }, async ({ prisma }, { signal }) => {
    const find = () => prisma.syncConsumer.findUnique({ where: { name: consumer } });
    const isNew = (await find()) === null;
    async function* read(): AsyncGenerator<string> {
      let behind: string | null = null;
      for (let isFirst = true; ; isFirst = false) {
        const lines = await readChanges(prisma, { consumer, limit, behind, ...(isFirst && { ack: ack ?? null }) });
        if (isFirst && isNew) {
          const from = `behind cursor ${(await find())?.seq}`;
          proc.stderr.write(
            `${consumer} is now registered as a consumer: it reads what changes from now on, ${from}.\n`,
          );
        }
        if (lines.length > 0) yield lines.map((line) => `${JSON.stringify(line)}\n`).join('');
        behind = lines.at(-1)?.cursor ?? behind;
        if (!follow) return;
        if (lines.length < limit) await delay(POLL_MS, undefined, { signal });
      }
    }
    try {
      await pipeline(read, proc.stdout, { signal, end: false });
      return EXIT.done;
    } catch (error) {
      // Behind a line that was not written, each further one would hide a gap. `| head` has what it wants.
      if (proc.stdout.writable || signal.aborted) throw error;
      return (error as NodeJS.ErrnoException).code === 'EPIPE' ? EXIT.done : EXIT.failed;
    }
  });
}
