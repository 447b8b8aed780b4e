import type { Stream } from '../../stream.ts';
import { createReader, listOf, noteOnReading } from './lists.ts';
import { redacted, type TilkeeStreamParts } from './parts.ts';
import { USERS } from './rows.ts';

/** Users: the colleagues of the company, V2 only. No request for one user is known, so a second walk confirms deletions. */
export function createUsersStream(parts: TilkeeStreamParts): Stream {
  return {
    ...redacted(USERS, parts),
    async planLists(context) {
      noteOnReading(context);
      const reader = createReader(parts, context);
      return [listOf({ id: 'all', place: { api: 'v2', path: '/users' }, reader, context, holdsAll: true })];
    },
    deletions: {},
  };
}
