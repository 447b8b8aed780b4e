import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type EntryContext, type EntryKeys, isMapping, type Mapping, readEntry, readGiven } from './entry.ts';
import type { Environment, Given } from './environment.ts';
import { type Findings, UNKNOWN_KEY } from './findings.ts';
import { noteIfOpen, readOptionalText } from './read-file.ts';
import type { VariableName } from './variables.ts';

export const CONNECTIONS_FILE = 'leadmirror.yaml';

/** The keys beside `connections`, each another way to set a variable. */
const SETTINGS = { history: 'SYNC_HISTORY_STREAMS', feed: 'SYNC_FEED_STREAMS' } as const satisfies Record<
  string,
  VariableName
>;

/** Ten thousand connections take two megabytes. */
const MAX_BYTES = 16 * 1024 * 1024;

interface FileContext {
  readonly cwd: string;
  readonly environment: Environment;
  readonly findings: Findings;
  /** Called with the absolute path of every file that may contain connections, also of a missing one. */
  readonly onFile?: (path: string) => void;
}

/** Reads the entries of leadmirror.yaml, and what it sets of the variables, by their names. */
export function readConnectionsFile(keysOf: EntryKeys, context: FileContext) {
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
  const resolveReferences = (text: string, label: string) => resolveIn(text, { ...context, label });
  // A file with problems is read as far as it fits, so that problems of values are reported along with them.
  const entries = itemsOf(content, findings).flatMap((item, index) => {
    const label = (...keys: readonly string[]): string => labelOf(['connections', index, ...keys]);
    if (isMapping(item)) return [readEntry(item, { ...context, keysOf, label, resolveReferences })];
    findings.problem(labelOf(['connections', index]), 'must have keys such as "source: tiledesk"');
    return [];
  });
  return { entries, settings: readSettings(content, { ...context, resolveReferences }) };
}

const NOTHING = { entries: [], settings: new Map<string, Given>() };

/** The keys below `privacy`. */
const PRIVACY = { retention: 'PRIVACY_RETENTION', visitsCount: 'PRIVACY_VISITS_COUNT' } as const satisfies Record<
  string,
  VariableName
>;

const RULE_KEYS = ['stream', 'since', 'after', 'do'] as const;

function readSettings(
  content: Mapping,
  context: FileContext & Pick<EntryContext, 'resolveReferences'>,
): ReadonlyMap<string, Given> {
  const settings = new Map<string, Given>();
  const privacy = isMapping(content.privacy) ? content.privacy : {};
  if (privacy !== content.privacy && (content.privacy ?? '') !== '') {
    context.findings.problem(labelOf(['privacy']), 'must have keys of its own, such as "retention:"');
  }
  for (const key of Object.keys(privacy)) {
    if (!(key in PRIVACY))
      context.findings.unknownKey(key, Object.keys(PRIVACY), (shown) => labelOf(['privacy', shown]));
  }
  const given = [
    ...Object.entries(SETTINGS).map(
      ([key, name]) => [name, readGiven(content[key] ?? '', labelOf([key]), context)] as const,
    ),
    ...Object.entries(PRIVACY).map(([key, name]) => {
      const label = labelOf(['privacy', key]);
      return [name, readGiven(rulesAsText(privacy[key], label, context) ?? '', label, context)] as const;
    }),
  ];
  for (const [name, { label, text }] of given) {
    const given = { label, text };
    if (given.text === '') continue;
    const other = context.environment.given(name);
    if (other !== null) context.findings.problem(given.label, `is set, and ${other.label} too; keep one of them`);
    settings.set(name, other === null ? given : { ...given, text: null });
  }
  return settings;
}

/** A rule may be written with a key for each of its parts. */
function rulesAsText(value: unknown, label: string, { findings }: FileContext): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((rule: unknown, index) => {
    if (!isMapping(rule)) return rule;
    for (const key of Object.keys(rule)) {
      if (!(RULE_KEYS as readonly string[]).includes(key)) {
        findings.unknownKey(key, RULE_KEYS, (shown) => `${label}[${index}].${shown}`);
      }
    }
    return RULE_KEYS.map((key) => rule[key] ?? '')
      .join(' ')
      .trim();
  });
}

function itemsOf(content: Mapping, findings: Findings): readonly unknown[] {
  const known = ['connections', ...Object.keys(SETTINGS), 'privacy'];
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

const require = createRequire(import.meta.url);

/** Reads everything as text: to YAML, the id 600000000000000000000e10 is a number, and 0123 loses its zero. */
function parseYaml(text: string, findings: Findings): unknown {
  // Loaded here: most mirrors have no such file, and the library takes 30 ms and 5 MB of every start.
  const { LineCounter, parseDocument } = require('yaml') as typeof import('yaml');
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

/** Puts the values of `${NAME}` in. Null when one is missing, which is reported. */
function resolveIn(
  text: string,
  { label, environment, findings }: Pick<FileContext, 'environment' | 'findings'> & { readonly label: string },
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
