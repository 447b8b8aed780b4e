import type { Row, TableSpec } from '../../../stream.ts';
import {
  asBigint,
  asBoolean,
  asId,
  asInteger,
  asJson,
  asNumber,
  asObject,
  asText,
  asTexts,
  asTime,
  firstOf,
} from '../../coerce.ts';
import type { TilkeeApiName } from '../parts.ts';
import { readRecord, tagName } from './record.ts';

/**
 * Projects of both APIs in one shape, under V3's names where the two differ. A field is looked for under every name that any source gives it, whichever
 * API answered: servers of different years mix them. Statistics come from `data` (V3, and V2's detail) or lie flat in the row (V2's list).
 */
export const PROJECTS: TableSpec = {
  schema: 'tilkee',
  name: 'projects',
  columns: {
    source_api: 'text',
    name: 'text',
    verdict: 'text',
    is_template: 'boolean',
    signable: 'boolean',
    signed: 'boolean',
    downloadable: 'boolean',
    favorite: 'boolean',
    processed: 'boolean',
    tags: 'text[]',
    external_id: 'text',
    owner_id: 'text',
    owner_email: 'text',
    owner_first_name: 'text',
    owner_last_name: 'text',
    theme_id: 'text',
    vcard_id: 'text',
    workspace_id: 'text',
    duration: 'integer',
    expiration_date: 'timestamptz',
    status: 'text',
    archived_at: 'timestamptz',
    first_access_at: 'timestamptz',
    last_sign_in_at: 'timestamptz',
    total_time: 'bigint',
    connections_count: 'integer',
    links_count: 'integer',
    items_count: 'integer',
    interest: 'double precision',
    median_percentage_read: 'double precision',
    data: 'jsonb',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapProject(record: unknown, api: TilkeeApiName): Row {
  const { id, fields } = readRecord(record, 'a project');
  const data = asObject(fields.data);
  const owner = asObject(fields.owner ?? fields.leader);
  return {
    id,
    source_api: api,
    name: asText(fields.name),
    // `won` before 2020 (PHP).
    verdict: firstOf(asText, fields.verdict, fields.won),
    is_template: asBoolean(fields.is_template),
    signable: asBoolean(fields.signable),
    signed: firstOf(asBoolean, fields.signed, data.signed),
    // The last is PHP's spelling, perhaps a server's too.
    downloadable: firstOf(asBoolean, fields.downloadable, fields.can_be_downloaded, fields.can_be_downladed),
    favorite: firstOf(asBoolean, fields.favorite, fields.starred),
    processed: asBoolean(fields.processed),
    tags: asTexts(fields.tags, tagName),
    external_id: asText(fields.external_id),
    owner_id: firstOf(asId, fields.owner, fields.leader, fields.leader_id),
    owner_email: firstOf(asText, owner.email, fields.leader_email),
    owner_first_name: firstOf(asText, owner.first_name, fields.leader_first_name),
    owner_last_name: firstOf(asText, owner.last_name, fields.leader_last_name),
    theme_id: firstOf(asId, fields.theme_id, fields.theme),
    vcard_id: firstOf(asId, fields.vcard_id, fields.vcard),
    workspace_id: asId(fields.workspace_id),
    duration: asInteger(fields.duration),
    expiration_date: firstOf(asTime, fields.expiration_date, fields.consultable_until),
    status: asText(fields.status),
    archived_at: asTime(fields.archived_at),
    first_access_at: firstOf(asTime, fields.first_access_at, data.first_access_at),
    last_sign_in_at: firstOf(asTime, fields.last_sign_in_at, data.last_sign_in_at),
    total_time: firstOf(asBigint, fields.total_time, data.total_time),
    connections_count: firstOf(asInteger, data.connections_count, fields.nb_connections, data.nb_connections),
    links_count: firstOf(asInteger, data.links_count, fields.tokens_count, data.nb_links),
    items_count: firstOf(asInteger, data.items_count, fields.project_items_count, data.nb_items),
    interest: firstOf(asNumber, fields.interest, data.interest),
    median_percentage_read: firstOf(asNumber, fields.median_percentage_read, data.median_percentage_read),
    data: asJson(fields.data),
    created_at: asTime(fields.created_at),
    updated_at: asTime(fields.updated_at),
    deleted_at: null,
    raw: record,
  };
}
