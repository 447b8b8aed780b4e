import { RecordError } from '../../errors.ts';
import type { BadRecord } from '../../store/engine/quarantine.ts';
import {
  addressMark,
  addressOf,
  type Mark,
  marksIn,
  numberMark,
  numberOf,
  rowMark,
} from '../../store/privacy/marks.ts';
import { keptColumns } from '../../store/privacy/person-rows.ts';
import type { Suppressions } from '../../store/privacy/suppressions.ts';
import type { Row, Stream, TableSpec } from '../../stream.ts';

/** What a page must not bring back: pure but for one look-up where something is found. */
interface Mapped {
  readonly rows: readonly Row[];
  readonly bad: readonly BadRecord[];
}

export interface Suppressed extends Mapped {
  /** Ids of records that are not written at all. */
  readonly left: readonly string[];
}

/**
 * Leaves out rows that were erased. A row that names an erased person, or holds their address or number, is emptied
 * when it was created before the erasure; a newer one is written, without what connects it with the person.
 */
export async function suppress(list: Suppressions, stream: Stream, { rows: all, bad }: Mapped): Promise<Suppressed> {
  const goneBefore = list.goneBefore?.getTime() ?? Number.NEGATIVE_INFINITY;
  // Some lists show what is deleted upstream: it is not written again once it was removed here.
  const present = all.filter(({ deleted_at }) => deleted_at === null || !(Date.parse(deleted_at) < goneBefore));
  const rows = await withoutErasedTexts(list.erasedTexts, stream, present);
  if (list.isEmpty) return withLeft(all, rows, bad);
  const isErased = ({ id }: Pick<Row, 'id'>) => list.has(rowMark(stream.name, id));
  const alive = rows.filter((row) => !isErased(row));
  const found = new Map(alive.map((row) => [row, linksOf(stream.table, row).filter((mark) => list.has(mark))]));
  const limits = await list.limitsOf([...new Set([...found.values()].flat())]);
  const kept = alive.flatMap((row) => {
    const marks = (found.get(row) ?? []).filter((mark) => limits.has(mark));
    if (marks.length === 0) return [row];
    const limit = Math.max(...marks.map((mark) => limits.get(mark) ?? 0));
    if (isCreatedUntil(row, limit))
      return stream.table.personal?.isDeleted ? [] : [huskOf(stream.table, row, list.readAt)];
    return withoutLinks(stream, row);
  });
  return withLeft(
    all,
    kept,
    bad.filter((record) => !isBadErased(list, stream, record)),
  );
}

function withLeft(all: readonly Row[], rows: readonly Row[], bad: readonly BadRecord[]): Suppressed {
  const ids = new Set(rows.map(({ id }) => id));
  return { rows, bad, left: all.flatMap(({ id }) => (ids.has(id) ? [] : [id])) };
}

/** Texts that were kept for long enough stay away: of the row itself, and of what refers to it and is no newer. */
async function withoutErasedTexts(
  erasedTexts: Suppressions['erasedTexts'],
  stream: Stream,
  rows: readonly Row[],
): Promise<readonly Row[]> {
  const { dropTexts, table } = stream;
  if (erasedTexts === null || dropTexts === undefined) return rows;
  const references = Object.entries(table.personal?.refersTo ?? {});
  const parentsOf = (row: Row) =>
    references.flatMap(([path, name]) => {
      const id = textOf(valueAt(row, path));
      return id === null ? [] : [{ stream: name, id }];
    });
  const names = rows.flatMap((row) => [{ stream: stream.name, id: row.id }, ...parentsOf(row)]);
  const erased = await erasedTexts(names);
  if (erased.size === 0) return rows;
  return rows.map((row) => {
    const limits = parentsOf(row).map(({ stream: of, id }) => erased.get(`${of} ${id}`) ?? 0);
    const isOld = limits.some((limit) => limit > 0 && isCreatedUntil(row, limit));
    if (!isOld && !erased.has(`${stream.name} ${row.id}`)) return row;
    const short = stream.mapRecord(dropTexts(row.raw));
    // What only the request determined.
    const known = (table.attributed ?? []).map((name) => [name, short[name] ?? row[name]]);
    return { ...short, ...Object.fromEntries(known) };
  });
}

