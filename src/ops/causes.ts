import { counted } from '../counted.ts';
import type { StreamState } from '../store/reports/status.ts';
import { causeOf, UNKNOWN } from './reasons.ts';
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

/** The causes of all problems: those for a person first, then by urgency and by how many streams they stop. */
export function findCauses({
  streams,
  connections,
}: Pick<StatusDocument, 'streams' | 'connections'>): readonly Cause[] {
  const credentials = new Map(connections.map(({ id, credential }) => [id, credential]));
  const names = new Map(connections.map((one) => [one.id, nameOf(one)]));
  const groups = new Map<string, [StreamFacts, ...StreamFacts[]]>();
  for (const stream of streams) {
    if (!isProblem(stream.state) && stream.deletions !== 'blocked') continue;
    const { connection_id: account, stream: name, reason_code } = stream;
    const [scope, text] = causeOf(stream);
    const owner = {
      everything: '',
      credential: credentials.get(account) ?? account,
      account,
      stream: `${account}/${name}`,
    };
    // A problem of no known cause has only its code in common with others.
    const key = JSON.stringify([text === UNKNOWN ? reason_code : text, owner[scope]]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [stream]);
    else group.push(stream);
  }
  const causes = [...groups.values()].map((group) => toCause(group, (id) => names.get(id) ?? id));
  const rank = ({ passes, state }: Cause) => (passes ? 100 : 0) + urgencyOf(state);
  return causes.sort((a, b) => rank(a) - rank(b) || b.streams.length - a.streams.length);
}

function toCause(streams: Cause['streams'], nameOfAccount: (id: string) => string): Cause {
  const [first] = streams;
  const [, text, passes] = causeOf(first);
  const accounts = [...new Set(streams.map(({ connection_id }) => connection_id))];
  const account = accounts.length === 1 ? nameOfAccount(first.connection_id) : counted(accounts.length, 'account');
  const named = text.replace('{account}', account).replace('{stream}', `${first.stream} of ${account}`);
  return { state: first.state, text: named, accounts, streams, passes: passes !== undefined };
}

export const NO_WORKER = 'No worker is running';

/** What makes every state on the page unsure: nothing new is read while it lasts. Null: nothing does. */
export function findOutage({
  queue,
  processes,
  erasures,
}: Pick<StatusDocument, 'queue' | 'processes'> & Partial<Pick<StatusDocument, 'erasures'>>): string | null {
  if (erasures?.problem) return 'Erasures are missing';
  if (queue !== null && !queue.ok) return 'The queue does not answer';
  const hasWorker = processes.some(({ is_alive, roles }) => is_alive && roles.includes('worker'));
  return hasWorker ? null : NO_WORKER;
}
