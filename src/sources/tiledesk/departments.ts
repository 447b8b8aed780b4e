import { RecordError } from '../../errors.ts';
import type { Row, Stream, TableSpec } from '../../stream.ts';
import { createSnapshotWalk } from '../../walks/snapshot.ts';
import { asBoolean, asId, asInteger, asJson, asText, asTime, isObject } from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import { DEPARTMENT_FIELDS } from './fields.ts';
import { existsById, readArray } from './lists.ts';
import type { TiledeskStreamParts } from './parts.ts';

/** Departments, hidden ones included (`allstatus`). One answer, no pages. */
const TABLE: TableSpec = {
  schema: 'tiledesk',
  name: 'departments',
  columns: {
    name: 'text',
    description: 'text',
    routing: 'text',
    is_default: 'boolean',
    status: 'integer',
    id_bot: 'text',
    has_bot: 'boolean',
    bot_only: 'boolean',
    id_group: 'text',
    groups: 'jsonb',
    online_msg: 'text',
    offline_msg: 'text',
    tags: 'jsonb',
    id_project: 'text',
    created_by: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapDepartment(record: unknown): Row {
  const id = isObject(record) ? asId(record._id) : null;
  if (!isObject(record) || id === null) throw new RecordError('no_id', 'a department without _id', { recordId: null });
  return {
    id,
    name: asText(record.name),
    description: asText(record.description),
    routing: asText(record.routing),
    is_default: asBoolean(record.default),
    status: asInteger(record.status),
    id_bot: asId(record.id_bot),
    has_bot: asBoolean(record.hasBot),
    bot_only: asBoolean(record.bot_only),
    id_group: asId(record.id_group),
    groups: asJson(record.groups),
    online_msg: asText(record.online_msg),
    offline_msg: asText(record.offline_msg),
    tags: asJson(record.tags),
    id_project: asText(record.id_project),
    created_by: asText(record.createdBy),
    created_at: asTime(record.createdAt),
    updated_at: asTime(record.updatedAt),
    deleted_at: null,
    raw: record,
  };
}

export function createDepartmentsStream({ api, privacy }: TiledeskStreamParts): Stream {
  return {
    name: 'tiledesk.departments',
    table: TABLE,
    fields: DEPARTMENT_FIELDS,
    redactRecord: (record) => redactTiledesk(record, privacy),
    mapRecord: mapDepartment,
    // A bare array without a count: an answer that was cut short, and cut short again, looks like a deletion.
    deletions: { exists: ({ id }, options) => existsById(api, 'departments', id, options) },
    planLists: async () => [
      {
        id: 'all',
        holdsAll: true,
        walk: createSnapshotWalk(),
        fetchPage: async (_query, options) =>
          readArray(await api.get('departments/allstatus', new URLSearchParams(), options), 'departments'),
      },
    ],
  };
}
