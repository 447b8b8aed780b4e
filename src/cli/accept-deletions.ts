import { createApp } from '../app.ts';
import { acceptDeletions as accept } from '../store/engine/deletions.ts';
import { runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson } from './format.ts';
import { selectStreams } from './selection.ts';

export interface AcceptDeletionsOptions {
  readonly connection?: string;
  readonly json?: boolean;
}

/** A person's decision, once: the next full walk may mark what the brake holds back. Where it does not hold, nothing is changed. */
export async function acceptDeletions(word: string, options: AcceptDeletionsOptions): Promise<void> {
  await runCommand({ json: options.json }, async ({ config, logger, signal }) => {
    const app = await createApp(config, { logger, signal });
    try {
      const lines = [];
      for (const { connection, stream } of selectStreams(app.connections, [word], options.connection)) {
        const held = await accept(app.database.prisma, { connectionId: connection.id, stream: stream.name });
        lines.push({ connection: connection.id, stream: stream.name, held });
      }
      if (options.json) printJson({ streams: lines.map(toJson) });
      else {
        const isOneOfSeveral = app.connections.length > 1;
        for (const line of lines) print(toText(line, isOneOfSeveral ? ` --connection ${line.connection}` : ''));
      }
      return EXIT.done;
    } finally {
      await app.close();
    }
  });
}

interface Line {
  readonly connection: string;
  readonly stream: string;
  /** Null: the brake does not hold. */
  readonly held: Awaited<ReturnType<typeof accept>>;
}

function toText({ connection, stream, held }: Line, where: string): string {
  const name = `${connection} ${stream}`;
  if (held === null)
    return `${name}: the deletion brake does not hold, so there is nothing to accept; nothing was changed`;
  return [
    `${name}: accepted. Held back since ${held.since.toISOString()}:`,
    `  ${held.code}: ${held.message}`,
    `  The next full walk that begins before ${held.validUntil.toISOString()} may mark as deleted whatever the upstream does not have any more;`,
    `  run it now with: leadmirror sync ${stream} --pass reconcile${where}`,
  ].join('\n');
}

function toJson({ connection, stream, held }: Line) {
  if (held === null) return { connection, stream, accepted: false, held: null, valid_until: null };
  const { code, message, since, validUntil } = held;
  return { connection, stream, accepted: true, held: { code, message, since }, valid_until: validUntil };
}
