import type { Stream } from '../../stream.ts';
import { redactTilkee } from '../privacy.ts';
import { USER_FIELDS } from './fields.ts';
import { createReader, listOf, noteOnReading } from './lists.ts';
import type { TilkeeStreamParts } from './parts.ts';
import { mapUser, USERS } from './rows/user.ts';

/** Users: the colleagues of the company, V2 only. No request for one user is known, so a second walk confirms deletions. */
export function createUsersStream(parts: TilkeeStreamParts): Stream {
  return {
    name: 'tilkee.users',
    table: USERS,
    fields: USER_FIELDS,
    redactRecord: (record) => redactTilkee(record, parts.privacy),
    mapRecord: mapUser,
    async planLists(context) {
      noteOnReading(context);
      const reader = createReader(parts, context);
      return [listOf({ id: 'all', place: { api: 'v2', path: '/users' }, reader, context, holdsAll: true })];
    },
    deletions: {},
  };
}
