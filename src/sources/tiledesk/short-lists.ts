import type { FetchOptions, ListPage, Stream } from '../../stream.ts';
import { createSnapshotWalk } from '../../walks/snapshot.ts';
import {
  anything,
  flag,
  id,
  ids,
  integer,
  list,
  number,
  object,
  type RecordTable,
  reference,
  text,
  texts,
  time,
} from '../record-table.ts';
import { existsById, fetchArray } from './lists.ts';
import { readPagedArray } from './paged-array.ts';
import { redacted, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/** Lists that are read whole at once: bare arrays without a count, so a cut one looks like a deletion. */

export const DEPARTMENTS = tiledeskTable('departments', {
  name: text(),
  description: text(),
  routing: text(),
  is_default: flag('default'),
  status: integer(),
  id_bot: id(),
  has_bot: flag('hasBot'),
  bot_only: flag(),
  id_group: id(),
  groups: list(),
  online_msg: text(),
  offline_msg: text(),
  tags: list(),
});

export const PROJECT_USERS = tiledeskTable(
  'project_users',
  {
    // A user object, an id, or absent (guests).
    id_user: reference(),
    firstname: text('id_user.firstname'),
    lastname: text('id_user.lastname'),
    email: text('id_user.email'),
    uuid_user: text(),
    role: text(),
    role_type: integer('roleType'),
    user_available: flag(),
    profile_status: text('profileStatus'),
    presence: object(),
    max_assigned_chat: integer(),
    number_assigned_requests: integer(),
    last_login_at: time(),
    tags: list(),
    permissions: texts(),
    status: text(),
    trashed: flag(),
    is_authenticated: flag('isAuthenticated'),
    is_busy: flag('isBusy'),
    id_project: reference(),
  },
  { known: { string: 'last_ip id_user id_project', object: 'id_user id_project', anything: 'attributes settings' } },
);

export const BOTS = tiledeskTable(
  'bots',
  {
    name: text(),
    slug: text(),
    description: text(),
    type: text(),
    language: text(),
    intents_engine: text('intentsEngine'),
    webhook_enabled: flag(),
    trained: flag(),
    score: number(),
    public: flag(),
    certified: flag(),
    tags: texts(),
    certified_tags: texts('certifiedTags'),
    trashed: flag(),
    agents_available: flag(),
  },
  { known: { string: 'subtype url webhook_url', anything: 'attributes' } },
);

export const GROUPS = tiledeskTable('groups', {
  name: text(),
  members: ids(),
  enabled: flag(),
  trashed: flag(),
  attributes: anything(),
});

export const TAGS = tiledeskTable('tags', { tag: text(), color: text(), attributes: anything() });

interface ShortList {
  readonly path: string;
  /** Where one object is asked for by its id. Absent: a second walk confirms deletions. */
  readonly askedAt?: string;
  readonly fetchAll?: (api: TiledeskStreamParts['api'], path: string, options: FetchOptions) => Promise<ListPage>;
}

function shortList(table: RecordTable, { path, askedAt, fetchAll = fetchArray }: ShortList) {
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
