import { hostname } from 'node:os';
import { z } from 'zod';
import { counted } from '../counted.ts';
import { groupBy } from '../group-by.ts';
import { titleOf } from '../store/engine/account-names.ts';
import type { AlertRow } from '../store/engine/alerts.ts';
import { ALERT_KINDS, type AlertKind } from '../store/reports/alert-conditions.ts';

/**
 * One message per round: what has one kind and one reason code is one entry, and long lists are cut. Two hundred
 * accounts that go down at once are one line.
 */
interface Wording {
  readonly one: string;
  readonly many: string;
  /** What to do; `{stream}` and `{connection}` become the first of the entry. */
  readonly next: string;
}

/** Conditions that require action come first. */
const WORDINGS: Readonly<Record<AlertKind, Wording>> = {
  blocked: {
    one: 'stream is blocked: action required',
    many: 'streams are blocked: action required',
    next: 'leadmirror check tries every connection and reports what to change',
  },
  suddenly_empty: {
    one: 'stream is suddenly empty upstream; nothing was deleted',
    many: 'streams are suddenly empty upstream; nothing was deleted',
    next: 'look upstream; if everything was really deleted: leadmirror accept-deletions {stream} --connection {connection}, then leadmirror sync {stream} --connection {connection} --pass reconcile',
  },
  deletion_brake: {
    one: 'stream is blocked by the deletion guard',
    many: 'streams are blocked by the deletion guard',
    next: 'leadmirror verify {stream} --connection {connection} lists them; if they are right: leadmirror accept-deletions {stream} --connection {connection}',
  },
  circuit_open: {
    one: 'account is paused after repeated failures',
    many: 'accounts are paused after repeated failures',
    next: 'nothing, if the upstream is down: it is tried again by itself; else leadmirror check',
  },
  stale: {
    one: 'stream is stale',
    many: 'streams are stale',
    next: 'leadmirror status shows why; leadmirror runs shows the last attempts',
  },
  verify_differences: {
    one: 'stream differs from the upstream',
    many: 'streams differ from the upstream',
    next: 'leadmirror verify {stream} --connection {connection} --repair reads just these again',
  },
  quarantine_growing: {
    one: 'stream quarantines records',
    many: 'streams quarantine records',
    next: 'leadmirror quarantine lists them with the reason',
  },
};

const MAX_ENTRIES = 20;
const MAX_TARGETS = 10;

const entrySchema = z.object({
  kind: z.enum([...ALERT_KINDS, 'database_unreachable', 'queue_unreachable', 'configuration_differs']),
  title: z.string(),
  reason: z.string(),
  /** ISO 8601: the earliest of what it is about. */
  since: z.string().nullable(),
  until: z.string().nullable(),
  connections: z.number(),
  streams: z.number(),
  targets: z.array(z.object({ connection: z.string(), label: z.string().optional(), stream: z.string() })),
  next: z.string().nullable(),
});

/** What is kept in `sync.alert_messages` and posted as JSON, with the message's id. */
export const digestSchema = z.object({
  type: z.enum(['leadmirror.alerts', 'leadmirror.test']),
  created_at: z.string(),
  summary: z.string(),
  opened: z.array(entrySchema),
  closed: z.array(entrySchema),
  more: z.number(),
});

export type Digest = z.infer<typeof digestSchema>;
type DigestEntry = z.infer<typeof entrySchema>;

export function createDigest(
  { opened, closed }: { readonly opened: readonly AlertRow[]; readonly closed: readonly AlertRow[] },
  now: Date,
  /** What is unavailable; it explains stale streams. */
  cause: string | null = null,
  labels: ReadonlyMap<string, string> = new Map(),
): Digest | null {
  if (opened.length + closed.length === 0) return null;
  const begun = group(opened, false, labels).map((entry) =>
    cause === null || entry.kind !== 'stale' ? entry : { ...entry, reason: `${entry.reason}; ${cause}`, next: null },
  );
  const over = group(closed, true, labels);
  return createMessage('leadmirror.alerts', now, {
    summary: summarize(opened, closed),
    opened: begun.slice(0, MAX_ENTRIES),
    closed: over.slice(0, MAX_ENTRIES),
    more: [begun, over].reduce((more, { length }) => more + Math.max(0, length - MAX_ENTRIES), 0),
  });
}

/** What a daemon sees itself, whatever the database knows. */
export type OutageKind = 'database' | 'queue' | 'configuration';

const OUTAGE_NEXT: Readonly<Record<OutageKind, string>> = {
  configuration:
    'give all daemons of this database the same accounts and streams (leadmirror.yaml, .env), or a database of their own',
  database:
    'look whether Postgres runs and takes writes; everything goes on by itself afterwards; leadmirror check shows more',
  queue:
    'look whether the queue (Redis, or the same Postgres) runs; everything goes on by itself afterwards; leadmirror check shows more',
};

