import type { Stream } from '../../stream.ts';
import { flag, integer, list, object, reference, text, texts, time } from '../record-table.ts';
import { existsById, fetchArray } from './lists.ts';
import { snapshotStream, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/** Members of the project (teammates), removed ones included. One answer, no pages. */
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

export function createProjectUsersStream(parts: TiledeskStreamParts): Stream {
  return snapshotStream(PROJECT_USERS, parts, {
    fetchAll: (options) => fetchArray(parts.api, 'project_users?trashed=true', options),
    // A bare array without a count: see departments.
    deletions: { exists: (row, options) => existsById(parts.api, 'project_users', row.id, options) },
  });
}
