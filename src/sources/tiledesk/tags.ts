import type { Stream } from '../../stream.ts';
import { anything, text } from '../record-table.ts';
import { readPagedArray } from './paged-array.ts';
import { snapshotStream, type TiledeskStreamParts, tiledeskTable } from './parts.ts';

/** The tags that the project offers. A bare array in pages of 40, without a count. */
export const TAGS = tiledeskTable('tags', { tag: text(), color: text(), attributes: anything() });

export function createTagsStream(parts: TiledeskStreamParts): Stream {
  return snapshotStream(TAGS, parts, {
    fetchAll: (options) => readPagedArray(parts.api, 'tags', options),
    // No request for one tag is known, so a second walk confirms deletions.
    deletions: {},
  });
}
