/** Writes months of history into an empty account: who made what when, which links were opened, what was archived. */
import type { Random } from './random.ts';
import { createItem, createProject, createToken, createUser, createVisit, type LinkedLead } from './tilkee-create.ts';
import type { TilkeeData } from './tilkee-data.ts';
import type { TilkeeItem, TilkeeProject, TilkeeToken } from './tilkee-documents.ts';

export interface TilkeePlan {
  readonly projects: number;
  readonly items: number;
  readonly tokens: number;
  readonly visits: number;
  readonly users: number;
  readonly months: number;
  /** End of the history. */
  readonly to: number;
  readonly username: string;
  readonly leads: readonly LinkedLead[];
  readonly random: Random;
}

const hour = 3600_000;
const day = 24 * hour;

interface Span {
  readonly from: number;
  readonly to: number;
}

/** Ascending moments; now and then two share a millisecond, and once three. */
function tied(times: number[]): number[] {
  times.sort((a, b) => a - b);
  for (let place = 1; place < times.length; place++) {
    if (place % 37 === 5 || place % 37 === 6) times[place] = times[place - 1] as number;
  }
  return times;
}

function spread(random: Random, count: number, { from, to }: Span): number[] {
  return tied(Array.from({ length: count }, () => Math.floor(from + random.next() * (to - from))));
}

/** The id of the user who signs in. */
export function writeTilkeeHistory(data: TilkeeData, plan: TilkeePlan): number {
  const { random, to } = plan;
  const span = { from: to - plan.months * 30.4 * day, to };
  const userIds = writeUsers(data, plan, span);
  const itemTimes = spread(random, plan.items, span);
  const items = itemTimes.map((at) =>
    data.put('item', clamped(createItem(random, { id: data.nextId('item'), at, ownerId: random.pick(userIds) }), to)),
  );
  const projects = writeProjects(data, plan, { span, userIds, items });
  const tokens = writeTokens(data, plan, projects);
  writeVisits(data, plan, tokens);
  archiveSome(data, plan, { projects, tokens });
  return userIds[0] as number;
}

const clamped = <F extends { updated_at: number }>(fields: F, to: number): F => ({
  ...fields,
  updated_at: Math.min(fields.updated_at, to),
});

function writeUsers(data: TilkeeData, { random, users, username, to }: TilkeePlan, { from }: Span): number[] {
  return Array.from({ length: Math.max(1, users) }, (_, place) => {
    const user = createUser(random, { id: data.nextId('user'), at: Math.floor(from) - (users - place) * 30 * day });
    const isMain = place === 0;
    const hasLeft = place > 1 && place === users - 1;
    const main = isMain && { email: username, is_owner: true, level_id: 1, first_name: 'Mirror', last_name: 'Account' };
    const left = hasLeft && { deleted_at: to - 3 * day, updated_at: to - 3 * day };
    return data.put('user', { ...user, ...main, ...left }).id;
  });
}

interface ProjectParts {
  readonly span: Span;
  readonly userIds: readonly number[];
  readonly items: readonly TilkeeItem[];
}

function writeProjects(data: TilkeeData, { random, ...plan }: TilkeePlan, parts: ProjectParts): TilkeeProject[] {
  const { span, userIds, items } = parts;
  let known = 0;
  return spread(random, plan.projects, { from: span.from, to: span.to - hour }).map((at) => {
    while (known < items.length && (items[known] as TilkeeItem).created_at <= at) known++;
    const placed = Array.from({ length: Math.min(known, random.int(1, 5)) }, () => items[random.int(0, known - 1)]?.id);
    const itemIds = [...new Set(placed.filter((id) => id !== undefined))];
    const fresh = { id: data.nextId('project'), at, ownerId: random.pick(userIds), itemIds };
    const sharedWith = random.chance(0.2) ? [random.pick(userIds)] : [];
    return data.put('project', clamped(createProject(random, { ...fresh, sharedWith }), span.to));
  });
}

/** A few projects were sent to many, most to a few. */
function chooseProject(random: Random, projects: readonly TilkeeProject[]): TilkeeProject {
  const share = random.chance(0.2) ? random.next() ** 4 : random.next();
  return projects[Math.floor(share * projects.length)] as TilkeeProject;
}

function writeTokens(data: TilkeeData, plan: TilkeePlan, allProjects: readonly TilkeeProject[]): TilkeeToken[] {
  const { random, to, leads } = plan;
  const projects = allProjects.filter((project) => !project.is_template);
  if (projects.length === 0) return [];
  const drafts = Array.from({ length: plan.tokens }, () => {
    const project = chooseProject(random, projects);
    return { project, at: Math.floor(project.created_at + random.next() * (to - project.created_at)) };
  }).sort((a, b) => a.at - b.at);
  // Ties only backwards in time and only by a little: a link stays younger than its project.
  for (const [place, draft] of drafts.entries()) {
    const before = drafts[place - 1];
    if (before && place % 37 === 5 && before.at >= draft.project.created_at) draft.at = before.at;
  }
  return drafts.map(({ project, at }) => {
    const lead = leads.length > 0 && random.chance(0.6) ? random.pick(leads) : undefined;
    const fresh = { id: data.nextId('token'), at, projectId: project.id, creatorId: project.owner_id, lead };
    return data.put('token', createToken(random, fresh));
  });
}

function writeVisits(data: TilkeeData, { random, to, ...plan }: TilkeePlan, tokens: readonly TilkeeToken[]): void {
  const opened = tokens.filter((_, place) => place % 10 < 7);
  if (opened.length === 0) return;
  const drafts = Array.from({ length: plan.visits }, () => {
    const token = random.pick(opened);
    return { token, at: Math.floor(token.created_at + random.next() ** 2 * (to - token.created_at)) };
  }).sort((a, b) => a.at - b.at);
  for (const [place, draft] of drafts.entries()) {
    const before = drafts[place - 1];
    if (before && place % 37 === 5 && before.at >= draft.token.created_at) draft.at = before.at;
    const itemIds = data.get('project', draft.token.project_id)?.item_ids ?? [];
    const fresh = { id: data.nextId('connexion'), at: draft.at, tokenId: draft.token.id, itemIds };
    data.put('connexion', createVisit(random, { ...fresh, isOpen: to - draft.at < hour }));
  }
}

interface Archivable {
  readonly projects: readonly TilkeeProject[];
  readonly tokens: readonly TilkeeToken[];
}

function archiveSome(data: TilkeeData, { random, to }: TilkeePlan, { projects, tokens }: Archivable): void {
  for (const [place, project] of projects.entries()) {
    if (project.is_template || place % 11 !== 7) continue;
    const at = random.int(project.updated_at, to);
    data.put('project', { ...project, archived_at: at, updated_at: at });
  }
  for (const [place, token] of tokens.entries()) {
    if (place % 13 === 4) data.put('token', { ...token, archived_at: random.int(token.created_at, to) });
  }
}
