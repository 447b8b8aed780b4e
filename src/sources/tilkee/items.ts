import type { Stream } from '../../stream.ts';
import {
  asAllColleagues,
  createReader,
  type ListAddress,
  manyValues,
  noteOnReading,
  sinceV3,
  V3_OVERLAP_MS,
} from './lists.ts';
import { redacted, type TilkeeStreamParts } from './parts.ts';
import { itemsOf } from './rows.ts';

/** The documents of the library. No source knows a request for one, so a second walk confirms deletions. */
export function createItemsStream(parts: TilkeeStreamParts): Stream {
  const api = parts.settings.projectsApi;
  // Images are left out on purpose: one entry a page of every document.
  const expand = manyValues(parts, 'expand', ['tags', 'owner']);
  const address: ListAddress =
    api === 'v3' ? { api, path: '/items/', parameters: expand, since: sinceV3 } : { api, path: '/items' };

  return {
    ...redacted(itemsOf(api), parts),
    async planLists(context) {
      noteOnReading(context);
      const reader = createReader(parts, context);
      if (api === 'v2') {
        return asAllColleagues(parts, 'all', address).map((one) => reader.list({ ...one, holdsAll: true }));
      }
      const overlapMs = (await reader.hasWindows(address)) === true ? V3_OVERLAP_MS : undefined;
      return [reader.list({ id: 'all', address, holdsAll: true, overlapMs })];
    },
    deletions: {},
  };
}
