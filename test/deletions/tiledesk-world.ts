import type { Random } from '../../sandbox/random.ts';
import { createTiledeskSandbox, type TiledeskData } from '../../sandbox/tiledesk.ts';
import { compareMirror } from '../helpers/compare.ts';
import { STREAMS, variables } from '../helpers/mirror.ts';
import {
  type Change,
  dateOffsetFor,
  type Ground,
  HISTORY_END,
  type MirroredState,
  openMirror,
  pickWeighted,
  type World,
} from './world.ts';

const LISTS = new Set(['leads', 'requests', 'departments', 'project_users']);
const UNCOUNTED = new Set(['departments', 'project_users']);
const BY_ID = new Set(['lead', 'request']);
/** Below this, a table could be emptied by chance, and the last row of it would be a story of its own. */
const FEW = 8;

export async function openTiledesk(ground: Ground, random: Random): Promise<World> {
  const sandbox = createTiledeskSandbox({
    seed: random.int(1, 1_000_000_000),
    leads: sizeUpTo(120, random),
    requests: sizeUpTo(160, random),
    months: random.pick([0.1, 1, 6]),
    now: HISTORY_END,
    serverVersion: random.chance(0.2) ? 'old' : 'new',
    joinedLeadStatuses: !random.chance(0.3),
  });
  const { data, faults } = sandbox;
  const settings = {
    TILEDESK_PAGE_SIZE: String(random.int(10, 40)),
    TILEDESK_SCAN_KEY: random.chance(0.2) ? 'createdAt' : '_id',
    SYNC_LOOKBACK_SECONDS: random.pick(['0', '5', '300']),
    RETRY_ATTEMPTS: random.pick(['1', '2', '3']),
  };
  const { url } = await sandbox.listen();
  const mirror = await openMirror(ground, { ...variables(sandbox, url, ''), ...settings });
  const weights = changesFor(random);
  return {
    source: 'tiledesk',
    streams: STREAMS.map((name) => `tiledesk.${name}`),
    counted: ['tiledesk.leads', 'tiledesk.requests'],
    faults,
    log: sandbox.log,
    mirror,
    isIncrementalWeak: false,
    isList: (call) => LISTS.has(call),
    isById: (call) => BY_ID.has(call),
    // An empty list has the count 0. The short lists have no count at all.
    isPlausibleLie: ({ list, fault }) =>
      (fault === 'empty-list' && LISTS.has(list)) || (fault === 'truncated-page' && UNCOUNTED.has(list)),
    change: (dice) => changeSomething(data, dice, weights),
    passTime(ms) {
      const now = data.stamp();
      faults.dateOffsetMs = dateOffsetFor(ms > 0 ? data.stamp(now + ms) : now);
    },
    isThere: (stream, id) => idsOf(data, stream).has(id),
    states: (stream) => mirror.query<MirroredState>(statesSql(stream)),
    async compare(stream) {
      const { missing, extra, different } = await compareMirror(mirror.url, sandbox, nameOf(stream));
      const states = await mirror.query<MirroredState>(statesSql(stream));
      const gone = new Set(states.filter(({ isGone }) => isGone).map(({ id }) => id));
      return { missing, extra: extra.filter((id) => !gone.has(id)), different };
    },
    async close() {
      await mirror.close();
      await sandbox.close();
    },
  };
}

/** From twenty rows on; more of the small ones, which are read in no time and have all that a large one has. */
const sizeUpTo = (most: number, random: Random): number => 20 + Math.floor(random.next() ** 2 * (most - 19));

const nameOf = (stream: string) => stream.slice('tiledesk.'.length) as (typeof STREAMS)[number];

function idsOf(data: TiledeskData, stream: string): { has(id: string): boolean } {
  const ids = {
    leads: data.leads,
    requests: data.requests,
    departments: new Set(data.team.departments.map(({ _id }) => _id)),
    project_users: new Set(data.team.projectUsers.map(({ _id }) => _id)),
  };
  return ids[nameOf(stream)];
}

