import { RecordError } from '../../errors.ts';
import type { Row, Stream, TableSpec } from '../../stream.ts';
import { createSnapshotWalk } from '../../walks/snapshot.ts';
import { asBoolean, asId, asNumber, asText, asTexts, asTime, isObject } from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import { BOT_FIELDS } from './fields.ts';
import { readArray } from './lists.ts';
import type { TiledeskStreamParts } from './parts.ts';

/** Bots that are not trashed, identity bots included (`all`). One answer, no pages. */
const TABLE: TableSpec = {
  schema: 'tiledesk',
  name: 'bots',
  columns: {
    name: 'text',
    slug: 'text',
    description: 'text',
    type: 'text',
    language: 'text',
    intents_engine: 'text',
    webhook_enabled: 'boolean',
    trained: 'boolean',
    score: 'double precision',
    public: 'boolean',
    certified: 'boolean',
    tags: 'text[]',
    certified_tags: 'text[]',
    trashed: 'boolean',
    agents_available: 'boolean',
    id_project: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapBot(record: unknown): Row {
  const id = isObject(record) ? asId(record._id) : null;
  if (!isObject(record) || id === null) throw new RecordError('no_id', 'a bot without _id', { recordId: null });
  return {
    id,
    name: asText(record.name),
    slug: asText(record.slug),
    description: asText(record.description),
    type: asText(record.type),
    language: asText(record.language),
    intents_engine: asText(record.intentsEngine),
    webhook_enabled: asBoolean(record.webhook_enabled),
    trained: asBoolean(record.trained),
    score: asNumber(record.score),
    public: asBoolean(record.public),
    certified: asBoolean(record.certified),
    tags: asTexts(record.tags),
    certified_tags: asTexts(record.certifiedTags),
    trashed: asBoolean(record.trashed),
    agents_available: asBoolean(record.agents_available),
    id_project: asText(record.id_project),
    created_by: asText(record.createdBy),
    created_at: asTime(record.createdAt),
    updated_at: asTime(record.updatedAt),
    deleted_at: null,
    raw: record,
  };
}

export function createBotsStream({ api, privacy }: TiledeskStreamParts): Stream {
  return {
    name: 'tiledesk.bots',
    table: TABLE,
    fields: BOT_FIELDS,
    redactRecord: (record) => redactTiledesk(record, privacy),
    mapRecord: mapBot,
    // What the request for one bot answers of a trashed one is not known, so a second walk confirms deletions.
    deletions: {},
    planLists: async () => [
      {
        id: 'all',
        holdsAll: true,
        walk: createSnapshotWalk(),
        fetchPage: async (_query, options) =>
          readArray(await api.get('bots', new URLSearchParams({ all: 'true' }), options), 'bots'),
      },
    ],
  };
}
