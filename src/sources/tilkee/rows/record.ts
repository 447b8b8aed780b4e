import { RecordError } from '../../../errors.ts';
import { asId, asText, isObject, type JsonObject } from '../../coerce.ts';

/**
 * The fields of a record and its id, which every table needs. Ids are numbers in every source, kept as text.
 *
 * @throws RecordError `no_id`
 */
export function readRecord(record: unknown, what: string): { readonly id: string; readonly fields: JsonObject } {
  const id = isObject(record) ? asId(record.id) : null;
  if (!isObject(record) || id === null) throw new RecordError('no_id', `${what} without id`, { recordId: null });
  return { id, fields: record };
}

/** The name of a tag, plain (documented) or as an object. */
export const tagName = (tag: unknown): string | null => asText(isObject(tag) ? tag.name : tag);
