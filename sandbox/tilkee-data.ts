/**
 * The simulated account's content and the only way to change it. `created_at` never moves; `updated_at` of projects, items
 * and users moves with an edit; links and visits have none. The routes, the live changes and the tests use these methods.
 */
import { Collection } from './collection.ts';
import { Random } from './random.ts';
import { editSomething, liveChange } from './tilkee-changes.ts';
import { createItem, createProject, createToken, createUser, createVisit, type LinkedLead } from './tilkee-create.ts';
import {
  type ItemFields,
  type ProjectFields,
  sortKeysOf,
  type TilkeeDocument,
  type TilkeeFields,
  type TilkeeItem,
  type TilkeeKind,
  type TilkeeProject,
  type TilkeeToken,
  type TilkeeUser,
  type TilkeeVisit,
  type TokenFields,
  type UserFields,
  type VisitFields,
} from './tilkee-documents.ts';
import { writeTilkeeHistory } from './tilkee-generate.ts';
import { listableRows, type TilkeeListable } from './tilkee-listable.ts';
import { type ProjectStats, StatsCache, type VisitStats } from './tilkee-stats.ts';
import type { TilkeeSwitches } from './tilkee-switches.ts';

export interface TilkeeDataOptions {
  readonly seed: number;
  readonly projects: number;
  readonly items: number;
  readonly tokens: number;
  readonly visits: number;
  readonly users: number;
  readonly months: number;
  /** End of the generated history; when given, time stands there and only changes move it. */
  readonly now?: number;
  readonly username: string;
  readonly leads: readonly LinkedLead[];
  readonly switches: TilkeeSwitches;
}

type Collections = { readonly [K in TilkeeKind]: Collection<TilkeeDocument<K>> };
/** The sort keys follow from the fields, the id is the data's to give. */
type Patch<F> = Partial<Omit<F, 'id'>>;

const firstIds: Readonly<Record<TilkeeKind, number>> = {
  project: 37_000,
  item: 81_000,
  token: 112_000,
  connexion: 1_171_000,
  user: 6,
};

class Children {
  readonly #ids = new Map<number, Set<number>>();

  add(parent: number, child: number): void {
    const known = this.#ids.get(parent);
    if (known) known.add(child);
    else this.#ids.set(parent, new Set([child]));
  }

  delete(parent: number, child: number): void {
    this.#ids.get(parent)?.delete(child);
  }

