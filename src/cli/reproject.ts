import { type ReprojectReport, reproject as reprojectStream } from '../sync/reproject.ts';
import { type CommandProcess, runOnApp, type StreamOptions } from './command.ts';
import { formatCount } from './format.ts';
import { createProgress } from './progress.ts';
import { selectStreams } from './selection.ts';

/** Derives typed columns again from what is stored; after a stop it reads the table anew and finds the rest. */
export async function reproject(
  name: string,
  { connection: id, json }: StreamOptions,
  proc: CommandProcess,
): Promise<void> {
  await runOnApp({ json, proc }, async (app, { signal, logger, printResult }) => {
    const progress = await createProgress({ isQuiet: json === true }, proc.stderr);
    try {
      const parts = { prisma: app.database.prisma, clock: app.clock, logger };
      const reports: ReprojectReport[] = [];
      for (const { connection, stream } of selectStreams(app.connections, [name], id)) {
        const track = progress.track(`${connection.id} ${stream.name} reproject`);
        reports.push(await reprojectStream(parts, { connection, stream, signal, onProgress: track.show }));
        track.end();
      }
      progress.stop();
      printResult({ streams: reports }, () => reports.map(summaryLine));
    } finally {
      progress.stop();
    }
  });
}

function summaryLine({ connection, stream, read, rewritten, failed }: ReprojectReport): string {
  const left = failed > 0 ? `, ${formatCount(failed)} could not be derived again and stay as they are` : '';
  return `${connection} ${stream}: ${formatCount(read)} read, ${formatCount(rewritten)} rewritten${left}`;
}
