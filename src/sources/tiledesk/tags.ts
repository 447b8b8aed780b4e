import { RecordError } from '../../errors.ts';
import type { Row, Stream, TableSpec } from '../../stream.ts';
import { createSnapshotWalk } from '../../walks/snapshot.ts';
import { asId, asJson, asText, asTime, isObject } from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import { TAG_FIELDS } from './fields.ts';
import { readPagedArray } from './paged-array.ts';
import type { TiledeskStreamParts } from './parts.ts';

/** The tags that the project offers. A bare array in pages of 40, without a count. */
const TABLE: TableSpec = {
  schema: 'tiledesk',
  name: 'tags',
  columns: {
    tag: 'text',
    color: 'text',
    attributes: 'jsonb',
    id_project: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapTag(record: unknown): Row {
  const id = isObject(record) ? asId(record._id) : null;
  if (!isObject(record) || id === null) throw new RecordError('no_id', 'a tag without _id', { recordId: null });
  return {
    id,
    tag: asText(record.tag),
    color: asText(record.color),
    attributes: asJson(record.attributes),
    id_project: asText(record.id_project),
    created_by: asText(record.createdBy),
    created_at: asTime(record.createdAt),
    updated_at: asTime(record.updatedAt),
    deleted_at: null,
    raw: record,
  };
}

export function createTagsStream({ api, privacy }: TiledeskStreamParts): Stream {
  return {
    name: 'tiledesk.tags',
    table: TABLE,
    fields: TAG_FIELDS,
    redactRecord: (record) => redactTiledesk(record, privacy),
    mapRecord: mapTag,
    // No request for one tag is known, so a second walk confirms deletions.
    deletions: {},
    planLists: async () => [
      {
        id: 'all',
        holdsAll: true,
        walk: createSnapshotWalk(),
        fetchPage: (_query, options) => readPagedArray(api, 'tags', options),
      },
    ],
  };
}
