import type { Random } from '../../sandbox/random.ts';
import { createTilkeeSandbox, type TilkeeData, type TilkeeKind } from '../../sandbox/tilkee.ts';
import {
  compareTilkee,
  TILKEE_STREAMS,
  type TilkeeSetup,
  type TilkeeStream,
  tilkeeVariables,
} from '../helpers/tilkee-mirror.ts';
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

const KINDS: Readonly<Record<TilkeeStream, TilkeeKind>> = {
  projects: 'project',
  items: 'item',
  tokens: 'token',
  connexions: 'connexion',
  users: 'user',
};
const BY_ID = new Set(['v3.project', 'v2.project', 'v2.token', 'v2.connexion']);
const NO_LIST = new Set(['oauth', 'v3.me', 'v2.me', 'unknown', 'v3.redirect', ...BY_ID]);
const FEW = 4;

export async function openTilkee(ground: Ground, random: Random): Promise<World> {
  const order = random.pick(['newest', 'newest', 'newest', 'byUpdate', 'shuffled'] as const);
  const sandbox = createTilkeeSandbox({
    seed: random.int(1, 1_000_000_000),
    projects: random.int(5, 24),
    items: random.int(8, 60),
    tokens: random.int(10, 60),
    visits: random.int(10, 90),
    users: random.int(2, 14),
    months: random.pick([0.1, 1, 6]),
    now: HISTORY_END,
    switches: {
      order,
      visitsName: random.pick(['none', 'token_id', 'project_object', 'both']),
      hasMore: random.pick(['right', 'right', 'missingOnLast', 'missing', 'emptyAtEnd']),
      removedStatus: random.pick([404, 410]),
      v2Total: random.pick(['number', 'number', 'string', 'missing']),
    },
  });
  const { data, faults } = sandbox;
  const api = random.chance(0.3) ? 'v2' : 'v3';
  const settings = {
    TILKEE_PAGE_SIZE: String(random.int(5, 25)),
    TILKEE_PROJECTS_API: api,
    TILKEE_VISITS_BY: random.pick(['list', 'auto']),
    RETRY_ATTEMPTS: random.pick(['1', '2', '3']),
  };
  const address = await sandbox.listen();
  const mirror = await openMirror(ground, { ...tilkeeVariables(sandbox, address, ''), ...settings });
  // All that the comparison looks at.
  const compared = { sandbox, query: mirror.query } as unknown as TilkeeSetup;
  const weights = changesFor(random);
  const states = (stream: string) =>
    mirror.query<MirroredState>(
      `select id, deleted_at is not null as "isGone",
         deleted_at is not null and raw->>'deleted_at' is null as "isMarked" from ${stream}`,
    );
  return {
    source: 'tilkee',
    streams: TILKEE_STREAMS.map((name) => `tilkee.${name}`),
    counted: [],
    faults,
    log: sandbox.log,
    mirror,
    isIncrementalWeak: order !== 'newest',
    isList: (call) => !NO_LIST.has(call),
    isById: (call) => BY_ID.has(call),
    // V3 does not count, and the total of V2 is a hint.
    isPlausibleLie: ({ list, fault }) => (fault === 'empty-list' || fault === 'truncated-page') && !NO_LIST.has(list),
    change: (dice) => pickWeighted(dice, weights)(data, dice),
    passTime(ms) {
      const now = data.stamp();
      faults.dateOffsetMs = dateOffsetFor(ms > 0 ? data.stamp(now + ms) : now);
    },
    isThere: (stream, id) => data.get(KINDS[nameOf(stream)], Number(id)) !== undefined,
    states,
    async compare(stream) {
      const name = nameOf(stream);
      const isPlain = name !== 'projects' && name !== 'items';
      const kind = isPlain ? name : (`${name}${api === 'v3' ? 'V3' : 'V2'}` as const);
      const { extra, ...rest } = await compareTilkee(compared, name, kind);
      // A user may first be marked by the upstream itself, and then be removed.
      const gone = new Set((await states(stream)).filter(({ isGone }) => isGone).map(({ id }) => id));
      return { ...rest, extra: extra.filter((id) => !gone.has(id)) };
    },
    async close() {
      await mirror.close();
      await sandbox.close();
    },
  };
}

const nameOf = (stream: string) => stream.slice('tilkee.'.length) as TilkeeStream;

type Act = (data: TilkeeData, random: Random) => Change;

function changesFor(random: Random): readonly (readonly [weight: number, act: Act])[] {
  const ruin = random.pick([0, 0.3, 1, 1, 2, 4]);
  return [
    [30, insert],
    [26, edit],
    [12, changeStatus],
    [2, letUserGo],
    [10 * ruin, remove],
  ];
}

function pickOf<K extends TilkeeKind>(data: TilkeeData, kind: K, random: Random): number | null {
  const all = data.all(kind);
  return all.length === 0 ? null : random.pick(all).id;
}

const insert: Act = (data, random) => {
  const kind = random.pick(['project', 'item', 'token', 'token', 'connexion', 'connexion', 'connexion', 'user']);
  const projectId = pickOf(data, 'project', random);
  const tokenId = pickOf(data, 'token', random);
  if (kind === 'token' && projectId !== null) data.add('token', { project_id: projectId });
  else if (kind === 'connexion' && tokenId !== null) data.add('connexion', { token_id: tokenId });
  else if (kind === 'user') data.add('user');
  else if (kind === 'item') data.add('item');
  else data.add('project');
  return ['inserts', 1];
};

const edit: Act = (data) => {
  data.randomEdits(1);
  return ['edits', 1];
};

const changeStatus: Act = (data, random) => {
  const tokenId = pickOf(data, 'token', random);
  const projectId = pickOf(data, 'project', random);
  const visitId = pickOf(data, 'connexion', random);
  const choice = random.int(1, 8);
  if (choice <= 3 && tokenId !== null) data.archive('token', tokenId);
  else if (choice <= 5 && tokenId !== null) data.touch('token', tokenId, { archived_at: null });
  else if (choice === 6 && visitId !== null) data.touch('connexion', visitId, { is_open: false });
  // No list of V2 holds a template that is archived.
  else if (projectId !== null && data.get('project', projectId)?.is_template === false)
    data.archive('project', projectId);
  else return insert(data, random);
  return ['status changes', 1];
};

/** Who left stays in the list, with the upstream's own mark. */
const letUserGo: Act = (data, random) => {
  const id = pickOf(data, 'user', random);
  if (id === null || id === data.mainUserId) return edit(data, random);
  data.touch('user', id, { deleted_at: data.stamp() });
  return ['soft deletes', 1];
};

const count = (data: TilkeeData): number =>
  Object.values(data.collections).reduce((sum, { docs }) => sum + docs.size, 0);

/** What hangs on a row goes with it. */
const remove: Act = (data, random) => {
  const kind = random.pick(['project', 'item', 'item', 'token', 'token', 'connexion', 'connexion', 'user'] as const);
  const id = pickOf(data, kind, random);
  if (id === null || data.all(kind).length <= FEW || (kind === 'user' && id === data.mainUserId)) {
    return insert(data, random);
  }
  const before = count(data);
  data.remove(kind, id);
  return ['hard deletes', before - count(data)];
};
