/**
 * A simulated Tiledesk server for the benchmarks: any number of projects, of any size, in no memory. Every row is made from its number when it is asked
 * for; a row's id, creation and change follow the same order, so that any page of any sort is arithmetic. Nobody edits a row; a growing list
 * gets one more row each `spacingMs`. Limit, faults and log are those of the sandbox, and so is the reading of the list parameters.
 */
import { createHash } from 'node:crypto';
import { type Answer, type Call, json, unauthorized } from '../../sandbox/answer.ts';
import { Faults, type RetryAfterForm } from '../../sandbox/faults.ts';
import { createHttpShell, type RequestLogEntry } from '../../sandbox/serve.ts';
import { type ListRequest, type Range, readLeadList, readRequestList } from '../../sandbox/tiledesk-query.ts';
import { seededRandom } from './shifting-list.ts';

export interface EndlessList {
  readonly rows: number;
  /** Between the creation of two rows; whole milliseconds. */
  readonly spacingMs: number;
  readonly isGrowing?: boolean;
  /** Numbers of rows that were removed for good. */
  readonly gone?: ReadonlySet<number>;
  /** Each row is filled up to that many bytes: leads in their note, requests in their transcript. */
  readonly bytesEach?: number;
}

export interface EndlessProject {
  readonly leads: EndlessList;
  readonly requests: EndlessList;
}

export interface EndlessTiledeskOptions {
  /** What is in a project; undefined: there is no such project. */
  readonly project: (id: string) => EndlessProject | undefined;
  /** null: unthrottled. Otherwise calls above this number in any rolling window get 429. */
  readonly requestsPerWindow?: number | null;
  readonly rateWindowMs?: number;
  readonly retryAfter?: RetryAfterForm;
}

export interface EndlessTiledesk {
  readonly url: string;
  readonly faults: Faults;
  readonly log: readonly RequestLogEntry[];
  clearLog(): void;
  close(): Promise<void>;
}

/** Whoever asks is owner of every project. */
export const ENDLESS_ACCOUNT = { email: 'owner@example.com', password: 'not-a-secret' } as const;

export async function startEndlessTiledesk(options: EndlessTiledeskOptions): Promise<EndlessTiledesk> {
  const faults = new Faults(() => {});
  const startedAt = Date.now();
  const shell = createHttpShell({
    ...options,
    faults,
    route: (path) => ({ path, list: listOf(path) }),
    answer: (call) => answer(call, options, startedAt),
    requestsPerMinute: options.requestsPerWindow ?? null,
  });
  const { url } = await shell.listen();
  return { ...shell, url };
}

/** The id of the n-th project: 24 hexadecimal digits. */
export const endlessProjectId = (n: number): string => `e${n.toString(16).padStart(23, '0')}`;

function listOf(path: string): string {
  if (path === '/auth/signin') return 'signin';
  return path.split('/')[2] ?? 'unknown';
}

function answer(call: Call, { project }: EndlessTiledeskOptions, startedAt: number): Answer {
  if (call.path === '/auth/signin') return signIn(call);
  const [, id = '', list, ...rest] = call.path.split('/');
  if (!call.headers.authorization?.startsWith('JWT ')) return unauthorized;
  const found = project(id);
  if (found === undefined) return json({ error: `Project not found with id: ${id}` }, 400);
  const time = { startedAt, now: Date.now() };
  switch (rest.length === 0 ? list : `${list}/${rest[0]}`) {
    case 'leads': {
      const query = readLeadList(call.query, { projectId: id, joinedLeadStatuses: true });
      const isListed = query.conditions.every(([, accepts]) => accepts({ _id: '', status: 100, id_project: id }));
      return page('leads', query, new NumberedList(isListed ? found.leads : NOTHING, time), leadRow(id, found.leads));
    }
    case 'requests': {
      const query = readRequestList(call.query, { viewer: { userId: '', role: 'owner' }, serverVersion: 'new' });
      return page('requests', query, new NumberedList(found.requests, time), requestRow(id, found.requests));
    }
    case `leads/${rest[0]}`: {
      const n = Number.parseInt(rest[0]?.slice(-6) ?? '', 16);
      const { gone, rows } = found.leads;
      if (!(n < rows) || gone?.has(n)) return json({ success: false, msg: 'Object not found.' }, 404);
      return {
        status: 200,
        body: leadRow(id, found.leads)(n, new NumberedList(found.leads, time).timeOf(n)),
        type: 'json',
      };
    }
    case `requests/${rest[0]}`: {
      const n = Number(rest[0]?.split('-').at(-1));
      const { gone, rows } = found.requests;
      if (!(n < rows) || gone?.has(n)) return json({ success: false, msg: 'Object not found.' }, 404);
      const row = requestRow(id, found.requests)(n, new NumberedList(found.requests, time).timeOf(n));
      return { status: 200, body: row, type: 'json' };
    }
    case 'departments/allstatus':
      return json([
        { _id: idOf(id, 0, 0), name: 'Default', default: true, status: 1, id_project: id, routing: 'assigned' },
      ]);
    case 'project_users':
      return json([{ _id: idOf(id, 0, 1), role: 'owner', user_available: true, id_project: id, id_user: USER_ID }]);
    case 'project_users/users':
      return json([{ _id: idOf(id, 0, 1), role: 'owner', id_project: id, id_user: USER_ID }]);
    default:
      return json({ success: false, msg: 'Object not found.' }, 404);
  }
}

const USER_ID = 'e00000000000000000000001';
const NOTHING: EndlessList = { rows: 0, spacingMs: 1000 };

function signIn(call: Call): Answer {
  const { email } = JSON.parse(call.body) as { email: string };
  const token = `JWT ${createHash('sha256').update(email).digest('base64url')}`;
  return json({ success: true, token, user: { _id: USER_ID, email } });
}

