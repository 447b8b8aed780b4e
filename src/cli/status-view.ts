import { groupBy } from '../group-by.ts';
import type { StatusDocument, StreamFacts } from '../ops/status-document.ts';
import { STATES_BY_URGENCY, urgencyOf } from '../ops/status-document.ts';
import { oldestAsOf } from '../ops/view/fleet.ts';
import { percent } from '../ops/view/format.ts';
import { titleOf } from '../store/engine/account-names.ts';
import { describeProcesses } from '../store/engine/processes.ts';
import type { StreamState } from '../store/reports/status.ts';
import { layOut, type TextColumn } from './columns.ts';
import { counted, formatAge, formatCount, formatInterval, formatUntil } from './format.ts';
import { progressLine } from './progress.ts';
import { type Paint, type Screen, wrap } from './terminal.ts';

export type StatusShown = Pick<StatusDocument, 'streams' | 'connections' | 'processes' | 'summary'>;

const COLORS: Readonly<Record<StreamState, Parameters<Paint>[0]>> = {
  blocked: ['red', 'bold'],
  partial: 'yellow',
  stale: 'yellow',
  never: 'gray',
  syncing: 'cyan',
  paused: 'magenta',
  fresh: 'green',
};

const IN_ORDER: readonly StreamState[] = ['fresh', 'syncing'];

/** Returns the status as lines: what requires action first; why, and what to do, below the table. */
export function viewStatus(
  status: StatusShown,
  screen: Screen,
  { nowMs, isWhole = false }: { readonly nowMs: number; readonly isWhole?: boolean | undefined },
): string[] {
  if (status.streams.length === 0) return ['Nothing is mirrored yet. Start with: leadmirror sync'];
  const streams = byUrgency(status);
  // In a pipe each stream is one line with all that is known, for grep; on a screen it has to fit.
  const tables = Number.isFinite(screen.width)
    ? (isWhole || status.connections.length <= MOST_ACCOUNTS ? viewStreams : viewAccounts)(
        status,
        streams,
        screen,
        nowMs,
      )
    : layOut(wideColumns(screen.paint, nowMs), streams, screen.width);
  return [
    ...tables,
    ...viewRunning(streams, screen),
    ...viewProblems(streams, screen, nowMs),
    ...viewNotices(streams, screen),
    '',
    ...viewSchedule(status, screen, nowMs),
  ];
}

function byUrgency({ streams, connections }: StatusShown): StreamFacts[] {
  const order = new Map(connections.map(({ id }, index) => [id, index]));
  return [...streams].sort(
    (one, other) =>
      (order.get(one.connection_id) ?? 0) - (order.get(other.connection_id) ?? 0) ||
      urgencyOf(one.state) - urgencyOf(other.state) ||
      one.stream.localeCompare(other.stream),
  );
}

const paintState = (paint: Paint, state: StreamState): string => paint(COLORS[state], state);

function narrowColumns(paint: Paint, nowMs: number): TextColumn<StreamFacts>[] {
  return [
    { head: '  stream', cell: ({ stream }) => `  ${stream}`, atLeast: 14 },
    { head: 'state', cell: ({ state }) => paintState(paint, state) },
    { head: 'rows', cell: ({ rows }) => formatCount(rows), align: 'right', yields: 1 },
    { head: 'as of', cell: ({ as_of }) => formatAge(as_of, nowMs) },
    {
      head: 'next run',
      cell: (line) => [nextRunOf(line, nowMs), formatInterval(line.interval_seconds)].filter(Boolean).join(', '),
      yields: 2,
    },
    { head: 'verified', cell: (line) => briefVerification(line, nowMs), yields: 3 },
    { head: 'evidence', cell: (line) => formatEvidence(line, nowMs), yields: 4 },
  ];
}

function wideColumns(paint: Paint, nowMs: number): TextColumn<StreamFacts>[] {
  return [
    { head: 'connection', cell: ({ connection_id }) => connection_id },
    { head: 'stream', cell: ({ stream }) => stream },
    {
      head: 'state',
      cell: ({ state, running_pass }) =>
        running_pass === null ? paintState(paint, state) : `${paintState(paint, state)}, ${running_pass} running`,
    },
    { head: 'as of', cell: ({ as_of }) => formatAge(as_of, nowMs) },
    { head: 'rows', cell: ({ rows }) => formatCount(rows) },
    { head: 'last success', cell: ({ last_success_at }) => formatAge(last_success_at, nowMs) },
    { head: 'verified', cell: (line) => formatVerification(line, nowMs) },
    { head: 'evidence', cell: (line) => formatEvidence(line, nowMs) },
    { head: 'interval', cell: ({ interval_seconds }) => formatInterval(interval_seconds) },
    { head: 'why', cell: ({ reason, notice }) => (notice === null ? reason : `${reason}; ${notice}`) },
  ];
}

