import { errorCode } from '../errors.ts';
import { DRIFT_EXAMPLES, type Drift, type DriftKind, keepDrift } from '../store/engine/schema-drift.ts';
import type { JsonType, Row, Stream } from '../stream.ts';
import type { Run } from './run-pass.ts';

/** Schema drift: top-level fields that are unknown or of another JSON type. Only names, types and ids are kept. */

/** Stands for a name that may itself be data: an address, a number, an id, a sentence. */
export const ODD_NAME = '(odd name)';
const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
const OBJECT_ID = /^[0-9a-f]{24}$/;
/** An object that is used as a map has no end of names. */
const NAMES_PER_PAGE = 50;

interface FoundField {
  readonly path: string;
  readonly kind: DriftKind;
  readonly types: Set<JsonType>;
  seenCount: number;
  readonly recordIds: string[];
  lastId: string | null;
}

/** What a page's records show beyond what the stream knows of them. */
export function findDrift({ fields }: Stream, rows: readonly Row[]): readonly Drift[] {
  if (fields === undefined) return [];
  const found = new Map<string, FoundField>();
  for (const { id, raw } of rows) {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) continue;
    const record = raw as Readonly<Record<string, unknown>>;
    for (const name in record) {
      const value = record[name];
      const types = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (types !== undefined && (value === null || types.includes(jsonTypeOf(value)))) continue;
      note(found, types === undefined ? 'new_field' : 'other_type', { name, id, type: jsonTypeOf(value) });
    }
  }
  return [...found.values()].map(({ path, kind, types, seenCount, recordIds }) => ({
    ...{ path, kind, seenCount, recordIds },
    types: [...types].sort(),
  }));
}

/** False for a name that may be data itself. */
export const isPlainName = (name: string): boolean => PLAIN_NAME.test(name) && !OBJECT_ID.test(name);

function note(
  found: Map<string, FoundField>,
  kind: DriftKind,
  { name, id, type }: { name: string; id: string; type: JsonType },
): void {
  const isOdd = kind === 'new_field' && !isPlainName(name);
  const isKnown = found.has(`${kind} ${name}`);
  const path = isOdd || (!isKnown && found.size >= NAMES_PER_PAGE) ? ODD_NAME : name;
  const key = `${kind} ${path}`;
  const one: FoundField = found.get(key) ?? { path, kind, types: new Set(), seenCount: 0, recordIds: [], lastId: null };
  found.set(key, one);
  one.types.add(type);
  // One record may have many odd names: it counts once.
  if (one.lastId === id) return;
  one.lastId = id;
  one.seenCount += 1;
  if (one.recordIds.length < DRIFT_EXAMPLES) one.recordIds.push(id);
}

export function jsonTypeOf(value: unknown): JsonType {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  const type = typeof value;
  return type === 'string' || type === 'number' || type === 'boolean' ? type : 'object';
}

/** What this process has reported already. A stream object belongs to one connection. */
const reported = new WeakMap<Stream, Set<string>>();

/** Counts the drift of a saved page. Never fails the run. Drift that was reported, of an unchanged page, is free. */
export async function reportDrift(run: Run, drift: readonly Drift[], { hasWritten }: { readonly hasWritten: boolean }) {
  if (drift.length === 0) return;
  const { stream } = run.job;
  const known = reported.get(stream) ?? new Set<string>();
  reported.set(stream, known);
  if (!hasWritten && drift.every((one) => keysOf(one).every((key) => known.has(key)))) return;
  const { prisma, logger } = run.parts;
  try {
    await keepDrift(prisma, run.lease, drift);
  } catch (error) {
    // What is still there is seen again.
    logger.warn({ stream: stream.name, error: errorCode(error) }, 'schema drift could not be noted');
    return;
  }
  for (const one of drift) {
    const { path, kind, types } = one;
    if (keysOf(one).every((key) => known.has(key))) continue;
    for (const key of keysOf(one)) known.add(key);
    logger.warn({ stream: stream.name, path, kind, types }, 'records have a field that is not as it is known');
  }
}

const keysOf = ({ path, kind, types }: Drift): string[] => types.map((type) => `${kind} ${path} ${type}`);
