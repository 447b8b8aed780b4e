/**
 * The documents of the simulated project, as the database holds them: ids and dates already in their JSON form. Builders only;
 * which documents exist is decided in tiledesk-history.ts, how they change in tiledesk-data.ts.
 */
import type { StoredDocument } from './collection.ts';
import { Random } from './random.ts';

export interface Lead extends StoredDocument {
  readonly status?: number;
  readonly lead_id?: string;
  readonly fullname?: string;
  readonly email?: string;
  /** Absent on the stub that a write to an unknown id leaves behind. */
  readonly id_project?: string;
  readonly createdAt?: string;
  readonly updatedAt?: string;
}

export interface Request extends StoredDocument {
  readonly request_id: string;
  readonly status: number;
  readonly id_project?: string;
  readonly lead?: string;
  readonly requester?: string;
  readonly department?: string;
  readonly participants: readonly string[];
  readonly createdAt?: string;
  readonly updatedAt?: string;
}

export interface User extends StoredDocument {
  readonly status: number;
  readonly email: string;
  readonly firstname: string;
  readonly lastname: string;
}

export interface Department extends StoredDocument {
  readonly name: string;
  readonly status: number;
}

export interface ProjectUser extends StoredDocument {
  /** Id of the user; absent for guests and for members whose user is gone. */
  readonly id_user?: string;
  readonly uuid_user?: string;
  readonly role: string;
  readonly roleType: number;
  readonly trashed: boolean;
}

/** Someone who can sign in to the sandbox. */
export interface Account {
  readonly email: string;
  readonly password: string;
  readonly userId: string;
  /** Role in the project; null for somebody who is not a member. */
  readonly role: string | null;
  readonly isSuperAdmin: boolean;
}

export const iso = (at: number): string => new Date(at).toISOString();

/** Mongo-like ids: the creation second, five bytes for the process, a counter. */
export class IdFactory {
  #process: string;
  #counter: number;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
    this.#process = random.hex(10);
    this.#counter = random.int(0, 0x7fffff);
  }

  next(at: number): string {
    this.#counter = (this.#counter + 1) & 0xffffff;
    const second = (Math.floor(at / 1000) >>> 0).toString(16).padStart(8, '0');
    return second + this.#process + this.#counter.toString(16).padStart(6, '0');
  }

  /** A server restart: the middle part changes, so within one second ids do not follow creation order. */
  restart(): void {
    this.#process = this.#random.hex(10);
  }
}

/** What the rest of the sandbox refers to: who works here, in which departments. */
export interface Team {
  readonly projectId: string;
  readonly project: StoredDocument;
  readonly accounts: readonly Account[];
  readonly users: Map<string, User>;
  readonly departments: Department[];
  readonly projectUsers: ProjectUser[];
  readonly bots: StoredDocument[];
  readonly groups: StoredDocument[];
  readonly tags: StoredDocument[];
  /** User ids of those who take conversations. */
  readonly agentIds: readonly string[];
}

export interface TeamOptions {
  readonly seed: number;
  readonly foundedAt: number;
  readonly projectId?: string;
  readonly email?: string;
  readonly password?: string;
  readonly role: string;
}

interface Person {
  readonly email: string;
  readonly firstname: string;
  readonly lastname: string;
  readonly role: string | null;
  readonly status?: number;
  readonly member?: Partial<ProjectUser>;
  readonly hasNoUser?: boolean;
}

const staff: readonly Person[] = [
  { email: 'olga@example.com', firstname: 'Olga', lastname: 'Owner', role: 'owner' },
  { email: 'admin-member@example.com', firstname: 'Adam', lastname: 'Admin', role: 'admin' },
  { email: 'supervisor@example.com', firstname: 'Sue', lastname: 'Supervisor', role: 'supervisor' },
  { email: 'teammate@example.com', firstname: 'Tea', lastname: 'Mate', role: 'teammate' },
  { email: 'agent1@example.com', firstname: 'Andy', lastname: 'Agent', role: 'agent' },
  { email: 'agent2@example.com', firstname: 'Zoë', lastname: 'Ägent', role: 'agent' },
  { email: 'agent3@example.com', firstname: '美咲', lastname: '佐藤', role: 'agent' },
  {
    email: 'disabled-member@example.com',
    firstname: 'Dis',
    lastname: 'Abled',
    role: 'agent',
    member: { status: 'disabled' },
  },
  { email: 'left@example.com', firstname: 'Les', lastname: 'Left', role: 'agent', member: { trashed: true } },
  { email: 'gone@example.com', firstname: 'Gus', lastname: 'Gone', role: 'agent', hasNoUser: true },
  { email: 'outsider@example.com', firstname: 'Otto', lastname: 'Outsider', role: null },
  { email: 'blocked@example.com', firstname: 'Bea', lastname: 'Blocked', role: 'agent', status: 0 },
  { email: 'admin@tiledesk.com', firstname: 'Super', lastname: 'Admin', role: null },
];

