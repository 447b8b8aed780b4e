import { openMirrorDatabase } from '../app.ts';
import { listRuns } from '../store/runs.ts';
import { runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { formatAge, formatCount, formatSeconds, formatTable, print, printJson } from './format.ts';

export async function runs(options: { readonly limit: number; readonly json?: boolean }): Promise<void> {
  await runCommand({ requireConnections: false, json: options.json }, async ({ config, logger, signal }) => {
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const list = await listRuns(database.prisma, options.limit);
      if (options.json) {
        printJson({ runs: list });
        return EXIT.done;
      }
      if (list.length === 0) print('No run yet. Start one with: leadmirror sync');
      const now = Date.now();
      const rows = list.map((run) => [
        String(run.id),
        run.connection_id,
        run.stream,
        run.pass,
        run.outcome ?? 'running',
        formatCount(run.created),
        formatCount(run.updated),
        formatCount(run.requests),
        formatCount(run.idle_runs),
        formatAge(run.started_at, now),
        run.ended_at === null ? '' : formatSeconds(run.ended_at.getTime() - run.started_at.getTime()),
        run.error_code ?? '',
      ]);
      const head = ['run', 'connection', 'stream', 'pass', 'outcome', 'created', 'updated', 'requests', 'idle after'];
      if (rows.length > 0) print(formatTable([...head, 'started', 'took', 'error'], rows));
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}