  of(parent: number): readonly number[] {
    return [...(this.#ids.get(parent) ?? [])];
  }
}

export class TilkeeData {
  /** For the routes; tests use `get` and `all`. */
  readonly collections: Collections = {
    project: new Collection(),
    item: new Collection(),
    token: new Collection(),
    connexion: new Collection(),
    user: new Collection(),
  };
  readonly switches: TilkeeSwitches;
  /** Who signs in. */
  readonly mainUserId: number;
  /** Counts the writes. */
  changes = 0;
  readonly #tokensOf = new Children();
  readonly #visitsOf = new Children();
  readonly #projectsWith = new Children();
  readonly #removed = new Set<string>();
  readonly #stats = new StatsCache(this);
  readonly #random: Random;
  readonly #hasFixedClock: boolean;
  readonly #lastIds = { ...firstIds };
  #lastTime: number;

  constructor(options: TilkeeDataOptions) {
    const now = options.now ?? Date.now();
    this.switches = options.switches;
    this.#hasFixedClock = options.now !== undefined;
    this.#lastTime = now;
    this.#random = new Random(options.seed ^ 0x71ce);
    this.mainUserId = writeTilkeeHistory(this, { ...options, to: now, random: new Random(options.seed) });
  }

  get<K extends TilkeeKind>(kind: K, id: number): TilkeeDocument<K> | undefined {
    return this.collections[kind].docs.get(String(id));
  }

  /** In the order in which they were added, oldest first after generation. */
  all<K extends TilkeeKind>(kind: K): TilkeeDocument<K>[] {
    return [...this.collections[kind].docs.values()];
  }

  wasRemoved(kind: TilkeeKind, id: number): boolean {
    return this.#removed.has(`${kind} ${id}`);
  }

  tokensOf(projectId: number): TilkeeToken[] {
    return this.#tokensOf.of(projectId).map((id) => this.#must('token', id));
  }

  visitsOf(tokenId: number): TilkeeVisit[] {
    return this.#visitsOf.of(tokenId).map((id) => this.#must('connexion', id));
  }

  /** In which projects an item is placed. */
  projectsWith(itemId: number): TilkeeProject[] {
    return this.#projectsWith.of(itemId).map((id) => this.#must('project', id));
  }

  tokenStats(id: number): VisitStats {
    return this.#stats.ofToken(id);
  }

  projectStats(id: number): ProjectStats {
    return this.#stats.ofProject(id);
  }

  /** The time of the next change; an explicit one is taken as it is, and later changes never come before it. */
  stamp(at?: number): number {
    const next = at ?? Math.max(this.#lastTime + 1, this.#hasFixedClock ? 0 : Date.now());
    this.#lastTime = Math.max(this.#lastTime, next);
    return next;
  }

  /** Ids have gaps: others use the server too. */
  nextId(kind: TilkeeKind): number {
    this.#lastIds[kind] += this.#random.int(1, 3);
    return this.#lastIds[kind];
  }

  addUser(partial: Patch<UserFields> = {}, at?: number): TilkeeUser {
    return this.put('user', {
      ...createUser(this.#random, { id: this.nextId('user'), at: this.stamp(at) }),
      ...partial,
    });
  }

  addItem(partial: Patch<ItemFields> = {}, at?: number): TilkeeItem {
    const time = this.stamp(at);
    const item = createItem(this.#random, { id: this.nextId('item'), at: time, ownerId: this.mainUserId });
    return this.put('item', { ...item, updated_at: time, replaced_at: null, ...partial });
  }

  /** Not a template unless told. */
  addProject(partial: Patch<ProjectFields> = {}, at?: number): TilkeeProject {
    const time = this.stamp(at);
    const fresh = { at: time, ownerId: this.mainUserId, itemIds: [], sharedWith: [] };
    const project = createProject(this.#random, { ...fresh, id: this.nextId('project') });
    return this.put('project', { ...project, updated_at: time, is_template: false, duration: null, ...partial });
  }

  /** In the given project, or in the newest that is in use. */
  addToken(partial: Patch<TokenFields> = {}, at?: number): TilkeeToken {
    const projectId = partial.project_id ?? this.#newestProject().id;
    const { owner_id: creatorId } = this.#must('project', projectId);
    const fresh = { id: this.nextId('token'), at: this.stamp(at), projectId, creatorId };
    return this.put('token', { ...createToken(this.#random, fresh), ...partial });
  }

  /** Through the given link, or through the newest; open until `endVisit`. */
  addVisit(partial: Patch<VisitFields> = {}, at?: number): TilkeeVisit {
    const newest = this.collections.token.sorted('_created', -1)[0]?.doc;
    const tokenId = partial.token_id ?? (newest ?? this.addToken()).id;
    const project = this.#must('project', this.#must('token', tokenId).project_id);
    const fresh = {
      id: this.nextId('connexion'),
      at: this.stamp(at),
      tokenId,
      itemIds: project.item_ids,
      isOpen: true,
    };
    return this.put('connexion', { ...createVisit(this.#random, fresh), ...partial });
  }

  /** For good, together with what hangs on it: links of a project, visits of a link, the places of an item. */
  remove(kind: TilkeeKind, id: number): boolean {
    const doc = this.get(kind, id);
    if (!doc) return false;
    if (kind === 'project') for (const token of this.#tokensOf.of(id)) this.remove('token', token);
    if (kind === 'token') for (const visit of this.#visitsOf.of(id)) this.remove('connexion', visit);
    if (kind === 'item') for (const project of this.projectsWith(id)) this.#takeOut(project, id);
    this.#removed.add(`${kind} ${id}`);
    this.changes++;
    if ('token_id' in doc) this.#visitsOf.delete(doc.token_id, id);
    if ('project_id' in doc) this.#tokensOf.delete(doc.project_id, id);
    if ('item_ids' in doc) for (const itemId of doc.item_ids) this.#projectsWith.delete(itemId, id);
    this.#forgetStats(doc);
    return this.collections[kind].delete(doc._id);
  }

  touchProject(id: number, patch: Patch<ProjectFields> = {}, at?: number): TilkeeProject {
    return this.put('project', { ...this.#must('project', id), updated_at: this.stamp(at), ...patch });
  }

  touchItem(id: number, patch: Patch<ItemFields> = {}, at?: number): TilkeeItem {
    return this.put('item', { ...this.#must('item', id), updated_at: this.stamp(at), ...patch });
  }

  touchUser(id: number, patch: Patch<UserFields> = {}, at?: number): TilkeeUser {
    return this.put('user', { ...this.#must('user', id), updated_at: this.stamp(at), ...patch });
  }

  /** No time moves. */
  touchToken(id: number, patch: Patch<Omit<TokenFields, 'project_id'>>): TilkeeToken {
    return this.put('token', { ...this.#must('token', id), ...patch });
  }

  /** No time moves. */
  touchVisit(id: number, patch: Patch<Omit<VisitFields, 'token_id'>>): TilkeeVisit {
    return this.put('connexion', { ...this.#must('connexion', id), ...patch });
  }

  archiveProject(id: number, at?: number): TilkeeProject {
    const time = this.stamp(at);
    return this.touchProject(id, { archived_at: time }, time);
  }

  archiveToken(id: number, at?: number): TilkeeToken {
    return this.touchToken(id, { archived_at: this.stamp(at) });
  }

  restoreToken(id: number): TilkeeToken {
    return this.touchToken(id, { archived_at: null });
  }

  /** Reading goes on: the counters of the visit grow, and with them those of its link and project. An ended visit stays as it is. */
  growVisit(id: number): TilkeeVisit {
    const visit = this.#must('connexion', id);
    if (!visit.is_open) return visit;
    return this.touchVisit(id, {
      total_time: visit.total_time + this.#random.int(1_000, 60_000),
      percentage_read: Math.min(100, visit.percentage_read + this.#random.int(0, 15)),
      downloaded: visit.downloaded || this.#random.chance(0.05),
    });
  }

  endVisit(id: number): TilkeeVisit {
    return this.touchVisit(id, { is_open: false });
  }

  /** Each changes the content of one row that exists. No `created_at` moves; an `updated_at` does where the kind has one. */
  randomEdits(count: number): void {
    for (let done = 0; done < count; done++) editSomething(this, this.#random);
  }

  /** What a day at work brings: visits begin and grow, links are made, rows edited. */
  liveChanges(count: number): void {
    for (let done = 0; done < count; done++) liveChange(this, this.#random);
  }

  /** Each row exactly as a list gives it under the present switches (V3 with `expand` of owner, tags and data), in the order of `all`. */
  listable(): TilkeeListable {
    return listableRows(this);
  }

  /** The oldest row of each kind, which `rowWithoutId` deprives of its id. */
  isOldest(kind: TilkeeKind, doc: { _id: string }): boolean {
    return this.collections[kind].sorted('_created', 1)[0]?.doc._id === doc._id;
  }

  /** Sorts and sums now, so that a benchmark measures its client and not this server's first answers. */
  warm(): void {
    for (const collection of Object.values(this.collections)) collection.sorted('_created', -1);
    for (const { id } of this.all('project')) this.#stats.ofProject(id);
    for (const { id } of this.all('token')) this.#stats.ofToken(id);
  }

  put<K extends TilkeeKind>(kind: K, fields: TilkeeFields[K]): TilkeeDocument<K> {
    const doc = { ...fields, ...sortKeysOf(fields) };
    const before = this.get(kind, fields.id);
    this.changes++;
    if (before && 'item_ids' in before) {
      for (const itemId of before.item_ids) this.#projectsWith.delete(itemId, before.id);
    }
    this.collections[kind].put(doc);
    if ('token_id' in doc) this.#visitsOf.add(doc.token_id, doc.id);
    if ('project_id' in doc) this.#tokensOf.add(doc.project_id, doc.id);
    if ('item_ids' in doc) for (const itemId of doc.item_ids) this.#projectsWith.add(itemId, doc.id);
    this.#forgetStats(doc);
    return doc;
  }

  #takeOut(project: TilkeeProject, itemId: number): void {
    this.put('project', { ...project, item_ids: project.item_ids.filter((id) => id !== itemId) });
  }

  #forgetStats(doc: TilkeeFields[TilkeeKind]): void {
    if ('token_id' in doc) this.#stats.forget(this.get('token', doc.token_id)?.project_id, doc.token_id);
    else if ('project_id' in doc) this.#stats.forget(doc.project_id, doc.id);
  }

  #newestProject(): TilkeeProject {
    const entries = this.collections.project.sorted('_created', -1);
    const inUse = entries.find(({ doc }) => !doc.is_template && doc.archived_at === null);
    return inUse?.doc ?? this.addProject();
  }

  #must<K extends TilkeeKind>(kind: K, id: number): TilkeeDocument<K> {
    const doc = this.get(kind, id);
    if (!doc) throw new Error(`The sandbox has no ${kind} ${id}`);
    return doc;
  }
}
