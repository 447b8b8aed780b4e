import type { Stream } from '../../stream.ts';
import { flag, id, integer, list, text } from '../record-table.ts';
import { existsById, fetchArray } from './lists.ts';
import { snapshotStream, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/** Departments, hidden ones included (`allstatus`). One answer, no pages. */
export const DEPARTMENTS = tiledeskTable('departments', {
  name: text(),
  description: text(),
  routing: text(),
  is_default: flag('default'),
  status: integer(),
  id_bot: id(),
  has_bot: flag('hasBot'),
  bot_only: flag(),
  id_group: id(),
  groups: list(),
  online_msg: text(),
  offline_msg: text(),
  tags: list(),
});

export function createDepartmentsStream(parts: TiledeskStreamParts): Stream {
  return snapshotStream(DEPARTMENTS, parts, {
    fetchAll: (options) => fetchArray(parts.api, 'departments/allstatus', options),
    // A bare array without a count: an answer that was cut short, and cut short again, looks like a deletion.
    deletions: { exists: (row, options) => existsById(parts.api, 'departments', row.id, options) },
  });
}
