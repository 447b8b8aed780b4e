import { join, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { Environment, Given } from './environment.ts';
import type { Findings } from './findings.ts';
import { readOptionalText, readSecretFile } from './read-file.ts';

export const CONNECTIONS_FILE = 'leadmirror.yaml';

/** One item of `connections`, references resolved. */
export interface FileEntry {
  /** As written, of those that any entry may have. */
  readonly keys: readonly string[];
  given(key: string): Given | null;
  /** `leadmirror.yaml: connections[1].projectId` */
  label(key: string): string;
}

/** The keys that an entry may have: of one source, or of any when the source is not known. */
export type EntryKeys = (source?: unknown) => readonly string[];

interface Context {
  readonly cwd: string;
  readonly environment: Environment;
  readonly findings: Findings;
}

/** Reads the optional file of the working directory. */
export function readConnectionsFile(keysOf: EntryKeys, context: Context): readonly FileEntry[] {
  const { cwd, findings } = context;
  const read = readOptionalText(join(cwd, CONNECTIONS_FILE));
  if (read === null) {
    if (readOptionalText(join(cwd, 'leadmirror.yml')) !== null) {
      findings.note(`leadmirror.yml is not read; rename it to ${CONNECTIONS_FILE}`);
    }
    return [];
  }
  if ('why' in read) {
    findings.problem(CONNECTIONS_FILE, read.why);
    return [];
  }
  const content = parseYaml(read.text, findings);
  if (content === null || content === '' || content === undefined) return [];
  const items: unknown[] = isMapping(content) && Array.isArray(content.connections) ? content.connections : [];
  const sourceOf = (item: unknown): unknown => (isMapping(item) ? item.source : undefined);
  findings.check(fileSchema(keysOf()), content, {
    label: labelOf,
    knownKeys: ([, index]) => (index === undefined ? ['connections'] : keysOf(sourceOf(items[Number(index)]))),
  });
  // What fits of a file with problems is read all the same, so that the problems of its values are told along with them.
  return items.flatMap((item, index) => (isMapping(item) ? [readEntry(item, index, keysOf(), context)] : []));
}

/** A text, or a list of texts as if comma separated. */
const simpleValue = z.union([z.string(), z.array(z.string()).transform((texts) => texts.join(','))], {
  error: 'must be a simple value; a text with special characters needs quotes',
});

function fileSchema(entryKeys: readonly string[]) {
  const entry = z.strictObject(
    Object.fromEntries(entryKeys.map((key) => [key, simpleValue.optional()])),
    'must have keys such as "source: tiledesk"',
  );
  const connections = z.array(entry, 'must be a list, each item beginning with "- "');
  return z.strictObject(
    { connections: z.preprocess((list) => (list === '' ? [] : list), connections).optional() },
    'must begin with "connections:"',
  );
}

function labelOf(path: readonly PropertyKey[]): string {
  const place = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return place === '' ? CONNECTIONS_FILE : `${CONNECTIONS_FILE}: ${place.slice(1)}`;
}

/** What a person can do about a code of the YAML reader. Its own messages quote the file, and so perhaps a password. */
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

/**
 * Reads everything as text (YAML's `failsafe` schema): to YAML, the project id 600000000000000000000e10 would be a number and a
 * password 0123 would lose its zero. The schemas give the values their types.
 */
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

function readEntry(
  item: Mapping,
  index: number,
  entryKeys: readonly string[],
  { cwd, environment, findings }: Context,
): FileEntry {
  const label = (key: string): string => labelOf(['connections', index, key]);
  const texts = new Map<string, Given>();
  const keys = entryKeys.filter((name) => item[name] !== undefined);
  for (const key of keys) {
    const { data = null } = simpleValue.safeParse(item[key]);
    const resolved = data === null ? null : resolveReferences(data, { label: label(key), environment, findings });
    // Passwords keep their spaces, as in the environment.
    const text = key === 'password' ? resolved : (resolved?.trim() ?? null);
    if (text !== '') texts.set(key, { label: label(key), text });
  }
  for (const fileKey of keys.filter((name) => name.endsWith('File'))) {
    const file = texts.get(fileKey);
    if (file === undefined) continue;
    const key = fileKey.slice(0, -'File'.length);
    const isGivenToo = texts.has(key);
    if (isGivenToo) findings.problem(file.label, `is set, and ${key} too; keep one of them`);
    const isReadable = !isGivenToo && file.text !== null;
    texts.set(key, {
      ...file,
      text: isReadable ? readSecretFile(resolve(cwd, file.text), file.label, findings) : null,
    });
  }
  return { keys, label, given: (key) => texts.get(key) ?? null };
}

/** Puts the values of `${NAME}` in. Null when one is missing, which is reported. */
function resolveReferences(
  text: string,
  { label, environment, findings }: Pick<Context, 'environment' | 'findings'> & { readonly label: string },
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
