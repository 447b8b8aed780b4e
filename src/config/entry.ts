import { resolve } from 'node:path';
import type { Given } from './environment.ts';
import type { Findings } from './findings.ts';
import { readSecretFile } from './read-file.ts';
import { SCHEDULE_KEYS } from './schedules.ts';
import { tidy } from './tidy.ts';

/** One account as leadmirror.yaml or the database has it, references resolved. */
export interface FileEntry {
  /** The keys as written, of those that any entry may have. */
  readonly keys: readonly string[];
  /** The names under `streamSchedules`, as written. */
  readonly scheduledStreams: readonly string[];
  /** The text of a key; of one inside another by both names: `schedule`, `timezone`. */
  readonly given: (...path: readonly string[]) => Given | null;
  /** `leadmirror.yaml: connections[1].projectId` */
  readonly label: (...path: readonly string[]) => string;
}

/** The keys that an entry may have: of one source, or of any when the source is not known. */
export type EntryKeys = (source?: unknown) => readonly string[];

export type Mapping = Readonly<Record<string, unknown>>;

export const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A text, or a list of texts as if comma separated; null for anything else. */
function simpleText(value: unknown): string | null {
  if (Array.isArray(value)) return value.every((each) => typeof each === 'string') ? value.join(',') : null;
  return typeof value === 'string' ? value : null;
}

interface ValueContext extends Pick<EntryContext, 'findings' | 'resolveReferences'> {
  readonly keepsSpaces?: boolean;
}

/** A value with its references resolved; the text is null where that is not possible, which is reported. */
export function readGiven(
  value: unknown,
  label: string,
  { findings, resolveReferences = (text) => text, keepsSpaces = false }: ValueContext,
): Given {
  const simple = simpleText(value);
  if (simple === null) findings.problem(label, 'must be a simple value; a text with special characters needs quotes');
  const resolved = simple && resolveReferences(simple, label);
  return { label, text: resolved && tidy(resolved, { label, keepsSpaces, findings }) };
}

/** Stands between the names of a path; no key of YAML text contains it. */
const SEPARATOR = '\0';

export interface EntryContext {
  readonly keysOf: EntryKeys;
  readonly label: FileEntry['label'];
  readonly findings: Findings;
  /** Puts the values of references into a text; null when one is missing. Without it a text stays as it is. */
  readonly resolveReferences?: (text: string, label: string) => string | null;
  readonly cwd: string;
  /** Called with the absolute path of every file that a key names. */
  readonly onFile?: (path: string) => void;
}

export function readEntry(
  item: Mapping,
  { keysOf, label, findings, resolveReferences, cwd, onFile = () => {} }: EntryContext,
): FileEntry {
  const texts = new Map<string, Given>();
  const readText = (value: unknown, path: readonly string[]): void => {
    // Passwords keep their spaces, as in the environment.
    const given = readGiven(value, label(...path), {
      findings,
      resolveReferences,
      keepsSpaces: path[0] === 'password',
    });
    if (given.text !== '') texts.set(path.join(SEPARATOR), given);
  };
  /** A key without anything behind it is as good as not there. */
  const mappingOf = (value: unknown, path: readonly string[], expected: string): Mapping => {
    if (isMapping(value)) return value;
    if (value !== undefined && value !== '') findings.problem(label(...path), expected);
    return {};
  };
  const readSchedule = (value: unknown, path: readonly string[]): void => {
    const expected = 'must have keys of its own, such as "incremental: off" or "timezone: Europe/Paris"';
    for (const [key, text] of Object.entries(mappingOf(value, path, expected))) {
      if ((SCHEDULE_KEYS as readonly string[]).includes(key)) readText(text, [...path, key]);
      else findings.unknownKey(key, SCHEDULE_KEYS, (shown) => label(...path, shown));
    }
  };

  const anyKeys = keysOf();
  const keys = Object.keys(item).filter((key) => anyKeys.includes(key));
  for (const [key, value] of Object.entries(item)) {
    if (!keys.includes(key)) findings.unknownKey(key, keysOf(item.source), (shown) => label(shown));
    else if (key !== 'schedule' && key !== 'streamSchedules') readText(value, [key]);
  }
  readSchedule(item.schedule, ['schedule']);
  const expected = 'must have streams as keys, such as "leads: { reconcile: off }"';
  const streamSchedules = mappingOf(item.streamSchedules, ['streamSchedules'], expected);
  for (const [name, value] of Object.entries(streamSchedules)) readSchedule(value, ['streamSchedules', name]);
  for (const fileKey of keys.filter((name) => name.endsWith('File'))) {
    const file = texts.get(fileKey);
    if (file === undefined) continue;
    const key = fileKey.slice(0, -'File'.length);
    const isGivenToo = texts.has(key);
    if (isGivenToo) findings.problem(file.label, `is set, and ${key} too; keep one of them`);
    const path = isGivenToo || file.text === null ? null : resolve(cwd, file.text);
    if (path !== null) onFile(path);
    const rules = { label: file.label, keepsSpaces: key === 'password', findings };
    texts.set(key, { ...file, text: path === null ? null : readSecretFile(path, rules) });
  }
  return {
    keys,
    scheduledStreams: Object.keys(streamSchedules),
    label,
    given: (...path) => texts.get(path.join(SEPARATOR)) ?? null,
  };
}
