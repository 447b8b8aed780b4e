import type { Stream } from '../../stream.ts';
import { anything, flag, ids, text } from '../record-table.ts';
import { fetchArray } from './lists.ts';
import { snapshotStream, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/** Groups of teammates that are not trashed. One answer, no pages. */
export const GROUPS = tiledeskTable('groups', {
  name: text(),
  members: ids(),
  enabled: flag(),
  trashed: flag(),
  attributes: anything(),
});

export function createGroupsStream(parts: TiledeskStreamParts): Stream {
  return snapshotStream(GROUPS, parts, {
    fetchAll: (options) => fetchArray(parts.api, 'groups', options),
    // What the request for one group answers of a trashed one is not known: see bots.
    deletions: {},
  });
}
