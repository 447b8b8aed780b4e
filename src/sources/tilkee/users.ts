import type { Stream } from '../../stream.ts';
import { createReader, noteOnReading } from './lists.ts';
import { redacted, type TilkeeStreamParts } from './parts.ts';
import { USERS } from './rows.ts';

/** The colleagues, V2 only. No request for one user is known, so a second walk confirms deletions. */
export function createUsersStream(parts: TilkeeStreamParts): Stream {
  return {
    ...redacted(USERS, parts),
    async planLists(context) {
      noteOnReading(context);
      return [createReader(parts, context).list({ id: 'all', address: { api: 'v2', path: '/users' }, holdsAll: true })];
    },
    deletions: {},
  };
}
