/** Writes months of history into an empty account: who made what when, which links were opened, what was archived. */
import { type Random, tied } from './random.ts';
import {
  createItem,
  createProject,
  createToken,
  createUser,
  createVisit,
  type LinkedLead,
  type TilkeeItem,
  type TilkeeProject,
  type TilkeeToken,
} from './tilkee-create.ts';
import type { TilkeeData } from './tilkee-data.ts';

export interface TilkeePlan {
  readonly projects: number;
  readonly items: number;
  readonly tokens: number;
  readonly visits: number;
  readonly users: number;
  readonly months: number;
  readonly username: string;
  /** Leads (of a Tiledesk sandbox), some of whom received links: a link's external_id or name then matches a lead. */
  readonly leads: readonly LinkedLead[];
}

interface Story {
  readonly data: TilkeeData;
  readonly random: Random;
  readonly plan: TilkeePlan;
  readonly from: number;
  readonly to: number;
}

const hour = 3600_000;
const day = 24 * hour;

export function writeTilkeeHistory(data: TilkeeData, random: Random, to: number, plan: TilkeePlan): number {
  const story: Story = { data, random, plan, from: to - plan.months * 30.4 * day, to };
  const userIds = writeUsers(story);
  const items = tied(random.moments(plan.items, story.from, to), isTied).map((at) => {
    const item = createItem(random, { id: data.nextId('item'), at, ownerId: random.pick(userIds) });
    return data.put('item', clamped(item, to));
  });
  const projects = writeProjects(story, userIds, items);
  const tokens = writeTokens(story, projects);
  writeVisits(story, tokens);
  archiveSome(story, projects, tokens);
  return userIds[0] as number;
}

/** Now and then two share a millisecond, and once three. */
const isTied = (index: number): boolean => index % 37 === 5 || index % 37 === 6;

const clamped = <F extends { updated_at: number }>(fields: F, to: number): F => ({
  ...fields,
  updated_at: Math.min(fields.updated_at, to),
});

function writeUsers({ data, random, plan, from, to }: Story): number[] {
  const { users, username } = plan;
  return Array.from({ length: Math.max(1, users) }, (_, index) => {
    const user = createUser(random, { id: data.nextId('user'), at: Math.floor(from) - (users - index) * 30 * day });
    const names = { first_name: 'Mirror', last_name: 'Account', email: username };
    const main = index === 0 && { ...names, is_owner: true, level_id: 1 };
    const hasLeft = index > 1 && index === users - 1;
    const left = hasLeft && { deleted_at: to - 3 * day, updated_at: to - 3 * day };
    return data.put('user', { ...user, ...main, ...left }).id;
  });
}

function writeProjects(
  { data, random, plan, from, to }: Story,
  userIds: readonly number[],
  items: readonly TilkeeItem[],
): TilkeeProject[] {
  let known = 0;
  return tied(random.moments(plan.projects, from, to - hour), isTied).map((at) => {
    while (known < items.length && (items[known] as TilkeeItem).created_at <= at) known++;
    const placed = Array.from({ length: Math.min(known, random.int(1, 5)) }, () => items[random.int(0, known - 1)]?.id);
    const itemIds = [...new Set(placed.filter((id) => id !== undefined))];
    const fresh = { id: data.nextId('project'), at, ownerId: random.pick(userIds), itemIds };
    const sharedWith = random.chance(0.2) ? [random.pick(userIds)] : [];
    return data.put('project', clamped(createProject(random, { ...fresh, sharedWith }), to));
  });
}

interface Draft<P> {
  readonly parent: P;
  at: number;
}

/** Each younger than its parent. Ties only backwards in time and only by a little, so that it stays so. */
function draftChildren<P extends { readonly created_at: number }>(count: number, create: () => Draft<P>): Draft<P>[] {
  const drafts = Array.from({ length: count }, create).sort((a, b) => a.at - b.at);
  for (const [index, draft] of drafts.entries()) {
    const before = drafts[index - 1];
    if (before && index % 37 === 5 && before.at >= draft.parent.created_at) draft.at = before.at;
  }
  return drafts;
}

function chooseProject(random: Random, projects: readonly TilkeeProject[]): TilkeeProject {
  const share = random.chance(0.2) ? random.next() ** 4 : random.next();
  return projects[Math.floor(share * projects.length)] as TilkeeProject;
}

function writeTokens({ data, random, plan, to }: Story, allProjects: readonly TilkeeProject[]): TilkeeToken[] {
  const projects = allProjects.filter((project) => !project.is_template);
  if (projects.length === 0) return [];
  const drafts = draftChildren(plan.tokens, () => {
    const parent = chooseProject(random, projects);
    return { parent, at: Math.floor(parent.created_at + random.next() * (to - parent.created_at)) };
  });
  return drafts.map(({ parent, at }) => {
    const lead = plan.leads.length > 0 && random.chance(0.6) ? random.pick(plan.leads) : undefined;
    const fresh = { id: data.nextId('token'), at, projectId: parent.id, creatorId: parent.owner_id, lead };
    return data.put('token', createToken(random, fresh));
  });
}

function writeVisits({ data, random, plan, to }: Story, tokens: readonly TilkeeToken[]): void {
  const opened = tokens.filter((_, index) => index % 10 < 7);
  if (opened.length === 0) return;
  const drafts = draftChildren(plan.visits, () => {
    const parent = random.pick(opened);
    return { parent, at: Math.floor(parent.created_at + random.next() ** 2 * (to - parent.created_at)) };
  });
  for (const { parent, at } of drafts) {
    const itemIds = data.get('project', parent.project_id)?.item_ids ?? [];
    const fresh = { id: data.nextId('connexion'), at, tokenId: parent.id, itemIds, isOpen: to - at < hour };
    data.put('connexion', createVisit(random, fresh));
  }
}

function archiveSome(
  { data, random, to }: Story,
  projects: readonly TilkeeProject[],
  tokens: readonly TilkeeToken[],
): void {
  for (const [index, project] of projects.entries()) {
    if (project.is_template || index % 11 !== 7) continue;
    const at = random.int(project.updated_at, to);
    data.put('project', { ...project, archived_at: at, updated_at: at });
  }
  for (const [index, token] of tokens.entries()) {
    if (index % 13 === 4) data.put('token', { ...token, archived_at: random.int(token.created_at, to) });
  }
}