/** Ids of the project and its people must not depend on the clock, so their time part is fixed. */
const fixedSecond = Date.UTC(2025, 0, 1);

export function createTeam(options: TeamOptions): Team {
  const random = new Random(options.seed ^ 0x7ea3);
  const ids = new IdFactory(random);
  const newId = (): string => ids.next(fixedSecond);
  const projectId = options.projectId ?? newId();
  const password = options.password ?? `made-up-${random.hex(12)}`;
  const at = iso(options.foundedAt);
  const stamps = { createdAt: at, updatedAt: at, __v: 0 };
  const main: Person = {
    email: (options.email ?? 'owner@example.com').toLowerCase(),
    firstname: 'Mira',
    lastname: 'Mirror',
    role: options.role,
  };
  const users = new Map<string, User>();
  const accounts: Account[] = [];
  const projectUsers: ProjectUser[] = [];
  const ownerId = newId();
  for (const person of [main, ...staff]) {
    const { email, firstname, lastname, role } = person;
    const userId = person === main ? ownerId : newId();
    if (!person.hasNoUser) {
      const status = person.status ?? 100;
      users.set(userId, { status, _id: userId, email, firstname, lastname, emailverified: false, ...stamps });
      accounts.push({ email, password, userId, role, isSuperAdmin: email === 'admin@tiledesk.com' });
    }
    if (role === null) continue;
    const id = newId();
    projectUsers.push({
      user_available: true,
      number_assigned_requests: random.int(0, 9),
      last_login_at: at,
      permissions: [],
      status: 'active',
      trashed: false,
      _id: id,
      id_project: projectId,
      ...(person.hasNoUser ? {} : { id_user: userId }),
      role,
      roleType: 1,
      createdBy: ownerId,
      tags: [],
      ...stamps,
      isAuthenticated: true,
      id,
      ...person.member,
    });
  }
  const own = { id_project: projectId, createdBy: ownerId, ...stamps };
  const bot = { webhook_enabled: false, type: 'internal', language: 'en', public: false, certified: false };
  const botId = newId();
  const bots = [
    {
      ...bot,
      intentsEngine: 'none',
      tags: [],
      score: 0,
      trained: true,
      certifiedTags: [],
      _id: botId,
      name: 'Made-up bot',
      slug: 'made-up-bot',
      trashed: false,
      agents_available: false,
      ...own,
    },
  ];
  const departments = [
    { name: 'Default Department', status: 1, default: true },
    { name: 'Sales', status: 1, description: 'Quotes and orders', id_group: newId() },
    { name: 'Après-vente', status: 1, id_bot: botId, bot_only: false, online_msg: 'Salut 👋' },
    { name: 'Hidden', status: 0 },
    { name: 'Archived', status: -1 },
  ].map((fields): Department => {
    const id = newId();
    const hasBot = fields.id_bot !== undefined;
    return { routing: 'assigned', default: false, _id: id, ...own, groups: [], tags: [], ...fields, hasBot, id };
  });
  const project = {
    status: 100,
    ipFilterEnabled: false,
    ipFilter: [],
    ipFilterDenyEnabled: false,
    ipFilterDeny: [],
    _id: projectId,
    name: 'Made-up Shop',
    activeOperatingHours: false,
    createdBy: ownerId,
    profile: { trialDays: 14, name: 'Sandbox', agents: 0, type: 'free' },
    versions: 20115,
    channels: [{ name: 'chat21' }],
    bannedUsers: [],
    ...stamps,
    trialExpired: false,
    trialDaysLeft: -14,
    isActiveSubscription: false,
    id: projectId,
  };
  return {
    projectId,
    project,
    accounts,
    users,
    departments,
    projectUsers,
    bots,
    groups: [{ members: [], enabled: true, _id: newId(), name: 'Made-up group', trashed: false, ...own }],
    tags: ['billing', 'delivery', 'bug'].map((tag) => ({ _id: newId(), tag, color: '#ff0000', ...own })),
    agentIds: accounts
      .filter((one) => one.role === 'agent' && users.get(one.userId)?.status === 100)
      .map((one) => one.userId),
  };
}

/** The member that the server makes for a visitor without an account. */
export function createGuest(options: { id: string; uuid: string; projectId: string; at: string }): ProjectUser {
  const { id, uuid, projectId, at } = options;
  return {
    user_available: true,
    number_assigned_requests: 0,
    last_login_at: at,
    permissions: [],
    status: 'active',
    trashed: false,
    _id: id,
    id_project: projectId,
    uuid_user: uuid,
    role: 'guest',
    roleType: 2,
    createdBy: uuid,
    tags: [],
    createdAt: at,
    updatedAt: at,
    __v: 0,
    isAuthenticated: false,
    id,
  };
}
