import { createApp } from '../app.ts';
import { type ReprojectReport, reproject as reprojectStream } from '../sync/reproject.ts';
import { runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { formatCount, print, printJson } from './format.ts';
import { createProgress } from './progress.ts';
import { selectStreams } from './selection.ts';

export interface ReprojectOptions {
  readonly connection?: string;
  readonly json?: boolean;
}

/** Typed columns derived again from what is stored; stopped and started again, it goes through the table anew and finds the rest. */
export async function reproject(word: string, options: ReprojectOptions): Promise<void> {
  await runCommand({ json: options.json }, async ({ config, logger, signal }) => {
    const app = await createApp(config, { logger, signal });
    const progress = createProgress({ isQuiet: options.json === true });
    try {
      const parts = { prisma: app.database.prisma, clock: app.clock, logger };
      const reports: ReprojectReport[] = [];
      for (const { connection, stream } of selectStreams(app.connections, [word], options.connection)) {
        const label = `${connection.id} ${stream.name} reproject`;
        const track = progress.track(label);
        reports.push(await reprojectStream(parts, { connection, stream, signal, onProgress: track.show }));
        track.end();
      }
      progress.stop();
      if (options.json) printJson({ streams: reports });
      else for (const report of reports) print(summaryLine(report));
      return EXIT.done;
    } finally {
      progress.stop();
      await app.close();
    }
  });
}

function summaryLine({ connection, stream, read, rewritten, failed }: ReprojectReport): string {
  const counts = [
    `${formatCount(read)} read`,
    `${formatCount(rewritten)} rewritten`,
    ...(failed > 0 ? [`${formatCount(failed)} could not be derived again and stay as they are`] : []),
  ];
  return `${connection} ${stream}: ${counts.join(', ')}`;
}
