import type { Row, TableSpec } from '../../../stream.ts';
import { asBigint, asBoolean, asId, asInteger, asObject, asText, asTexts, asTime, firstOf } from '../../coerce.ts';
import type { TilkeeApiName } from '../parts.ts';
import { readRecord, tagName } from './record.ts';

/** Library documents of both APIs in one shape, under V3's names where the two differ. */
export const ITEMS: TableSpec = {
  schema: 'tilkee',
  name: 'items',
  columns: {
    source_api: 'text',
    name: 'text',
    owner_id: 'text',
    owner_email: 'text',
    element_type: 'text',
    extension: 'text',
    type: 'text',
    external_id: 'text',
    tags: 'text[]',
    favorite: 'boolean',
    file_version: 'integer',
    pages_count: 'integer',
    processed: 'boolean',
    usable: 'boolean',
    visible: 'boolean',
    retention: 'boolean',
    retention_delay: 'integer',
    projects_count: 'integer',
    file_size: 'bigint',
    replaced_at: 'timestamptz',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapItem(record: unknown, api: TilkeeApiName): Row {
  const { id, fields } = readRecord(record, 'an item');
  return {
    id,
    source_api: api,
    name: firstOf(asText, fields.name, fields.title),
    owner_id: firstOf(asId, fields.user_id, fields.owner),
    owner_email: asText(asObject(fields.owner).email),
    element_type: asText(fields.element_type),
    extension: asText(fields.extension),
    type: asText(fields.type),
    external_id: asText(fields.external_id),
    tags: asTexts(fields.tags, tagName),
    favorite: asBoolean(fields.favorite),
    file_version: asInteger(fields.file_version),
    pages_count: firstOf(asInteger, fields.pages_count, fields.num_pages),
    processed: asBoolean(fields.processed),
    usable: asBoolean(fields.usable),
    visible: asBoolean(fields.visible),
    retention: asBoolean(fields.retention),
    retention_delay: asInteger(fields.retention_delay),
    projects_count: asInteger(fields.projects_count),
    file_size: asBigint(fields.file_size),
    replaced_at: asTime(fields.replaced_at),
    created_at: asTime(fields.created_at),
    updated_at: asTime(fields.updated_at),
    deleted_at: null,
    raw: record,
  };
}
