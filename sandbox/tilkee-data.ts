/**
 * The simulated account's content and the only way to change it. `created_at` never moves, `updated_at` of projects,
 * items and users does; links and visits have none.
 */
import { byField, Collection, createStamp, groupBy } from './collection.ts';
import { Random } from './random.ts';
import { dayAtWork, edits, makeChange } from './tilkee-changes.ts';
import {
  createItem,
  createProject,
  createToken,
  createUser,
  createVisit,
  type TilkeeDocument,
  type TilkeeFields,
  type TilkeeKind,
  type TilkeeProject,
  type TilkeeVisit,
} from './tilkee-create.ts';
import { type TilkeePlan, writeTilkeeHistory } from './tilkee-generate.ts';
import { finishRow, type TilkeeRow } from './tilkee-rows.ts';
import { sumTokens, sumVisits } from './tilkee-stats.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';
import { v2Connexion, v2Item, v2ProjectRow, v2Token, v2User } from './tilkee-v2-rows.ts';
import { v3Item, v3Project } from './tilkee-v3-rows.ts';

export interface TilkeeDataOptions extends TilkeePlan {
  readonly seed: number;
  /** End of the generated history; when given, later stamps start there instead of at the real time. */
  readonly now?: number;
  readonly switches: TilkeeSwitches;
}

export type TilkeeListable = ReturnType<TilkeeData['listable']>;

type Collections = { readonly [K in TilkeeKind]: Collection<TilkeeDocument<K>> };
type Patch<K extends TilkeeKind> = Partial<Omit<TilkeeFields[K], 'id'>>;

const firstIds: Readonly<Record<TilkeeKind, number>> = {
  project: 37_000,
  item: 81_000,
  token: 112_000,
  connexion: 1_171_000,
  user: 6,
};

function scramble(id: number): number {
  const mixed = Math.imul(id ^ (id >>> 15), 0x2c1b3c6d);
  return (Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39) ^ (mixed >>> 15)) >>> 0;
}

export class TilkeeData {
  readonly collections: Collections = {
    project: new Collection(),
    item: new Collection(),
    token: new Collection(),
    connexion: new Collection(),
    user: new Collection(),
  };
  readonly switches: TilkeeSwitches;
  readonly mainUserId: number;
  /** The time of the next change; an explicit one is taken as it is, and later changes never come before it. */
  readonly stamp: (at?: number) => number;
  changes = 0;
  readonly #removed = new Set<string>();
  readonly #computed = new Map<string, unknown>();
  readonly #random: Random;
  readonly #lastIds = { ...firstIds };

  constructor(options: TilkeeDataOptions) {
    const now = options.now ?? Date.now();
    this.switches = options.switches;
    this.stamp = createStamp(now, options.now !== undefined);
    this.#random = new Random(options.seed ^ 0x71ce);
    this.mainUserId = writeTilkeeHistory(this, new Random(options.seed), now, options);
  }

  get<K extends TilkeeKind>(kind: K, id: number): TilkeeDocument<K> | undefined {
    return this.collections[kind].docs.get(String(id));
  }

  /** By creation, equal times by id. */
  all<K extends TilkeeKind>(kind: K): readonly TilkeeDocument<K>[] {
    return this.collections[kind].list([], byField('created_at', 1));
  }

  wasRemoved(kind: TilkeeKind, id: number): boolean {
    return this.#removed.has(`${kind} ${id}`);
  }

  readonly tokensOf = (projectId: number) => this.#having('token', projectId, (one) => [one.project_id]);
  readonly visitsOf = (tokenId: number) => this.#having('connexion', tokenId, (one) => [one.token_id]);
  readonly projectsWith = (itemId: number) => this.#having('project', itemId, (one) => one.item_ids);

