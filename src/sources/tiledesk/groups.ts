import { RecordError } from '../../errors.ts';
import type { Row, Stream, TableSpec } from '../../stream.ts';
import { createSnapshotWalk } from '../../walks/snapshot.ts';
import { asBoolean, asId, asJson, asText, asTexts, asTime, isObject } from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import { GROUP_FIELDS } from './fields.ts';
import { readArray } from './lists.ts';
import type { TiledeskStreamParts } from './parts.ts';

/** Groups of teammates that are not trashed. One answer, no pages. */
const TABLE: TableSpec = {
  schema: 'tiledesk',
  name: 'groups',
  columns: {
    name: 'text',
    members: 'text[]',
    enabled: 'boolean',
    trashed: 'boolean',
    attributes: 'jsonb',
    id_project: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapGroup(record: unknown): Row {
  const id = isObject(record) ? asId(record._id) : null;
  if (!isObject(record) || id === null) throw new RecordError('no_id', 'a group without _id', { recordId: null });
  return {
    id,
    name: asText(record.name),
    members: asTexts(record.members, asId),
    enabled: asBoolean(record.enabled),
    trashed: asBoolean(record.trashed),
    attributes: asJson(record.attributes),
    id_project: asText(record.id_project),
    created_by: asText(record.createdBy),
    created_at: asTime(record.createdAt),
    updated_at: asTime(record.updatedAt),
    deleted_at: null,
    raw: record,
  };
}

export function createGroupsStream({ api, privacy }: TiledeskStreamParts): Stream {
  return {
    name: 'tiledesk.groups',
    table: TABLE,
    fields: GROUP_FIELDS,
    redactRecord: (record) => redactTiledesk(record, privacy),
    mapRecord: mapGroup,
    // What the request for one group answers of a trashed one is not known: see bots.
    deletions: {},
    planLists: async () => [
      {
        id: 'all',
        holdsAll: true,
        walk: createSnapshotWalk(),
        fetchPage: async (_query, options) =>
          readArray(await api.get('groups', new URLSearchParams(), options), 'groups'),
      },
    ],
  };
}
