import { counted } from '../counted.ts';
import type { StreamState } from '../store/reports/status.ts';
import { isProblem, nameOf, type StatusDocument, type StreamFacts, urgencyOf } from './status-document.ts';

/** What keeps streams from being fresh: one thing, however many streams it stops. */
export interface Cause {
  readonly state: StreamState;
  readonly text: string;
  readonly accounts: readonly string[];
  /** What to do about the first is what to do about all. */
  readonly streams: readonly [StreamFacts, ...StreamFacts[]];
  /** Passes without a person. */
  readonly passes: boolean;
}

/** Streams with the same code and the same value of this have one cause. */
type Scope = 'everything' | 'credential' | 'account' | 'stream';
type Kind = readonly [scope: Scope, text: string, passes?: 'passes'];

const SIGN_IN: Kind = ['credential', 'the sign-in of {account} was refused'];
const GUARD: Kind = ['stream', 'the guard blocks deletions in {stream}'];
const UPSTREAM: Kind = ['credential', 'the upstream of {account} does not answer', 'passes'];

const BY_CODE: Readonly<Record<string, Kind>> = {
  auth_failed: SIGN_IN,
  auth_refused: SIGN_IN,
  auth_role: ['account', 'the role in {account} may not read everything'],
  auth_not_member: ['account', 'the sign-in is no member of {account}'],
  project_not_found: ['account', 'the project of {account} was not found'],
  wrong_base_url: ['account', 'the base URL of {account} is wrong'],
  deletion_brake: GUARD,
  suddenly_empty: GUARD,
  verify_differences: ['stream', 'rows of {stream} differ from the upstream'],
  open_quarantine: ['account', 'records of {account} are in quarantine'],
  circuit_open: UPSTREAM,
  network: UPSTREAM,
  timeout: UPSTREAM,
  upstream_unavailable: UPSTREAM,
  upstream_garbled: UPSTREAM,
  rate_limited: ['credential', 'the upstream of {account} asked for a pause', 'passes'],
  day_limit: ['credential', 'the requests of {account} for today are used up', 'passes'],
  deletions_unconfirmed: ['account', 'deletions of {account} are not confirmed yet', 'passes'],
  walk_gave_up: ['account', 'a list of {account} changed too fast to be read', 'passes'],
  erasures_missing: ['everything', 'the database lacks erasures that the journal has'],
  erasures_journal_missing: ['everything', 'the journal of erasures is not to be found'],
  database_disk_full: ['everything', 'the disk of the database is full'],
};

const BY_STATE: Readonly<Partial<Record<StreamState, Kind>>> = {
  stale: ['everything', 'no pass of {account} was complete in time'],
  partial: ['account', 'something of {account} is missing or unconfirmed'],
};
const OTHER: Kind = ['account', 'an error stops {account}'];

/** The causes of all problems: those for a person first, then by urgency and by how many streams they stop. */
export function findCauses({
  streams,
  connections,
}: Pick<StatusDocument, 'streams' | 'connections'>): readonly Cause[] {
  const credentials = new Map(connections.map(({ id, credential }) => [id, credential]));
  const names = new Map(connections.map((one) => [one.id, nameOf(one)]));
  const groups = new Map<string, { kind: Kind; streams: [StreamFacts, ...StreamFacts[]] }>();
  for (const stream of streams) {
    if (!isProblem(stream.state) && stream.deletions !== 'blocked') continue;
    const kind = BY_CODE[stream.reason_code] ?? BY_STATE[stream.state] ?? OTHER;
    const id = stream.connection_id;
    const owner = {
      everything: '',
      credential: credentials.get(id) ?? id,
      account: id,
      stream: `${id}/${stream.stream}`,
    };
    const key = JSON.stringify([kind === OTHER ? stream.reason_code : kind[1], owner[kind[0]]]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { kind, streams: [stream] });
    else group.streams.push(stream);
  }
  const causes = [...groups.values()].map((group) => toCause(group, (id) => names.get(id) ?? id));
  const rank = ({ passes, state }: Cause) => (passes ? 100 : 0) + urgencyOf(state);
  return causes.sort((a, b) => rank(a) - rank(b) || b.streams.length - a.streams.length);
}

function toCause(
  { kind: [, text, passes], streams }: { kind: Kind; streams: [StreamFacts, ...StreamFacts[]] },
  nameOfAccount: (id: string) => string,
): Cause {
  const [first] = streams;
  const accounts = [...new Set(streams.map(({ connection_id }) => connection_id))];
  const account = accounts.length === 1 ? nameOfAccount(first.connection_id) : counted(accounts.length, 'account');
  const named = text.replace('{account}', account).replace('{stream}', `${first.stream} of ${account}`);
  return { state: first.state, text: named, accounts, streams, passes: passes !== undefined };
}

/** What makes every state on the page unsure: nothing new is read while it lasts. Null: nothing does. */
export function findOutage({
  queue,
  processes,
  erasures,
}: Pick<StatusDocument, 'queue' | 'processes'> & Partial<Pick<StatusDocument, 'erasures'>>): string | null {
  if (erasures?.problem) return 'Erasures are missing';
  if (queue !== null && !queue.ok) return 'The queue does not answer';
  const hasWorker = processes.some(({ is_alive, roles }) => is_alive && roles.includes('worker'));
  return hasWorker ? null : 'No worker is running';
}
