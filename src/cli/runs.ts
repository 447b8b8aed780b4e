import type { RunRecord } from '../store/engine/runs.ts';
import { findRuns } from '../store/reports/run-history.ts';
import { layOut, type TextColumn } from './columns.ts';
import { type CommandProcess, runOnDatabase } from './command.ts';
import { formatAge, formatCount, formatSeconds } from './format.ts';
import { type Paint, type Screen, screenOf, wrap } from './terminal.ts';

export async function runs(
  { limit, json }: { readonly limit: number; readonly json?: boolean },
  proc: CommandProcess,
): Promise<void> {
  await runOnDatabase({ json, proc }, async ({ prisma }, { printResult }) => {
    const list = await findRuns(prisma, { limit });
    printResult({ runs: list }, () => viewRuns(list, screenOf(proc.stdout), Date.now()));
  });
}

const COLORS: Readonly<Record<NonNullable<RunRecord['outcome']> | 'running', Parameters<Paint>[0]>> = {
  running: 'cyan',
  succeeded: 'green',
  partial: 'yellow',
  postponed: 'yellow',
  failed: ['red', 'bold'],
  cancelled: 'gray',
};

function columnsOf(list: readonly RunRecord[], { paint, width }: Screen, nowMs: number): TextColumn<RunRecord>[] {
  const isNarrow = Number.isFinite(width);
  const connections = new Set(list.map(({ connection_id }) => connection_id));
  // In a pipe the columns are the same whatever was mirrored.
  const named = { head: 'connection', cell: ({ connection_id }: RunRecord) => connection_id, atLeast: 8 };
  return [
    { head: 'run', cell: ({ id }) => String(id), ...(isNarrow && { align: 'right' as const }) },
    ...(!isNarrow || connections.size > 1 ? [named] : []),
    { head: 'stream', cell: ({ stream }) => stream, atLeast: 12 },
    { head: 'pass', cell: ({ pass }) => pass, yields: 1 },
    { head: 'outcome', cell: ({ outcome }) => paint(COLORS[outcome ?? 'running'], outcome ?? 'running') },
    { head: 'created', cell: ({ created }) => formatCount(created), yields: 3 },
    { head: 'updated', cell: ({ updated }) => formatCount(updated), yields: 3 },
    { head: 'requests', cell: ({ requests }) => formatCount(requests), yields: 5 },
    { head: 'idle after', cell: ({ idle_runs }) => formatCount(idle_runs), yields: 6 },
    { head: 'started', cell: ({ started_at }) => formatAge(started_at, nowMs), yields: 2 },
    {
      head: 'took',
      cell: ({ started_at, ended_at }) =>
        ended_at === null ? '' : formatSeconds(ended_at.getTime() - started_at.getTime()),
      yields: 4,
    },
    ...(isNarrow ? [] : [{ head: 'error', cell: ({ error_code }: RunRecord) => error_code ?? '' }]),
  ];
}

/** Returns the runs, newest first; on a screen the reasons are below the table, each once. */
export function viewRuns(list: readonly RunRecord[], screen: Screen, nowMs: number): string[] {
  if (list.length === 0) return ['No run yet. Start one with: leadmirror sync'];
  const [head = '', ...rows] = layOut(columnsOf(list, screen, nowMs), list, screen.width);
  if (!Number.isFinite(screen.width)) return [head, ...rows];
  const reasons = new Map<string, bigint[]>();
  for (const { id, error_code, error_message } of list) {
    if (error_code === null) continue;
    const reason = error_message === null ? error_code : `${error_code}: ${error_message}`;
    reasons.set(reason, [...(reasons.get(reason) ?? []), id]);
  }
  const lines = [...reasons].flatMap(([reason, ids]) => [
    '',
    ...wrap(`${ids.length === 1 ? 'run' : 'runs'} ${ids.join(', ')}`, screen.width),
    ...wrap(reason, screen.width, '  '),
  ]);
  return [screen.paint('dim', head), ...rows, ...lines];
}
