import type { StoredDocument } from './collection.ts';
import { Random } from './random.ts';
import { type Department, IdFactory, iso, type ProjectUser, type User } from './tiledesk-documents.ts';

export interface SandboxAccount {
  readonly email: string;
  readonly password: string;
  readonly userId: string;
  readonly role: string | null;
  readonly isSuperAdmin: boolean;
}

export interface TeamOptions {
  readonly seed: number;
  readonly projectId?: string;
  readonly email?: string;
  readonly password?: string;
  readonly role: string;
}

/** `status`: of the user; default 100. */
type Particulars = Readonly<{ status?: number; member?: Partial<ProjectUser>; hasNoUser?: boolean }>;
type Person = readonly [email: string, firstname: string, lastname: string, role: string | null, more?: Particulars];

const staff: readonly Person[] = [
  ['olga@example.com', 'Olga', 'Owner', 'owner'],
  ['admin-member@example.com', 'Adam', 'Admin', 'admin'],
  ['supervisor@example.com', 'Sue', 'Supervisor', 'supervisor'],
  ['teammate@example.com', 'Tea', 'Mate', 'teammate'],
  ['agent1@example.com', 'Andy', 'Agent', 'agent'],
  ['agent2@example.com', 'Zoë', 'Ägent', 'agent'],
  ['agent3@example.com', '美咲', '佐藤', 'agent'],
  ['disabled-member@example.com', 'Dis', 'Abled', 'agent', { member: { status: 'disabled' } }],
  ['left@example.com', 'Les', 'Left', 'agent', { member: { trashed: true } }],
  ['gone@example.com', 'Gus', 'Gone', 'agent', { hasNoUser: true }],
  ['outsider@example.com', 'Otto', 'Outsider', null],
  ['blocked@example.com', 'Bea', 'Blocked', 'agent', { status: 0 }],
  ['admin@tiledesk.com', 'Super', 'Admin', null],
];

/** Ids of the project and its people must not depend on the clock, so their time part is fixed. */
const fixedSecond = Date.UTC(2025, 0, 1);

export type Team = ReturnType<typeof createTeam>;

export function createTeam(options: TeamOptions, foundedAt: number) {
  const random = new Random(options.seed ^ 0x7ea3);
  const ids = new IdFactory(random);
  const newId = (): string => ids.next(fixedSecond);
  const projectId = options.projectId ?? newId();
  const password = options.password ?? `made-up-${random.hex(12)}`;
  const at = iso(foundedAt);
  const stamps = { createdAt: at, updatedAt: at, __v: 0 };
  const main: Person = [(options.email ?? 'owner@example.com').toLowerCase(), 'Mira', 'Mirror', options.role];
  const users = new Map<string, User>();
  const accounts: SandboxAccount[] = [];
  const projectUsers: ProjectUser[] = [];
  const ownerId = newId();
  const own = { id_project: projectId, createdBy: ownerId, ...stamps };
  for (const person of [main, ...staff]) {
    const [email, firstname, lastname, role, { status = 100, member, hasNoUser = false } = {}] = person;
    const userId = person === main ? ownerId : newId();
    if (!hasNoUser) {
      users.set(userId, { status, _id: userId, email, firstname, lastname, emailverified: false, ...stamps });
      accounts.push({ email, password, userId, role, isSuperAdmin: email === 'admin@tiledesk.com' });
    }
    if (role === null) continue;
    const assigned = { number_assigned_requests: random.int(0, 9), last_login_at: at, isAuthenticated: true };
    const user = hasNoUser ? {} : { id_user: userId };
    projectUsers.push(createMember(newId(), { ...own, ...assigned, ...user, role, roleType: 1, ...member }));
  }
  const botId = newId();
  return {
    projectId,
    project: createProject(projectId, ownerId, stamps),
    accounts,
    users,
    projectUsers,
    bots: [createBot(botId, own)],
    departments: createDepartments(newId, botId).map((one): Department => ({ ...one, ...own })),
    groups: [
      { members: [], enabled: true, _id: newId(), name: 'Made-up group', trashed: false, ...own },
    ] as StoredDocument[],
    tags: ['billing', 'delivery', 'bug'].map(
      (tag): StoredDocument => ({ _id: newId(), tag, color: '#ff0000', ...own }),
    ),
    agentIds: accounts
      .filter(({ role, userId }) => role === 'agent' && users.get(userId)?.status === 100)
      .map(({ userId }) => userId),
  };
}

type MemberFields = Pick<ProjectUser, 'role' | 'roleType'> & Readonly<Record<string, unknown>>;

const createMember = (id: string, fields: MemberFields): ProjectUser => ({
  user_available: true,
  number_assigned_requests: 0,
  permissions: [],
  status: 'active',
  trashed: false,
  tags: [],
  _id: id,
  id,
  ...fields,
});

/** The member that the server makes for a visitor without an account. */
export function createGuest(options: { id: string; uuid: string; projectId: string; at: string }): ProjectUser {
  const { id, uuid, projectId, at } = options;
  const stamps = { last_login_at: at, createdAt: at, updatedAt: at, __v: 0 };
  const guest = { uuid_user: uuid, createdBy: uuid, role: 'guest', roleType: 2, isAuthenticated: false };
  return createMember(id, { id_project: projectId, ...guest, ...stamps });
}

const createBot = (id: string, own: object): StoredDocument => ({
  webhook_enabled: false,
  type: 'internal',
  language: 'en',
  public: false,
  certified: false,
  intentsEngine: 'none',
  tags: [],
  score: 0,
  trained: true,
  certifiedTags: [],
  _id: id,
  name: 'Made-up bot',
  slug: 'made-up-bot',
  trashed: false,
  agents_available: false,
  ...own,
});

function createDepartments(newId: () => string, botId: string) {
  const departments = [
    { name: 'Default Department', status: 1, default: true },
    { name: 'Sales', status: 1, description: 'Quotes and orders', id_group: newId() },
    { name: 'Après-vente', status: 1, id_bot: botId, bot_only: false, online_msg: 'Salut 👋' },
    { name: 'Hidden', status: 0 },
    { name: 'Archived', status: -1 },
  ];
  return departments.map((fields) => {
    const id = newId();
    const lists = { groups: [], tags: [] };
    return { routing: 'assigned', default: false, _id: id, id, ...lists, ...fields, hasBot: 'id_bot' in fields };
  });
}

const createProject = (id: string, ownerId: string, stamps: object): StoredDocument => ({
  status: 100,
  ipFilterEnabled: false,
  ipFilter: [],
  ipFilterDenyEnabled: false,
  ipFilterDeny: [],
  _id: id,
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
  id,
});
