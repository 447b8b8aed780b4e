import type { Stream } from '../../stream.ts';
import { flag, number, text, texts } from '../record-table.ts';
import { fetchArray } from './lists.ts';
import { snapshotStream, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/** Bots that are not trashed, identity bots included (`all`). One answer, no pages. */
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

export function createBotsStream(parts: TiledeskStreamParts): Stream {
  return snapshotStream(BOTS, parts, {
    fetchAll: (options) => fetchArray(parts.api, 'bots?all=true', options),
    // What the request for one bot answers of a trashed one is not known, so a second walk confirms deletions.
    deletions: {},
  });
}
