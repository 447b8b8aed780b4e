import { setImmediate as nextTurn } from 'node:timers/promises';
import { RecordError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { BadRecord } from '../store/engine/quarantine.ts';
import type { Drift } from '../store/engine/schema-drift.ts';
import { encodePage, joinPages, type PageWrite } from '../store/mirror/pages.ts';
import type { QuarantineDetail } from '../store/refusal-detail.ts';
import type { ListPage, Row, Stream } from '../stream.ts';
import { findDrift, jsonTypeOf } from './drift.ts';
import { suppress } from './privacy/rules.ts';
import type { Run } from './run-pass.ts';

interface MappedPage {
  readonly rows: readonly Row[];
  /** Records on their way to quarantine; the page's other rows are written. */
  readonly bad: readonly BadRecord[];
}

/** The reason of a record on which the mapping itself fails: a mistake of ours, which costs this record only. */
const UNMAPPABLE = 'unmappable';

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

interface MapOptions {
  readonly known?: ListPage['known'] | undefined;
  /** The record's id as the walk sees it, for a record that cannot be mapped. */
  readonly id?: string | null;
  readonly logger?: Logger | undefined;
}

type Mapper = Pick<Stream, 'name' | 'fields' | 'redactRecord' | 'mapRecord'>;

type MappedRecord = { readonly row: Row } | { readonly bad: BadRecord };

/** One record to its row, or to what quarantine keeps of it. Never throws. */
export function mapRecord(stream: Mapper, record: unknown, options: MapOptions = {}): MappedRecord {
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
function describeId({ fields }: Mapper, record: unknown): QuarantineDetail {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return { found: jsonTypeOf(record) };
  const field = fields !== undefined && '_id' in fields ? '_id' : 'id';
  const value: unknown = (record as Readonly<Record<string, unknown>>)[field];
  return { field, found: value === undefined ? 'absent' : jsonTypeOf(value) };
}

export interface PreparedPage {
  readonly page: PageWrite;
  readonly drift: readonly Drift[];
  /** What incremental passes are shown has to come as far, or they miss something. */
  readonly newestChange: Date | null;
  readonly gone: readonly string[];
  /** Ids of records that are not written, because their person was erased. */
  readonly left: readonly string[];
}

/** A list without pages may have thousands of rows: mapped in slices, so that signals are served in between. */
const SLICE = 1_000;

/** Maps and encodes a page that was asked for at `askedAt` (`performance.now()`). */
export async function preparePage(run: Run, page: ListPage, askedAt: number): Promise<PreparedPage> {
  const { stream, pass } = run.job;
  const target = {
    table: stream.table,
    replaceWrittenBefore: pass === 'incremental' ? null : run.databaseTime(askedAt),
  };
  const pages: PageWrite[] = [];
  const drift: Drift[] = [];
  const left: string[] = [];
  for (let from = 0; from === 0 || from < page.records.length; from += SLICE) {
    if (from > 0) await nextTurn();
    const records = page.records.slice(from, from + SLICE);
    const all = mapPage(stream, { ...page, records, entries: page.entries.slice(from) }, run.parts.logger);
    const mapped = await suppress(run.suppressions, stream, all);
    left.push(...mapped.left);
    // A single record of the largest answer takes half a second to map, and as long to write as text.
    await nextTurn();
    pages.push({ ...encodeMapped(mapped, target), suppressed: mapped.left.length });
    drift.push(...findDrift(stream, mapped.rows));
  }
  const newestChange = pass === 'incremental' ? null : newestChangeOn(page);
  return { page: joinPages(pages), drift, newestChange, gone: page.gone ?? [], left };
}

function newestChangeOn({ entries, serverTime }: ListPage): Date | null {
  // Without the server's clock a wrong future date would look like a change.
  if (serverTime === null) return null;
  const times = entries.flatMap(({ updatedAt }) => updatedAt ?? []);
  return times.length === 0 ? null : new Date(Math.min(serverTime, Math.max(...times)));
}

type Target = Pick<PageWrite, 'table' | 'replaceWrittenBefore'>;

/** Rows that are nested too deeply to be written as text go to quarantine too. */
function encodeMapped({ rows, bad }: MappedPage, target: Target): PageWrite {
  const canBeEncoded = (row: Row) => {
    try {
      return encodePage({ ...target, rows: [row], bad: [] }) !== null;
    } catch {
      return false;
    }
  };
  try {
    return encodePage({ ...target, rows, bad });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  const flat = rows.filter(canBeEncoded);
  const deep = rows.filter((row) => !flat.includes(row));
  const detail = { error: 'RangeError' };
  const refused = deep.map(({ id }): BadRecord => ({ recordId: id, reason: UNMAPPABLE, detail, rawText: NO_TEXT }));
  return encodePage({ ...target, rows: flat, bad: [...bad, ...refused] });
}

/** Stands for the text of a record that has none: thousands of levels deep, or not redacted. */
const NO_TEXT = '';

/** The record that a kept text is of; undefined when it is none. */
export function recordOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

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

/** Fills what the record leaves open by the values of the request. */
function attribute(row: Row, known: Readonly<Record<string, unknown>>): Row {
  const filled = Object.entries(known).filter(([column]) => row[column] === null || row[column] === undefined);
  return filled.length === 0 ? row : { ...row, ...Object.fromEntries(filled) };
}
