import type { Privacy } from '../../stream.ts';
import { asText, isObject } from '../coerce.ts';
import { redactTiledesk } from '../privacy.ts';
import {
  type Column,
  column,
  defineTable,
  type RecordTable,
  type RecordTableOptions,
  text,
  time,
} from '../record-table.ts';
import type { TiledeskApi } from './api.ts';

export interface TiledeskStreamParts {
  readonly api: TiledeskApi;
  /** Rows a page, 10 to 100: above 100 the requests list falls back to 40 (seen in server 2.19). */
  readonly pageSize: number;
  readonly maxPageSize: number;
  readonly fullSyncKey: 'id' | 'created_at';
  readonly privacy: Privacy;
}

/** A table with the columns of all of Tiledesk's; known are the fields of server 2.19 and of its documentation. */
export function tiledeskTable(
  name: string,
  columns: Readonly<Record<string, Column>>,
  { known = {}, impersonal = '', ...options }: RecordTableOptions = {},
): RecordTable {
  const common = {
    id_project: text(),
    created_by: text('createdBy'),
    created_at: time('createdAt'),
    updated_at: time('updatedAt'),
  };
  const everywhere = { string: `_id id ${known.string ?? ''}`.trim(), number: `__v ${known.number ?? ''}`.trim() };
  const all = { ...known, ...everywhere };
  const more = { known: all, impersonal: `id_project ${impersonal}` };
  return defineTable(['tiledesk', name, '_id'], { ...common, ...columns }, { ...options, ...more });
}

export const channel = column('text', (value) => asText(isObject(value) ? value.name : value), 'object');

export const redacted = (table: RecordTable, { privacy }: TiledeskStreamParts) => ({
  ...table,
  redactRecord: (record: unknown) => redactTiledesk(record, privacy),
});
