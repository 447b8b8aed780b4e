import type { Row, TableSpec } from '../../../stream.ts';
import {
  asBigint,
  asBoolean,
  asFlag,
  asId,
  asInteger,
  asJson,
  asNumber,
  asObject,
  asText,
  asTime,
  firstOf,
} from '../../coerce.ts';
import { readRecord } from './record.ts';

/** Links, V2 only. The row of a list names its project in most sources; where it does not, the list of one project does. */
export const TOKENS: TableSpec = {
  schema: 'tilkee',
  name: 'tokens',
  columns: {
    name: 'text',
    project_id: 'text',
    project_name: 'text',
    external_id: 'text',
    won: 'text',
    link: 'text',
    preview_url: 'text',
    consulted: 'boolean',
    signed: 'boolean',
    generated_by_prospect: 'boolean',
    signed_status: 'text',
    signed_docs: 'jsonb',
    interest: 'double precision',
    archived_at: 'timestamptz',
    first_access_at: 'timestamptz',
    last_sign_in_at: 'timestamptz',
    total_time: 'bigint',
    nb_connections: 'integer',
    nb_platforms: 'integer',
    percentage_read: 'double precision',
    percent_read: 'text',
    downloaded: 'boolean',
    creator_id: 'text',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
  attributed: ['project_id'],
};

export function mapToken(record: unknown): Row {
  const { id, fields } = readRecord(record, 'a token');
  return {
    id,
    name: asText(fields.name),
    project_id: firstOf(asId, fields.project_id, fields.project),
    project_name: firstOf(asText, fields.project_name, asObject(fields.project).name),
    external_id: asText(fields.external_id),
    // A word; SUG once compared it with 1, so numbers and booleans are legal and kept as written.
    won: asText(fields.won),
    link: asText(fields.link),
    preview_url: asText(fields.preview_url),
    consulted: asBoolean(fields.consulted),
    signed: asBoolean(fields.signed),
    generated_by_prospect: asBoolean(fields.generated_by_prospect),
    signed_status: asText(fields.signed_status),
    signed_docs: asJson(fields.signed_docs),
    interest: asNumber(fields.interest),
    archived_at: asTime(fields.archived_at),
    first_access_at: asTime(fields.first_access_at),
    last_sign_in_at: firstOf(asTime, fields.last_sign_in_at, fields.last_signin),
    total_time: asBigint(fields.total_time),
    // Webhooks say connections_count.
    nb_connections: firstOf(asInteger, fields.nb_connections, fields.connections_count),
    nb_platforms: asInteger(fields.nb_platforms),
    percentage_read: asNumber(fields.percentage_read),
    percent_read: asText(fields.percent_read),
    downloaded: asFlag(fields.downloaded),
    creator_id: asId(fields.creator_id),
    created_at: asTime(fields.created_at),
    updated_at: asTime(fields.updated_at),
    deleted_at: null,
    raw: record,
  };
}