/** A row without a date counts as older than any erasure. */
function isCreatedUntil({ created_at }: Row, limit: number): boolean {
  const created = typeof created_at === 'string' ? Date.parse(created_at) : Number.NaN;
  return !(created > limit);
}

/** Its date cannot be relied on, so nothing of a bad record that has to do with an erased person is kept. */
function isBadErased(list: Suppressions, stream: Stream, { recordId, rawText }: BadRecord): boolean {
  if (recordId !== null && list.has(rowMark(stream.name, recordId))) return true;
  return marksOfText(stream, rawText).some((mark) => list.has(mark));
}

/** Ids shorter than this turn up in texts by chance. */
const LEAST_ID = 16;

/** All marks that a text may hold: addresses, numbers, long ids of what the stream refers to; and what it maps to. */
export function marksOfText(stream: Pick<Stream, 'name' | 'table' | 'mapRecord'>, text: string): Mark[] {
  const { refersTo = {} } = stream.table.personal ?? {};
  const ids = text.match(new RegExp(`[\\w-]{${LEAST_ID},100}`, 'g')) ?? [];
  const streams = new Set([stream.name, ...Object.values(refersTo)]);
  const references = [...streams].flatMap((name) => ids.map((id) => rowMark(name, id)));
  return [...marksIn(text), ...references, ...mappedLinks(stream, text)];
}

function mappedLinks(stream: Pick<Stream, 'name' | 'table' | 'mapRecord'>, text: string): Mark[] {
  try {
    const row = stream.mapRecord(JSON.parse(text));
    return [rowMark(stream.name, row.id), ...linksOf(stream.table, row)];
  } catch (error) {
    if (error instanceof RecordError || error instanceof SyntaxError || error instanceof TypeError) return [];
    throw error;
  }
}

/** A column, or a path within a column of JSON or within `raw`. */
function valueAt(row: Readonly<Record<string, unknown>>, path: string): unknown {
  if (!path.includes('.')) return row[path];
  return path.split('.').reduce<unknown>((value, step) => {
    if (typeof value !== 'object' || value === null) return undefined;
    return (value as Readonly<Record<string, unknown>>)[step];
  }, row);
}

const textOf = (value: unknown): string | null =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : null;

/** What connects a row with a person, its own id left out. */
function linksOf({ schema, name, personal = {} }: TableSpec, row: Row): Mark[] {
  const { addresses = [], numbers = [], keys = [], refersTo = {} } = personal;
  const marks: Mark[] = [];
  const add = <T>(path: string, read: (value: unknown) => T | null, markOf: (found: T) => Mark) => {
    const found = read(valueAt(row, path));
    if (found !== null) marks.push(markOf(found));
  };
  for (const path of addresses) add(path, addressOf, addressMark);
  for (const path of numbers) add(path, numberOf, numberMark);
  for (const path of keys) add(path, textOf, (key) => rowMark(`${schema}.${name}`, key));
  for (const [path, stream] of Object.entries(refersTo)) add(path, textOf, (key) => rowMark(stream, key));
  return marks;
}

function huskOf(table: TableSpec, row: Row, erasedAt: Date): Row {
  const kept = keptColumns(table);
  const columns = Object.keys(table.columns).map((column) => [column, kept.has(column) ? row[column] : null]);
  const { id, updated_at, deleted_at } = row;
  const erased_at = erasedAt.toISOString();
  return { ...Object.fromEntries(columns), id, updated_at, deleted_at, raw: ERASED, erased_at };
}

/** What stands for the record of an erased person. */
export const ERASED = { erased: true } as const;

/** A row about one person is a new contact and stays whole; any other loses what connects it with the erased one. */
function withoutLinks(stream: Stream, row: Row): Row[] {
  const { isPerson = false, refersTo = {}, links = [] } = stream.table.personal ?? {};
  if (isPerson && Object.keys(refersTo).length === 0) return [row];
  return [stream.mapRecord(links.reduce(withoutField, row.raw))];
}

function withoutField(record: unknown, path: string): unknown {
  const [first = '', ...rest] = path.split('.');
  if (typeof record !== 'object' || record === null || !(first in record)) return record;
  const { [first]: inner, ...others } = record as Readonly<Record<string, unknown>>;
  return rest.length === 0 ? others : { ...others, [first]: withoutField(inner, rest.join('.')) };
}
