import { RecordError } from '../../errors.ts';
import type { Row, Stream, TableSpec } from '../../stream.ts';
import { createSnapshotWalk } from '../../walks/snapshot.ts';
import { asBoolean, asId, asInteger, asJson, asText, asTexts, asTime, isObject } from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import { PROJECT_USER_FIELDS } from './fields.ts';
import { existsById, readArray } from './lists.ts';
import type { TiledeskStreamParts } from './parts.ts';

/** Members of the project (teammates), removed ones included. One answer, no pages. */
const TABLE: TableSpec = {
  schema: 'tiledesk',
  name: 'project_users',
  columns: {
    id_user: 'text',
    firstname: 'text',
    lastname: 'text',
    email: 'text',
    uuid_user: 'text',
    role: 'text',
    role_type: 'integer',
    user_available: 'boolean',
    profile_status: 'text',
    presence: 'jsonb',
    max_assigned_chat: 'integer',
    number_assigned_requests: 'integer',
    last_login_at: 'timestamptz',
    tags: 'jsonb',
    permissions: 'text[]',
    status: 'text',
    trashed: 'boolean',
    is_authenticated: 'boolean',
    is_busy: 'boolean',
    id_project: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapProjectUser(record: unknown): Row {
  const id = isObject(record) ? asId(record._id) : null;
  if (!isObject(record) || id === null) {
    throw new RecordError('no_id', 'a project user without _id', { recordId: null });
  }
  // A user object, an id, or absent (guests).
  const user = isObject(record.id_user) ? record.id_user : {};
  return {
    id,
    id_user: asId(record.id_user),
    firstname: asText(user.firstname),
    lastname: asText(user.lastname),
    email: asText(user.email),
    uuid_user: asText(record.uuid_user),
    role: asText(record.role),
    role_type: asInteger(record.roleType),
    user_available: asBoolean(record.user_available),
    profile_status: asText(record.profileStatus),
    presence: asJson(record.presence),
    max_assigned_chat: asInteger(record.max_assigned_chat),
    number_assigned_requests: asInteger(record.number_assigned_requests),
    last_login_at: asTime(record.last_login_at),
    tags: asJson(record.tags),
    permissions: asTexts(record.permissions),
    status: asText(record.status),
    trashed: asBoolean(record.trashed),
    is_authenticated: asBoolean(record.isAuthenticated),
    is_busy: asBoolean(record.isBusy),
    id_project: asId(record.id_project),
    created_by: asText(record.createdBy),
    created_at: asTime(record.createdAt),
    updated_at: asTime(record.updatedAt),
    deleted_at: null,
    raw: record,
  };
}

export function createProjectUsersStream({ api, privacy }: TiledeskStreamParts): Stream {
  return {
    name: 'tiledesk.project_users',
    table: TABLE,
    fields: PROJECT_USER_FIELDS,
    redactRecord: (record) => redactTiledesk(record, privacy),
    mapRecord: mapProjectUser,
    // A bare array without a count: see departments.
    deletions: { exists: ({ id }, options) => existsById(api, 'project_users', id, options) },
    planLists: async () => [
      {
        id: 'all',
        holdsAll: true,
        walk: createSnapshotWalk(),
        fetchPage: async (_query, options) =>
          readArray(await api.get('project_users', new URLSearchParams({ trashed: 'true' }), options), 'project users'),
      },
    ],
  };
}
