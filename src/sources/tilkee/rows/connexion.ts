import type { Row, TableSpec } from '../../../stream.ts';
import { asBigint, asBoolean, asFlag, asId, asNumber, asObject, asText, asTime, firstOf } from '../../coerce.ts';
import { readRecord } from './record.ts';

/** Visits, V2 only. No source shows the link or the project on one; a record that names them is believed, else the request that found it tells. */
export const CONNEXIONS: TableSpec = {
  schema: 'tilkee',
  name: 'connexions',
  columns: {
    title: 'text',
    token_id: 'text',
    project_id: 'text',
    access_date: 'timestamptz',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
    total_time: 'bigint',
    percentage_read: 'double precision',
    downloaded: 'boolean',
    signed: 'boolean',
    new_person: 'boolean',
    platform_id: 'text',
    device_type: 'text',
    device_number: 'text',
    browser: 'text',
    os: 'text',
    ip: 'text',
    user_agent: 'text',
    most_visited_time: 'bigint',
    most_visited_title: 'text',
    most_visited_id: 'text',
  },
  attributed: ['token_id', 'project_id'],
};

export function mapConnexion(record: unknown): Row {
  const { id, fields } = readRecord(record, 'a connexion');
  const platform = asObject(fields.platform);
  return {
    id,
    title: asText(fields.title),
    token_id: firstOf(asId, fields.token_id, fields.token),
    project_id: firstOf(asId, fields.project_id, fields.project, asObject(fields.token).project_id),
    access_date: asTime(fields.access_date),
    created_at: asTime(fields.created_at),
    updated_at: asTime(fields.updated_at),
    total_time: asBigint(fields.total_time),
    percentage_read: asNumber(fields.percentage_read),
    // SUG stored it as an int.
    downloaded: asFlag(fields.downloaded),
    signed: asBoolean(fields.signed),
    new_person: asBoolean(fields.new_person),
    platform_id: firstOf(asId, fields.platform_id, fields.platform),
    device_type: asText(platform.device_type),
    device_number: asText(platform.device_number),
    browser: asText(platform.browser),
    os: asText(platform.os),
    ip: firstOf(asText, platform.ip, fields.ip),
    user_agent: firstOf(asText, fields.user_agent, platform.user_agent),
    most_visited_time: asBigint(fields.most_visited_time),
    most_visited_title: asText(fields.most_visited_title),
    most_visited_id: asId(fields.most_visited_id),
    deleted_at: null,
    raw: record,
  };
}
