import type { Row, TableSpec } from '../../../stream.ts';
import { asBoolean, asEpochSecondsTime, asId, asObject, asText, asTime, firstOf } from '../../coerce.ts';
import { readRecord } from './record.ts';

/** Colleagues, V2 only; the only objects of Tilkee that say themselves that they are deleted. */
export const USERS: TableSpec = {
  schema: 'tilkee',
  name: 'users',
  columns: {
    first_name: 'text',
    last_name: 'text',
    full_name: 'text',
    email: 'text',
    phone_number: 'text',
    cell_phone_number: 'text',
    contact_email: 'text',
    level_id: 'text',
    is_owner: 'boolean',
    can_see_stats: 'boolean',
    locale: 'text',
    position: 'text',
    company_id: 'text',
    company_name: 'text',
    default_theme_id: 'text',
    sf_id: 'text',
    last_sign_in_at: 'timestamptz',
    created_at: 'timestamptz',
    updated_at: 'timestamptz',
  },
};

export function mapUser(record: unknown): Row {
  const { id, fields } = readRecord(record, 'a user');
  return {
    id,
    first_name: asText(fields.first_name),
    last_name: asText(fields.last_name),
    full_name: asText(fields.full_name),
    email: asText(fields.email),
    phone_number: asText(fields.phone_number),
    cell_phone_number: asText(fields.cell_phone_number),
    contact_email: asText(fields.contact_email),
    level_id: asId(fields.level_id),
    is_owner: asBoolean(fields.is_owner),
    can_see_stats: asBoolean(fields.can_see_stats),
    locale: asText(fields.locale),
    position: asText(fields.position),
    company_id: firstOf(asId, fields.company_id, fields.company),
    company_name: asText(asObject(fields.company).name),
    default_theme_id: asId(fields.default_theme_id),
    sf_id: asId(fields.sf_id),
    // Seconds since 1970 here, unlike everywhere else (PHP's example, MS2a's type).
    last_sign_in_at: asEpochSecondsTime(fields.last_sign_in_at),
    created_at: asTime(fields.created_at),
    updated_at: asTime(fields.updated_at),
    deleted_at: asTime(fields.deleted_at),
    raw: record,
  };
}