function nextRunOf({ next_runs }: Pick<StreamFacts, 'next_runs'>, nowMs: number): string {
  const at = earliest(next_runs.map((run) => run.at));
  return at === null ? '' : formatUntil(at, nowMs);
}

export const earliest = (dates: readonly Date[]): Date | null =>
  dates.reduce<Date | null>((first, date) => (first === null || date < first ? date : first), null);

/** With more accounts than that, each is one line. */
const MOST_ACCOUNTS = 3;

interface Account {
  readonly id: string;
  /** By urgency, the worst first. */
  readonly streams: readonly StreamFacts[];
}

function accountColumns(paint: Paint, nowMs: number): TextColumn<Account>[] {
  return [
    { head: 'account', cell: ({ id }) => id, atLeast: 14 },
    { head: 'state', cell: ({ streams }) => describeStates(streams, paint) },
    {
      head: 'rows',
      cell: ({ streams }) => formatCount(streams.reduce((sum, { rows }) => sum + rows, 0)),
      align: 'right',
      yields: 1,
    },
    { head: 'as of', cell: ({ streams }) => formatAge(oldestAsOf(streams), nowMs) },
    {
      head: 'next run',
      cell: ({ streams }) => nextRunOf({ next_runs: streams.flatMap((line) => line.next_runs) }, nowMs),
      yields: 2,
    },
  ];
}

/** `fresh`, or of how many streams the worst state is: `blocked (2 of 4)`. */
function describeStates(streams: readonly StreamFacts[], paint: Paint): string {
  const worst = streams[0]?.state ?? 'never';
  const count = streams.filter(({ state }) => state === worst).length;
  return `${paintState(paint, worst)}${count === streams.length ? '' : ` (${count} of ${streams.length})`}`;
}

function viewAccounts(
  { connections, summary }: StatusShown,
  streams: readonly StreamFacts[],
  { width, paint }: Screen,
  nowMs: number,
): string[] {
  const streamsOf = groupBy(streams, ({ connection_id }) => connection_id);
  const accounts = connections.map((one) => ({ id: titleOf(one.id, one.label), streams: streamsOf.get(one.id) ?? [] }));
  const [head = '', ...rows] = layOut(accountColumns(paint, nowMs), accounts, width);
  const more = 'Each stream on a line of its own: leadmirror status --all';
  return [...viewCounts(connections.length, summary, { width, paint }), '', paint('dim', head), ...rows, '', more];
}

/** One table for each account, with the same column widths in all. */
function viewStreams(
  { connections, summary }: StatusShown,
  streams: readonly StreamFacts[],
  { width, paint }: Screen,
  nowMs: number,
): string[] {
  const [head = '', ...rows] = layOut(narrowColumns(paint, nowMs), streams, width);
  const rowsOf = groupBy([...streams.entries()], ([, { connection_id }]) => connection_id);
  const lines = connections.length > 1 ? [...viewCounts(connections.length, summary, { width, paint }), ''] : [];
  lines.push(paint('dim', head));
  for (const one of connections) {
    lines.push(
      paint('bold', titleOf(one.id, one.label)),
      ...(rowsOf.get(one.id) ?? []).map(([index]) => rows[index] ?? ''),
    );
  }
  return lines;
}

/** `300 connections: 4 blocked, 1,196 fresh`; where colours would have to be wrapped, without. */
function viewCounts(
  connections: number,
  { by_state }: StatusShown['summary'],
  { width, paint }: Pick<Screen, 'width' | 'paint'>,
): string[] {
  const states = STATES_BY_URGENCY.filter((state) => by_state[state] > 0);
  const describe = (style: (state: StreamState, text: string) => string) => {
    const counts = states.map((state) => style(state, `${formatCount(by_state[state])} ${state}`));
    return `${counted(connections, 'connection')}: ${counts.join(', ')}`;
  };
  const plain = describe((_, text) => text);
  return plain.length > width ? wrap(plain, width) : [describe((state, text) => paint(COLORS[state], text))];
}

function viewRunning(streams: readonly StreamFacts[], { width, paint }: Screen): string[] {
  const lines = streams.flatMap((line) => {
    const { running } = line;
    return running === null ? [] : [`  ${progressLine(`${nameIn(streams, line)} ${running.pass}`, running, width)}`];
  });
  return lines.length === 0 ? [] : ['', paint('bold', 'Running now'), ...lines];
}