  #having<K extends TilkeeKind>(kind: K, id: number, keysOf: (doc: TilkeeDocument<K>) => readonly number[]) {
    const groups = this.#once(kind, () => groupBy(this.collections[kind].docs, keysOf));
    return groups.get(id) ?? [];
  }

  tokenStats(id: number): ReturnType<typeof sumVisits> {
    return this.#once(`token ${id}`, () => sumVisits(this.visitsOf(id)));
  }

  projectStats(id: number): ReturnType<typeof sumTokens> {
    return this.#once(`project ${id}`, () => sumTokens(this.tokensOf(id), this.visitsOf));
  }

  /** Ids have gaps: others use the server too. */
  nextId(kind: TilkeeKind): number {
    this.#lastIds[kind] += this.#random.int(1, 3);
    return this.#lastIds[kind];
  }

  /** By default a link is of the newest project in use, and a visit goes through the newest link and is open. */
  add<K extends TilkeeKind>(kind: K, partial: Patch<K> = {}, at?: number): TilkeeDocument<K> {
    return this.put(kind, { ...this.#fresh[kind](partial, at), ...partial });
  }

  readonly #fresh: { [K in TilkeeKind]: (partial: Patch<K>, at: number | undefined) => TilkeeFields[K] } = {
    user: (_partial, at) => createUser(this.#random, { id: this.nextId('user'), at: this.stamp(at) }),
    item: (_partial, at) => {
      const time = this.stamp(at);
      const item = createItem(this.#random, { id: this.nextId('item'), at: time, ownerId: this.mainUserId });
      return { ...item, updated_at: time, replaced_at: null };
    },
    project: (_partial, at) => {
      const time = this.stamp(at);
      const fresh = { id: this.nextId('project'), at: time, ownerId: this.mainUserId, itemIds: [], sharedWith: [] };
      return { ...createProject(this.#random, fresh), updated_at: time, is_template: false, duration: null };
    },
    token: ({ project_id: projectId = this.#newestProject().id }, at) => {
      const { owner_id: creatorId } = this.#must('project', projectId);
      return createToken(this.#random, { id: this.nextId('token'), at: this.stamp(at), projectId, creatorId });
    },
    connexion: ({ token_id: tokenId = (this.all('token').at(-1) ?? this.add('token')).id }, at) => {
      const { item_ids: itemIds } = this.#must('project', this.#must('token', tokenId).project_id);
      const fresh = { id: this.nextId('connexion'), at: this.stamp(at), tokenId, itemIds, isOpen: true };
      return createVisit(this.#random, fresh);
    },
  };

  /** For good, together with what belongs to it: links of a project, visits of a link, the uses of an item. */
  remove(kind: TilkeeKind, id: number): boolean {
    const doc = this.get(kind, id);
    if (!doc) return false;
    if (kind === 'project') for (const token of this.tokensOf(id)) this.remove('token', token.id);
    if (kind === 'token') for (const visit of this.visitsOf(id)) this.remove('connexion', visit.id);
    if (kind === 'item') {
      for (const project of this.projectsWith(id)) {
        this.put('project', { ...project, item_ids: project.item_ids.filter((itemId) => itemId !== id) });
      }
    }
    this.#removed.add(`${kind} ${id}`);
    this.#noteWrite();
    return this.collections[kind].delete(doc._id);
  }

  touch<K extends TilkeeKind>(kind: K, id: number, patch: Patch<K> = {}, at?: number): TilkeeDocument<K> {
    const doc = this.#must(kind, id);
    return this.put(kind, { ...doc, ...('updated_at' in doc && { updated_at: this.stamp(at) }), ...patch });
  }

  archive(kind: 'project' | 'token', id: number): TilkeeDocument<'project' | 'token'> {
    const time = this.stamp();
    return this.touch<'project' | 'token'>(kind, id, { archived_at: time }, time);
  }

  /** Reading goes on, and the counters of link and project grow with it. An ended visit stays as it is. */
  growVisit(id: number): TilkeeVisit {
    const visit = this.#must('connexion', id);
    if (!visit.is_open) return visit;
    return this.touch('connexion', id, {
      total_time: visit.total_time + this.#random.int(1_000, 60_000),
      percentage_read: Math.min(100, visit.percentage_read + this.#random.int(0, 15)),
      downloaded: visit.downloaded || this.#random.chance(0.05),
    });
  }

  randomEdits(count: number): void {
    for (let done = 0; done < count; done++) makeChange(edits, this, this.#random);
  }

  liveChanges(count: number): void {
    for (let done = 0; done < count; done++) makeChange(dayAtWork, this, this.#random);
  }

  /** Each row exactly as a list gives it under the present switches, V3 with `expand` of owner, tags and data. */
  listable() {
    const expanded = new Set(['owner', 'tags', 'data']);
    const rows = <K extends TilkeeKind>(
      kind: K,
      build: (data: TilkeeData, doc: TilkeeDocument<K>) => TilkeeRow,
    ): TilkeeRow[] => this.all(kind).map((doc, index) => finishRow(build(this, doc), this.switches, index === 0));
    return {
      projectsV3: rows('project', (_, doc) => v3Project(this, doc, expanded)),
      itemsV3: rows('item', (_, doc) => v3Item(this, doc, expanded)),
      projectsV2: rows('project', v2ProjectRow),
      itemsV2: rows('item', v2Item),
      tokens: rows('token', v2Token),
      connexions: rows('connexion', v2Connexion),
      users: rows('user', (_, doc) => v2User(doc)),
    };
  }

  put<K extends TilkeeKind>(kind: K, fields: TilkeeFields[K]): TilkeeDocument<K> {
    const doc = { ...fields, _id: String(fields.id), _rank: scramble(fields.id) };
    this.#noteWrite();
    this.collections[kind].put(doc);
    return doc;
  }

  #noteWrite(): void {
    this.changes++;
    this.#computed.clear();
    for (const collection of Object.values(this.collections)) collection.clearLists();
  }

  #once<T>(name: string, compute: () => T): T {
    if (!this.#computed.has(name)) this.#computed.set(name, compute());
    return this.#computed.get(name) as T;
  }

  #newestProject(): TilkeeProject {
    return this.all('project').findLast((one) => !one.is_template && one.archived_at === null) ?? this.add('project');
  }

  #must<K extends TilkeeKind>(kind: K, id: number): TilkeeDocument<K> {
    const doc = this.get(kind, id);
    if (!doc) throw new Error(`The sandbox has no ${kind} ${id}`);
    return doc;
  }
}
