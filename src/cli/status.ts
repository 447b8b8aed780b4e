import { openMirrorDatabase } from '../app.ts';
import { countRows, readStatus, type StreamStatus } from '../store/status.ts';
import { nextTick } from '../sync/schedule.ts';
import { runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { formatAge, formatCount, formatTable, print, printJson } from './format.ts';

export async function status(options: { readonly json?: boolean }): Promise<void> {
  await runCommand({ requireConnections: false, json: options.json }, async ({ config, logger, signal }) => {
    const database = await openMirrorDatabase(config, { logger, signal });
    try {
      const streams = await readStatus(database.prisma);
      const names = [...new Set(streams.map(({ stream }) => stream))];
      const counts = new Map(
        await Promise.all(names.map(async (name) => [name, await countRows(database.prisma, name)] as const)),
      );
      const now = Date.now();
      const { incrementalCron: cron, timezone } = config.sync;
      const nextRun = new Date(nextTick({ cron, timezone }, now));
      const lines = streams.map((line) => ({
        ...line,
        rows: counts.get(line.stream)?.get(line.connection_id)?.alive ?? 0,
        deleted_rows: counts.get(line.stream)?.get(line.connection_id)?.deleted ?? 0,
        // By the schedule; a daemon has to be running for it to happen.
        next_run: nextRun,
      }));
      if (options.json) {
        printJson({ streams: lines });
        return EXIT.done;
      }
      if (lines.length === 0) print('Nothing is mirrored yet. Start with: leadmirror sync');
      const rows = lines.map((line) => [
        line.connection_id,
        line.stream,
        line.running_pass === null ? line.state : `${line.state}, ${line.running_pass} running`,
        formatAge(line.as_of, now),
        formatCount(line.rows),
        formatAge(line.last_success_at, now),
        formatProof(line, now),
        line.notice === null ? line.reason : `${line.reason}; ${line.notice}`,
      ]);
      if (rows.length > 0) {
        print(formatTable(['connection', 'stream', 'state', 'as of', 'rows', 'last success', 'proved', 'why'], rows));
        print(`\nNext scheduled run ${nextRun.toISOString()}, while the daemon (leadmirror start) is running.`);
      }
      return EXIT.done;
    } finally {
      await database.close();
    }
  });
}

/** `2 h ago: 25,000 rows, 100 %`; the share is of what was compared by content too, and is never rounded up to all of it. */
export function formatProof(line: Proof, nowMs: number): string {
  if (line.proof_at === null) return 'never';
  const share = Math.floor((line.proof_share ?? 0) * 100 + 1e-9);
  const differences = line.proof_differences ?? 0;
  const parts = [`${formatCount(line.proof_rows ?? 0)} rows`, share === 100 ? '100 %' : `${share} % by content`];
  if (differences > 0) parts.push(`${formatCount(differences)} differ`);
  return `${formatAge(line.proof_at, nowMs)}: ${parts.join(', ')}`;
}

type Proof = Pick<StreamStatus, 'proof_at' | 'proof_rows' | 'proof_share' | 'proof_differences'>;