/** Row n was created, and last changed, `n × spacing` after the first. */
class NumberedList {
  readonly count: number;
  readonly #first: number;
  readonly #spacingMs: number;
  readonly #gone: ReadonlySet<number>;

  constructor(
    { rows, spacingMs, isGrowing, gone = new Set() }: EndlessList,
    { startedAt, now }: { startedAt: number; now: number },
  ) {
    this.#spacingMs = spacingMs;
    this.#gone = gone;
    this.#first = startedAt - rows * spacingMs;
    this.count = isGrowing === true ? rows + Math.floor((now - startedAt) / spacingMs) : rows;
  }

  timeOf(n: number): number {
    return this.#first + n * this.#spacingMs;
  }

  isGone(n: number): boolean {
    return this.#gone.has(n);
  }

  goneBetween(low: number, high: number): number {
    return [...this.#gone].filter((n) => low <= n && n < high).length;
  }

  /** The numbers of the rows in a range: from the first to before the second. */
  between(range: Range | undefined): [number, number] {
    const place = (iso: string) => (Date.parse(iso) - this.#first) / this.#spacingMs;
    const low = range?.from === undefined ? 0 : Math.max(0, Math.ceil(place(range.from)));
    const high = range?.to === undefined ? this.count : Math.min(this.count, Math.floor(place(range.to)) + 1);
    return [Math.min(low, this.count), Math.max(Math.min(low, this.count), high)];
  }
}

function page<D>(
  name: 'leads' | 'requests',
  query: Pick<ListRequest<D>, 'perPage' | 'skip' | 'take' | 'direction' | 'field' | 'range' | 'hasCount'>,
  list: NumberedList,
  row: (n: number, at: number) => string,
): Answer {
  if (!['_id', 'createdAt', 'updatedAt'].includes(query.field)) throw new Error(`no order by ${query.field} here`);
  const [low, high] = list.between(query.range);
  const rows: string[] = [];
  // Pages behind removed rows begin later: those are looked for from the front.
  let skip = list.goneBetween(low, high) === 0 ? 0 : query.skip;
  for (let i = query.skip - skip; i < high - low && rows.length < query.take; i++) {
    const n = query.direction === 1 ? low + i : high - 1 - i;
    if (list.isGone(n)) continue;
    if (skip > 0) skip -= 1;
    else rows.push(row(n, list.timeOf(n)));
  }
  const count = query.hasCount ? high - low - list.goneBetween(low, high) : 0;
  const body = `{"perPage":${query.perPage},"count":${count},"${name}":[${rows.join(',')}]}`;
  return { status: 200, body, type: 'json' };
}

/** As the database makes them: the second of creation, the process, a counter. */
function idOf(project: string, at: number, n: number): string {
  const second = Math.floor(at / 1000)
    .toString(16)
    .padStart(8, '0');
  return `${second}${project.slice(-10)}${(n & 0xffffff).toString(16).padStart(6, '0')}`;
}

const leadRow =
  (project: string, { bytesEach }: EndlessList) =>
  (n: number, at: number): string => {
    const id = idOf(project, at, n);
    const iso = new Date(at).toISOString();
    const row = `{"_id":"${id}","lead_id":"lead-${n}","fullname":"Visitor ${n}","email":"visitor${n}@example.com","attributes":{"source":"chat","visits":${n % 7}},"tags":[],"status":100,"id_project":"${project}","createdBy":"${USER_ID}","createdAt":"${iso}","updatedAt":"${iso}","__v":0}`;
    return filledUp(row, 'note', { bytesEach, n });
  };

const requestRow =
  (project: string, { bytesEach }: EndlessList) =>
  (n: number, at: number): string => {
    const id = idOf(project, at, n);
    const iso = new Date(at).toISOString();
    const row = `{"_id":"${id}","id":"${id}","request_id":"support-group-${project}-${n}","ticket_id":${n},"status":1000,"preflight":false,"hasBot":true,"first_text":"Where is my parcel number ${n}?","requester_id":"${id}","lead":"${id}","department":"${idOf(project, 0, 0)}","participants":["${USER_ID}"],"participantsAgents":["${USER_ID}"],"participantsBots":[],"priority":"medium","channel":{"name":"chat21"},"language":"it","attributes":{"departmentName":"Default","last_message":{"type":"text","text":"Thank you"}},"tags":[],"notes":[],"followers":[],"id_project":"${project}","createdBy":"${USER_ID}","createdAt":"${iso}","updatedAt":"${iso}","closed_at":"${iso}","waiting_time":${1000 + (n % 90_000)},"__v":0}`;
    return filledUp(row, 'transcript', { bytesEach, n });
  };

/** Words in no order: neither the driver nor the database can make them much smaller than people's texts. */
const PROSE = (() => {
  const words =
    'where is my parcel number it was sent last week and should be here thank you for asking we look into that today'.split(
      ' ',
    );
  const random = seededRandom(1);
  let text = '';
  while (text.length < 200_000) text += `${words[Math.floor(random() * words.length)]} `;
  return text;
})();

function filledUp(
  row: string,
  field: string,
  { bytesEach = 0, n }: { bytesEach: number | undefined; n: number },
): string {
  const missing = bytesEach - row.length - `,"${field}":""`.length;
  if (missing < 0) return row;
  if (missing > PROSE.length / 2) throw new Error(`rows of at most ${PROSE.length / 2} bytes are made here`);
  const from = (n * 7_919) % (PROSE.length - missing);
  return `${row.slice(0, -1)},"${field}":"${PROSE.slice(from, from + missing)}"}`;
}
