import { join, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { Environment, Given } from './environment.ts';
import { type Findings, UNKNOWN_KEY } from './findings.ts';
import { noteIfOpen, readOptionalText, readSecretFile } from './read-file.ts';
import { SCHEDULE_KEYS } from './schedules.ts';
import { tidy } from './tidy.ts';
import type { VariableName } from './variables.ts';

export const CONNECTIONS_FILE = 'leadmirror.yaml';

/** One item of `connections`, references resolved. */
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

/** The keys beside `connections`, each another way to set a variable. */
const SETTINGS = { history: 'SYNC_HISTORY_STREAMS', feed: 'SYNC_FEED_STREAMS' } as const satisfies Record<
  string,
  VariableName
>;

export interface ConnectionsFile {
  readonly entries: readonly FileEntry[];
  /** What the file sets of the variables, by their names. */
  readonly settings: ReadonlyMap<string, Given>;
}

/** Ten thousand connections take two megabytes. */
const MAX_BYTES = 16 * 1024 * 1024;

/** The keys that an entry may have: of one source, or of any when the source is not known. */
type EntryKeys = (source?: unknown) => readonly string[];

interface FileContext {
  readonly cwd: string;
  readonly environment: Environment;
  readonly findings: Findings;
  /** Called with the absolute path of every file that may contain connections, also of a missing one. */
  readonly onFile?: (path: string) => void;
}

export function readConnectionsFile(keysOf: EntryKeys, context: FileContext): ConnectionsFile {
  const { cwd, findings, onFile = () => {} } = context;
  const path = join(cwd, CONNECTIONS_FILE);
  onFile(path);
  const read = readOptionalText(path, MAX_BYTES);
  if (read === null) {
    if (readOptionalText(join(cwd, 'leadmirror.yml')) !== null) {
      findings.note(`leadmirror.yml is not read; rename it to ${CONNECTIONS_FILE}`);
    }
    return NOTHING;
  }
  if ('why' in read) {
    findings.problem(CONNECTIONS_FILE, read.why);
    return NOTHING;
  }
  // One that only refers to secrets may be read by all.
  if (/^[^#\n]*(?:password|token|secret)(?!file)["']?[ \t]*:[ \t]*(?!["']?\$\{)\S/im.test(read.text)) {
    noteIfOpen(`${CONNECTIONS_FILE} is a file with secrets that`, path, read.mode, findings);
  }
  const content = parseYaml(read.text, findings);
  if (content === null || content === '' || content === undefined) return NOTHING;
  if (!isMapping(content)) {
    findings.problem(CONNECTIONS_FILE, 'must begin with "connections:"');
    return NOTHING;
  }
  // What fits of a file with problems is read all the same, so that the problems of its values are reported along with them.
  const entries = itemsOf(content, findings).flatMap((item, index) => {
    if (isMapping(item)) return [readEntry(item, index, keysOf, context)];
    findings.problem(labelOf(['connections', index]), 'must have keys such as "source: tiledesk"');
    return [];
  });
  return { entries, settings: readSettings(content, context) };
}

const NOTHING: ConnectionsFile = { entries: [], settings: new Map() };

function readSettings(content: Mapping, context: FileContext): ReadonlyMap<string, Given> {
  const settings = new Map<string, Given>();
  for (const [key, name] of Object.entries(SETTINGS)) {
    const given = readGiven(content[key] ?? '', labelOf([key]), context);
    if (given.text === '') continue;
    const other = context.environment.given(name);
    if (other !== null) context.findings.problem(given.label, `is set, and ${other.label} too; keep one of them`);
    settings.set(name, other === null ? given : { ...given, text: null });
  }
  return settings;
}

function itemsOf(content: Mapping, findings: Findings): readonly unknown[] {
  const known = ['connections', ...Object.keys(SETTINGS)];
  for (const key of Object.keys(content)) {
    if (!known.includes(key)) findings.unknownKey(key, known, (shown) => labelOf([shown]));
  }
  const { connections = '' } = content;
  if (Array.isArray(connections)) return connections;
  if (connections !== '') findings.problem(labelOf(['connections']), 'must be a list, each item beginning with "- "');
  return [];
}

/** Only what looks like a key is repeated: a password on the wrong side of the colon is not. */
const shownKey = (key: string): string => (/^[a-z_-]{1,30}\d?[a-z_-]{0,30}$/i.test(key) ? key : UNKNOWN_KEY);

function labelOf(path: readonly PropertyKey[]): string {
  const location = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${shownKey(String(part))}`)).join('');
  return location === '' ? CONNECTIONS_FILE : `${CONNECTIONS_FILE}: ${location.slice(1)}`;
}

/** Our messages by the YAML reader's codes. Its own messages quote the file, which may contain a password. */
const YAML_ADVICE: Readonly<Record<string, string>> = {
  BAD_INDENT: 'the indentation does not fit, or a bracket is not closed',
  BAD_ALIAS: 'a text beginning with * needs quotes',
  BAD_SCALAR_START: 'a text beginning with @ or a backtick needs quotes',
  BAD_DQ_ESCAPE: 'a backslash needs single quotes around the text',
  BLOCK_AS_IMPLICIT_KEY: 'a text with ": " in it needs quotes, or the indentation does not fit',
  MULTILINE_IMPLICIT_KEY: 'a key has no ":" behind it',
  DUPLICATE_KEY: 'this key is there twice',
  MISSING_CHAR: 'a quote, bracket or ":" is missing',
  MULTIPLE_DOCS: 'only one document is read; remove "---"',
  TAB_AS_INDENT: 'indent with spaces, not with tabs',
};

/** Reads everything as text (YAML's `failsafe` schema): to YAML, the project id 600000000000000000000e10 is a number, and the password 0123 loses its zero. */
function parseYaml(text: string, findings: Findings): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    schema: 'failsafe',
    prettyErrors: false,
    logLevel: 'error',
    lineCounter: lines,
  });
  for (const { code, pos } of document.errors) {
    const { line, col } = lines.linePos(pos[0]);
    findings.problem(CONNECTIONS_FILE, `line ${line}, column ${col}: ${YAML_ADVICE[code] ?? 'this is not valid YAML'}`);
  }
  if (document.errors.length > 0) return null;
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch {
    findings.problem(CONNECTIONS_FILE, 'has an alias (*name) without its anchor; a text beginning with * needs quotes');
    return null;
  }
}

type Mapping = Readonly<Record<string, unknown>>;

const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A text, or a list of texts as if comma separated; null for anything else. */
function simpleText(value: unknown): string | null {
  if (Array.isArray(value)) return value.every((each) => typeof each === 'string') ? value.join(',') : null;
  return typeof value === 'string' ? value : null;
}

type ValueContext = Pick<FileContext, 'environment' | 'findings'>;

/** A value with its references resolved; the text is null where that is not possible, which is reported. */
function readGiven(
  value: unknown,
  label: string,
  { environment, findings, keepsSpaces = false }: ValueContext & { readonly keepsSpaces?: boolean },
): Given {
  const simple = simpleText(value);
  if (simple === null) findings.problem(label, 'must be a simple value; a text with special characters needs quotes');
  const resolved = simple && resolveReferences(simple, { label, environment, findings });
  return { label, text: resolved && tidy(resolved, { label, keepsSpaces, findings }) };
}

/** Stands between the names of a path; no key of YAML text contains it. */
const SEPARATOR = '\0';

function readEntry(
  item: Mapping,
  index: number,
  keysOf: EntryKeys,
  { cwd, environment, findings, onFile = () => {} }: FileContext,
): FileEntry {
  const label = (...path: readonly string[]): string => labelOf(['connections', index, ...path]);
  const texts = new Map<string, Given>();
  const readText = (value: unknown, path: readonly string[]): void => {
    // Passwords keep their spaces, as in the environment.
    const given = readGiven(value, label(...path), { environment, findings, keepsSpaces: path[0] === 'password' });
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

/** Puts the values of `${NAME}` in. Null when one is missing, which is reported. */
function resolveReferences(
  text: string,
  { label, environment, findings }: ValueContext & { readonly label: string },
): string | null {
  let isComplete = true;
  const resolved = text.replace(/\$\{([^}]*)\}/g, (_, name: string) => {
    if (!/^[A-Za-z_]\w*$/.test(name)) {
      findings.problem(label, 'has a $ with braces around more than the name of a variable');
      isComplete = false;
      return '';
    }
    const given = environment.reference(name);
    if (given === null) findings.problem(label, `refers to \${${name}}, which is not set`);
    if (given === null || given.text === null) isComplete = false;
    return given?.text ?? '';
  });
  return isComplete ? resolved : null;
}