export function createOutageDigest(
  { kind, since, reason }: { readonly kind: OutageKind; readonly since: Date; readonly reason: string },
  isOver: boolean,
  now: Date,
): Digest {
  const isConfiguration = kind === 'configuration';
  const title = isConfiguration ? 'the configurations of daemons differ' : `${kind} unreachable from ${hostname()}`;
  const entry: DigestEntry = {
    kind: isConfiguration ? 'configuration_differs' : `${kind}_unreachable`,
    title,
    reason,
    since: since.toISOString(),
    until: isOver ? now.toISOString() : null,
    connections: 0,
    streams: 0,
    targets: [],
    next: isOver ? null : OUTAGE_NEXT[kind],
  };
  const summary = isOver ? `over: ${title}` : title;
  return createMessage('leadmirror.alerts', now, isOver ? { summary, closed: [entry] } : { summary, opened: [entry] });
}

export const createTestDigest = (now: Date): Digest =>
  createMessage('leadmirror.test', now, { summary: 'a test message: alerts of leadmirror arrive here' });

const createMessage = (type: Digest['type'], now: Date, parts: Partial<Digest> & Pick<Digest, 'summary'>): Digest => ({
  type,
  created_at: now.toISOString(),
  opened: [],
  closed: [],
  more: 0,
  ...parts,
});

function group(rows: readonly AlertRow[], isOver: boolean, labels: ReadonlyMap<string, string>): DigestEntry[] {
  const groups = groupBy(rows, ({ kind, reason_code }) => `${kind} ${reason_code}`);
  return [...groups.values()]
    .sort((one, other) => rankOf(one) - rankOf(other) || other.length - one.length)
    .map((members) => toEntry(members, isOver, labels));
}

const ORDER = Object.keys(WORDINGS) as readonly AlertKind[];
const rankOf = ([first]: readonly AlertRow[]): number => (first === undefined ? 0 : ORDER.indexOf(first.kind));

function toEntry(members: readonly AlertRow[], isOver: boolean, labels: ReadonlyMap<string, string>): DigestEntry {
  const [first] = members;
  if (first === undefined) throw new Error('a group without members');
  const { one, many, next } = WORDINGS[first.kind];
  const began = members.map(({ since, opened_at }) => (since ?? opened_at)?.getTime()).filter((at) => at !== undefined);
  const isOneReason = members.every(({ reason }) => reason === first.reason);
  return {
    kind: first.kind,
    title: counted(members.length, one, many),
    reason: isOneReason ? first.reason : `${first.reason} (the first of ${members.length})`,
    since: began.length === 0 ? null : new Date(Math.min(...began)).toISOString(),
    until: isOver ? first.seen_since.toISOString() : null,
    connections: new Set(members.map(({ connection_id }) => connection_id)).size,
    streams: members.filter(({ stream }) => stream !== '').length,
    targets: members
      .slice(0, MAX_TARGETS)
      .map(({ connection_id: connection, stream }) => ({ connection, label: labels.get(connection), stream })),
    next: isOver ? null : next.replaceAll('{stream}', first.stream).replaceAll('{connection}', first.connection_id),
  };
}

function summarize(opened: readonly AlertRow[], closed: readonly AlertRow[]): string {
  const begun = ORDER.flatMap((kind) => {
    const count = opened.filter((row) => row.kind === kind).length;
    const { one, many } = WORDINGS[kind];
    return count === 0 ? [] : counted(count, one, many);
  });
  const over = closed.length === 0 ? [] : `${counted(closed.length, 'alert is', 'alerts are')} over`;
  return [...begun, over].flat().join('; ');
}

export function describeDigest({ opened, closed, more }: Digest): string {
  const parts = [
    ...opened.map((entry) => [entry.title, ...details(entry)].join('\n')),
    ...closed.map((entry) => [`Over: ${entry.title}`, ...details(entry)].join('\n')),
    ...(more > 0 ? [`… and ${more} more; leadmirror status lists all`] : []),
  ];
  return parts.join('\n\n');
}

function details({ reason, since, until, targets, streams, connections, next }: DigestEntry): string[] {
  const names = targets.map(({ connection, label, stream }) => `${titleOf(connection, label)} ${stream}`.trim());
  const all = Math.max(streams, connections);
  const rest = all > names.length ? `, and ${all - names.length} more` : '';
  return [
    ...(names.length === 0
      ? []
      : [`  Which: ${names.join(', ')}${rest}${connections > 1 ? ` (${counted(connections, 'connection')})` : ''}`]),
    `  Why: ${reason}`,
    ...(since === null ? [] : [`  Since: ${formatTime(since)}${until === null ? '' : `, until ${formatTime(until)}`}`]),
    ...(next === null ? [] : [`  Next: ${next}`]),
  ];
}

const formatTime = (iso: string): string => `${iso.slice(0, 16).replace('T', ' ')} UTC`;
