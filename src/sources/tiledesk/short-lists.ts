import type { FetchOptions, ListPage, Stream } from '../../stream.ts';
import { createSnapshotWalk } from '../../walks/snapshot.ts';
import * as field from '../record-table.ts';
import { existsById, fetchArray } from './lists.ts';
import { readPagedArray } from './paged-array.ts';
import { redacted, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/** Lists that are read whole at once: bare arrays without a count, so a cut one looks like a deletion. */

export const DEPARTMENTS = tiledeskTable(
  'departments',
  {
    name: field.text(),
    description: field.text(),
    routing: field.text(),
    is_default: field.flag('default'),
    status: field.integer(),
    id_bot: field.id(),
    has_bot: field.flag('hasBot'),
    bot_only: field.flag(),
    id_group: field.id(),
    groups: field.list(),
    online_msg: field.text(),
    offline_msg: field.text(),
    tags: field.list(),
  },
  { impersonal: 'name routing id_bot id_group' },
);

export const PROJECT_USERS = tiledeskTable(
  'project_users',
  {
    // A user object, an id, or absent (guests).
    id_user: field.reference(),
    firstname: field.text('id_user.firstname'),
    lastname: field.text('id_user.lastname'),
    email: field.text('id_user.email'),
    uuid_user: field.text(),
    role: field.text(),
    role_type: field.integer('roleType'),
    user_available: field.flag(),
    profile_status: field.text('profileStatus'),
    presence: field.object(),
    max_assigned_chat: field.integer(),
    number_assigned_requests: field.integer(),
    last_login_at: field.time(),
    tags: field.list(),
    permissions: field.texts(),
    status: field.text(),
    trashed: field.flag(),
    is_authenticated: field.flag('isAuthenticated'),
    is_busy: field.flag('isBusy'),
    id_project: field.reference(),
  },
  {
    tracked: 'role user_available status',
    impersonal: 'profile_status',
    // Guests are members under their lead's key.
    personal: {
      kept: ['id_user', 'role', 'role_type', 'status', 'trashed'],
      refersTo: { uuid_user: 'tiledesk.leads' },
      links: ['uuid_user'],
      colleague: ['firstname', 'lastname'],
    },
    known: { string: 'last_ip id_user id_project', object: 'id_user id_project', anything: 'attributes settings' },
  },
);

export const BOTS = tiledeskTable(
  'bots',
  {
    name: field.text(),
    slug: field.text(),
    description: field.text(),
    type: field.text(),
    language: field.text(),
    intents_engine: field.text('intentsEngine'),
    webhook_enabled: field.flag(),
    trained: field.flag(),
    score: field.number(),
    public: field.flag(),
    certified: field.flag(),
    tags: field.texts(),
    certified_tags: field.texts('certifiedTags'),
    trashed: field.flag(),
    agents_available: field.flag(),
  },
  {
    impersonal: 'name slug type language intents_engine',
    known: { string: 'subtype url webhook_url', anything: 'attributes' },
  },
);

export const GROUPS = tiledeskTable(
  'groups',
  {
    name: field.text(),
    members: field.ids(),
    enabled: field.flag(),
    trashed: field.flag(),
    attributes: field.anything(),
  },
  { impersonal: 'name members' },
);

export const TAGS = tiledeskTable(
  'tags',
  { tag: field.text(), color: field.text(), attributes: field.anything() },
  { impersonal: 'tag color' },
);

interface ShortList {
  readonly path: string;
  /** Where one object is asked for by its id. Absent: a second walk confirms deletions. */
  readonly askedAt?: string;
  readonly fetchAll?: (api: TiledeskStreamParts['api'], path: string, options: FetchOptions) => Promise<ListPage>;
}

function shortList(table: field.RecordTable, { path, askedAt, fetchAll = fetchArray }: ShortList) {
  return (parts: TiledeskStreamParts): Stream => {
    const fetchPage = (_query: unknown, options: FetchOptions) => fetchAll(parts.api, path, options);
    return {
      ...redacted(table, parts),
      planLists: async () => [{ id: 'all', holdsAll: true, walk: createSnapshotWalk(), fetchPage }],
      deletions:
        askedAt === undefined ? {} : { exists: (row, options) => existsById(parts.api, askedAt, row.id, options) },
    };
  };
}

export const SHORT_LISTS = {
  // Hidden ones included.
  departments: shortList(DEPARTMENTS, { path: 'departments/allstatus', askedAt: 'departments' }),
  // Removed ones included.
  project_users: shortList(PROJECT_USERS, { path: 'project_users?trashed=true', askedAt: 'project_users' }),
  // Identity bots included. What the request for a single bot or group answers of a trashed one is not known.
  bots: shortList(BOTS, { path: 'bots?all=true' }),
  groups: shortList(GROUPS, { path: 'groups' }),
  // No request for one tag is known.
  tags: shortList(TAGS, { path: 'tags', fetchAll: readPagedArray }),
};