/** With one account its name would only be noise. */
const nameIn = (
  all: readonly StreamFacts[],
  { connection_id, stream }: Pick<StreamFacts, 'connection_id' | 'stream'>,
): string => (all.every((one) => one.connection_id === connection_id) ? stream : `${connection_id} ${stream}`);

/** What is wrong once, with all the streams that it is wrong with: an account that cannot sign in is one trouble. */
function viewProblems(streams: readonly StreamFacts[], { width, paint }: Screen, nowMs: number): string[] {
  const troubled = streams.filter(({ state }) => !IN_ORDER.includes(state));
  const troubles = groupBy(troubled, ({ connection_id, state, reason, next_step }) =>
    JSON.stringify([connection_id, state, reason, next_step.text]),
  );
  return [...troubles.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { connection_id, state, reason, since, next_step } = first;
    const commands = new Set(group.map((line) => line.next_step.command).filter((command) => command !== null));
    const age = since === null ? '' : `, since ${formatAge(since, nowMs)}`;
    const names = wrap(`${connection_id}: ${group.map(({ stream }) => stream).join(', ')}${age}`, width - 10);
    return [
      '',
      ...names.map((line, index) => (index === 0 ? `${paintState(paint, state)}  ${line}` : `  ${line}`)),
      ...wrap(reason, width, '  '),
      ...wrap(`Next: ${next_step.text}`, width, '  '),
      ...[...commands].map((command) => `    ${paint('cyan', command)}`),
    ];
  });
}

function viewNotices(streams: readonly StreamFacts[], { width }: Screen): string[] {
  const noted = streams.filter(({ notice }) => notice !== null);
  const groups = groupBy(noted, ({ connection_id, notice }) => JSON.stringify([connection_id, notice]));
  const lines = [...groups.values()].flatMap((group) => {
    const names = group.map((line, index) => (index === 0 ? nameIn(streams, line) : line.stream));
    return wrap(`Note on ${names.join(', ')}: ${group[0]?.notice}`, width);
  });
  return lines.length === 0 ? [] : ['', ...lines];
}

function viewSchedule({ streams, processes }: StatusShown, { width }: Screen, nowMs: number): string[] {
  const at = earliest(streams.flatMap(({ next_runs }) => next_runs.map((run) => run.at)));
  const next =
    at === null ? 'Nothing is scheduled.' : `Next scheduled run ${formatUntil(at, nowMs)} (${at.toISOString()}).`;
  const isRunning = processes.some(({ is_alive }) => is_alive);
  const daemon = describeProcesses(processes);
  return [
    ...wrap(isRunning ? next : 'No daemon is running; leadmirror start or leadmirror sync reads what is new.', width),
    ...(daemon === null ? [] : wrap(`Daemon: ${daemon}`, width)),
  ];
}

/** `count, 10 min ago`: what showed last that the mirror is complete. */
function formatEvidence({ proof_kind, proof_at, unlisted_rows }: StreamFacts, nowMs: number): string {
  if (proof_kind === null) return 'none';
  const unlisted = unlisted_rows === null ? '' : `, ${formatCount(unlisted_rows)} counted and not listed`;
  return `${proof_kind}, ${formatAge(proof_at, nowMs)}${unlisted}`;
}

type Verification = Pick<StreamFacts, 'verified_at' | 'verified_rows' | 'verified_share' | 'verification_differences'>;

/** `2 h ago: 25,000 rows, 100 %`: the share that was compared by content, never rounded up to all. */
export function formatVerification(line: Verification, nowMs: number): string {
  if (line.verified_at === null) return 'never';
  const share = percent(line.verified_share ?? 0);
  const differences = line.verification_differences ?? 0;
  const parts = [counted(line.verified_rows ?? 0, 'row'), share === '100 %' ? share : `${share} by content`];
  if (differences > 0) parts.push(`${formatCount(differences)} differ`);
  return `${formatAge(line.verified_at, nowMs)}: ${parts.join(', ')}`;
}

/** `2 h ago, 100 %`. */
function briefVerification(line: Verification, nowMs: number): string {
  if (line.verified_at === null) return 'never';
  const differences = line.verification_differences ?? 0;
  return `${formatAge(line.verified_at, nowMs)}, ${differences > 0 ? `${formatCount(differences)} differ` : percent(line.verified_share ?? 0)}`;
}