function statesSql(stream: string): string {
  // Leads of status 1000 carry a deletion of the upstream's own.
  const own = stream === 'tiledesk.leads' ? 'and status is distinct from 1000' : '';
  return `select id, deleted_at is not null as "isGone", deleted_at is not null ${own} as "isMarked" from ${stream}`;
}

type Act = (data: TiledeskData, random: Random) => Change;
type Weights = readonly (readonly [weight: number, act: Act])[];

/** Each seed has its own mix: calm ones, and ones where so much vanishes that the brake holds. */
function changesFor(random: Random): Weights {
  const ruin = random.pick([0, 0.3, 1, 1, 2, 5]);
  return [
    [18, insertRequest],
    [10, insertLead],
    [16, editRequest],
    [8, editLead],
    [8, closeRequest],
    [4, reopenRequest],
    [8, changeLeadStatus],
    [4, softDeleteLead],
    [5 * ruin, hardDeleteRequest],
    [5 * ruin, hardDeleteLead],
  ];
}

function changeSomething(data: TiledeskData, random: Random, weights: Weights): Change {
  return pickWeighted(random, weights)(data, random);
}

function pickId(ids: Iterable<string>, random: Random): string {
  const all = [...ids];
  // Recent rows change more often, and the last page is where a reader is most easily led astray.
  const share = random.chance(0.3) ? 1 - random.next() * 0.1 : random.chance(0.2) ? random.next() * 0.1 : random.next();
  return all[Math.min(all.length - 1, Math.floor(share * all.length))] ?? '';
}

const insertLead: Act = (data, random) => {
  data.insertLead(random.chance(0.2) ? { status: 50 } : {});
  return ['inserts', 1];
};

const insertRequest: Act = (data, random) => {
  const lead = random.chance(0.7) ? { lead: pickId(data.leads.keys(), random) } : {};
  // Imported: created long before anybody could read it.
  const createdAt = new Date(HISTORY_END - random.int(1, 90) * 86_400_000).toISOString();
  data.insertRequest({ ...lead, ...(random.chance(0.15) && { createdAt }) });
  return ['inserts', 1];
};

const editRequest: Act = (data, random) => {
  data.touchRequest(pickId(data.requests.keys(), random), { subject: `question ${random.int(1, 999_999)}` });
  return ['edits', 1];
};

const editLead: Act = (data, random) => {
  const id = pickId(data.leads.keys(), random);
  data.editLead(id, { company: `Company ${random.int(1, 999_999)}` });
  return ['edits', 1 + data.requestIdsOf(id).size];
};

const closeRequest: Act = (data, random) => {
  const id = pickId(data.requests.keys(), random);
  const write = random.chance(0.3) ? { write: random.pick([1, 2, 3] as const) } : {};
  data.closeRequest(id, write);
  return ['status changes', 1];
};

const reopenRequest: Act = (data, random) => {
  data.reopenRequest(pickId(data.requests.keys(), random));
  return ['status changes', 1];
};

const changeLeadStatus: Act = (data, random) => {
  data.setLeadStatus(pickId(data.leads.keys(), random), random.pick([100, 100, 50, 50, 1000]));
  return ['status changes', 1];
};

const softDeleteLead: Act = (data, random) => {
  data.setLeadStatus(pickId(data.leads.keys(), random), 1000);
  return ['soft deletes', 1];
};

const hardDeleteRequest: Act = (data, random) => {
  if (data.requests.size <= FEW) return insertRequest(data, random);
  data.hardDeleteRequest(pickId(data.requests.keys(), random));
  return ['hard deletes', 1];
};

const hardDeleteLead: Act = (data, random) => {
  if (data.leads.size <= FEW) return insertLead(data, random);
  data.hardDeleteLead(pickId(data.leads.keys(), random));
  return ['hard deletes', 1];
};
