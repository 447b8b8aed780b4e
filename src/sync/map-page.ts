import { RecordError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { BadRecord } from '../store/engine/quarantine.ts';
import { type PageWrite, preparePage } from '../store/mirror/pages.ts';
import type { QuarantineDetail } from '../store/refusal-detail.ts';
import type { ListPage, Row, Stream } from '../stream.ts';
import { jsonTypeOf } from './drift.ts';

export interface MappedPage {
  readonly rows: readonly Row[];
  /** Records on their way to quarantine; the page's other rows are written. */
  readonly bad: readonly BadRecord[];
}

/** The reason of a record on which the mapping itself fails: a mistake of ours, which costs this record only. */
export const UNMAPPABLE = 'unmappable';

/** Records to rows: what the privacy settings drop goes first, and nothing else of a record is ever stored. */
export function mapPage(stream: Stream, page: ListPage, logger?: Logger): MappedPage {
  const rows: Row[] = [];
  const bad: BadRecord[] = [];
  page.records.forEach((record, index) => {
    const mapped = mapRecord(stream, record, { known: page.known, id: page.entries[index]?.id ?? null, logger });
    if ('bad' in mapped) bad.push(mapped.bad);
    else rows.push(mapped.row);
  });
  return { rows, bad };
}

export interface MapOptions {
  /** What the request tells about the record. */
  readonly known?: ListPage['known'] | undefined;
  /** The record's id as the walk sees it, for a record that tells no more. */
  readonly id?: string | null;
  readonly logger?: Logger | undefined;
}

export type MappedRecord = { readonly row: Row } | { readonly bad: BadRecord };

/** One record to its row, or to what quarantine keeps of it. Never throws. */
export function mapRecord(stream: Stream, record: unknown, options: MapOptions = {}): MappedRecord {
  const { known, id = null, logger } = options;
  let kept: unknown;
  try {
    kept = stream.redactRecord(record);
    const row = stream.mapRecord(kept);
    return { row: known === undefined ? row : attribute(row, known) };
  } catch (error) {
    const rawText = textOf(kept);
    if (error instanceof RecordError) {
      const detail = error.code === 'no_id' ? describeId(stream, kept) : null;
      return { bad: { recordId: error.recordId ?? id, reason: error.code, detail, rawText } };
    }
    logger?.error({ stream: stream.name, ...describe(error) }, 'a record could not be mapped: please report it');
    return { bad: { recordId: id, reason: UNMAPPABLE, detail: { error: describe(error).error }, rawText } };
  }
}

/** Which field should hold the id, and the type of what is there. */
function describeId({ fields }: Stream, record: unknown): QuarantineDetail {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return { found: jsonTypeOf(record) };
  const field = fields !== undefined && '_id' in fields ? '_id' : 'id';
  const value: unknown = (record as Readonly<Record<string, unknown>>)[field];
  return { field, found: value === undefined ? 'absent' : jsonTypeOf(value) };
}

/** A mapped page, ready for writing. Rows that are nested too deeply to be written as text are set aside too. */
export function prepareMapped(mapped: MappedPage, page: Pick<PageWrite, 'table' | 'replaceWrittenBefore'>): PageWrite {
  try {
    return preparePage({ ...page, ...mapped });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  const deep = mapped.rows.filter((row) => !canBePrepared(row, page));
  const bad = deep.map(
    ({ id }): BadRecord => ({ recordId: id, reason: UNMAPPABLE, detail: { error: 'RangeError' }, rawText: NO_TEXT }),
  );
  return preparePage({
    ...page,
    rows: mapped.rows.filter((row) => !deep.includes(row)),
    bad: [...mapped.bad, ...bad],
  });
}

function canBePrepared(row: Row, page: Pick<PageWrite, 'table' | 'replaceWrittenBefore'>): boolean {
  try {
    preparePage({ ...page, rows: [row], bad: [] });
    return true;
  } catch {
    return false;
  }
}

/** Stands for the text of a record that has none: thousands of levels deep, or not redacted. */
export const NO_TEXT = '';

function textOf(kept: unknown): string {
  try {
    return JSON.stringify(kept) ?? NO_TEXT;
  } catch {
    return NO_TEXT;
  }
}

/** What failed and where, without the message: that may quote the record. */
function describe(error: unknown): { error: string; at: string | undefined } {
  if (!(error instanceof Error)) return { error: typeof error, at: undefined };
  const stack = (error.stack ?? '').split(error.message).at(-1) ?? '';
  return { error: error.name, at: /^\s+at (.+)$/m.exec(stack)?.[1] };
}

/** What the request tells fills what the record leaves open. */
function attribute(row: Row, known: Readonly<Record<string, unknown>>): Row {
  const filled = Object.entries(known).filter(([column]) => row[column] === null || row[column] === undefined);
  return filled.length === 0 ? row : { ...row, ...Object.fromEntries(filled) };
}
