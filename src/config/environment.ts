import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import type { Findings } from './findings.ts';
import { noteIfOpen, readOptionalText, readSecretFile } from './read-file.ts';
import { closest } from './suggest.ts';
import { tidy } from './tidy.ts';
import { defaultOf, VARIABLES, type VariableName } from './variables.ts';

/** A setting that was given. `text` is null when it cannot be read, which is then already reported. */
export interface Given {
  /** Where a problem with it is to be looked for. */
  readonly label: string;
  readonly text: string | null;
}

/** What is to be validated: the text, the default of `name` when unset, or null when it cannot be read. */
export const textOf = (given: Given | null, name: string): string | null | undefined =>
  given === null ? defaultOf(name) : given.text;

/** A password may begin or end with a space. Elsewhere a stray space or carriage return is never meant. */
const KEEPS_SPACES: ReadonlySet<string> = new Set(['TILEDESK_PASSWORD', 'TILKEE_PASSWORD'] satisfies VariableName[]);

/**
 * The variables of the process and of `.env`, each also as NAME_FILE. The process wins whatever the spelling: its
 * TILEDESK_PASSWORD_FILE beats TILEDESK_PASSWORD of `.env`, and an empty variable switches one of `.env` off.
 */
export class Environment {
  readonly #values: ReadonlyMap<string, string>;
  readonly #cwd: string;
  readonly #findings: Findings;
  readonly #given = new Map<string, Given | null>();
  readonly #referenced = new Set<string>();

  constructor(options: { env: Readonly<Record<string, string | undefined>>; cwd: string; findings: Findings }) {
    this.#cwd = options.cwd;
    this.#findings = options.findings;
    this.#values = merge(options.env, readDotEnv(options.cwd, options.findings));
  }

  /** A variable's text from NAME or NAME_FILE; null when unset or empty. Reports an unreadable file once. */
  given(name: string): Given | null {
    const known = this.#given.get(name);
    if (known !== undefined) return known;
    const given = this.#read(name);
    this.#given.set(name, given);
    return given;
  }

  /** Does the same for a `${NAME}` in leadmirror.yaml: the variable then belongs to the file. */
  reference(name: string): Given | null {
    this.#referenced.add(name);
    return this.given(name);
  }

  isReferenced(name: string): boolean {
    return this.#referenced.has(name);
  }

  /** The names of all variables that have a value. */
  names(): string[] {
    return [...this.#values].filter(([, text]) => text !== '').map(([name]) => name);
  }

  #read(name: string): Given | null {
    // Lower case wins where both are set, as with curl.
    const lower = /^(HTTPS?|NO)_PROXY$/.test(name) ? this.given(name.toLowerCase()) : null;
    if (lower !== null) return lower;
    const rules = { keepsSpaces: KEEPS_SPACES.has(name), findings: this.#findings };
    const text = tidy(this.#values.get(name) ?? '', { ...rules, label: name });
    const fileName = `${name}_FILE`;
    const file = tidy(this.#values.get(fileName) ?? '', { ...rules, label: fileName, keepsSpaces: false });
    if (!file) return text ? { label: name, text } : null;
    if (text) {
      this.#findings.problem(name, `is set, and ${fileName} too; keep one of them`);
      return { label: name, text: null };
    }
    return { label: fileName, text: readSecretFile(resolve(this.#cwd, file), { ...rules, label: fileName }) };
  }
}

const baseName = (name: string): string => name.replace(/_FILE$/, '');

/** HTTP_PROXY and http_proxy are one variable, too. */
const identity = (name: string): string => baseName(name).toUpperCase();

function merge(
  env: Readonly<Record<string, string | undefined>>,
  dotEnv: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const own = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const decided = new Set(own.map(([name]) => identity(name)));
  return new Map([...[...dotEnv].filter(([name]) => !decided.has(identity(name))), ...own]);
}

function readDotEnv(cwd: string, findings: Findings): ReadonlyMap<string, string> {
  const path = join(cwd, '.env');
  const read = readOptionalText(path);
  if (read === null) return new Map();
  if ('why' in read) {
    findings.problem('.env', read.why);
    return new Map();
  }
  const text = read.text.replace(/\r\n?/g, '\n');
  const values = new Map(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? '']));
  warnOfBrokenLines(text, [...values.keys()], findings);
  warnOfCutValues(text, findings);
  if (VARIABLES.some((variable) => variable.secret && values.get(variable.name))) {
    noteIfOpen('.env is a file with secrets that', path, read.mode, findings);
  }
  // Node reads this one before any program starts, and only from the process's own environment.
  if (values.has('NODE_EXTRA_CA_CERTS')) {
    findings.note('NODE_EXTRA_CA_CERTS has no effect in .env; set it in the environment that starts leadmirror');
  }
  return values;
}

/** Node's parser takes a line without `=` for the beginning of the next name, and that variable is silently lost. */
function warnOfBrokenLines(text: string, names: readonly string[], findings: Findings): void {
  const lines = text.split('\n').map((line) => line.trim());
  for (const name of names) {
    if (/^[\w.-]+$/.test(name)) continue;
    const [first = ''] = name.split('\n');
    const number = lines.findIndex((line) => line.startsWith(first.trim())) + 1;
    findings.problem('.env', `line ${number || '?'} is not NAME=value; correct it, or begin it with #`);
  }
}

/** An unquoted `#` begins a comment even without a space: half a password looks like a wrong password. */
function warnOfCutValues(text: string, findings: Findings): void {
  const known = new Set<string>(VARIABLES.map(({ name }) => name));
  const line = /^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=(?:#|(?![ \t]*["'`])[^\r\n#]*[^\s#]#)/gm;
  for (const [, name] of text.matchAll(line)) {
    if (name === undefined || !known.has(name)) continue;
    findings.hint(name, 'is cut at "#" in .env; put the value in double quotes to keep all of it');
  }
}

const PREFIXES = [...new Set(VARIABLES.map(({ name }) => `${name.split('_')[0]}_`))];

/** Reports variables like misspelt ones of ours. Other programs have some too, so only near misses count. */
export function hintAtTypos(environment: Environment, findings: Findings): void {
  const known: readonly string[] = VARIABLES.map(({ name }) => name);
  for (const name of environment.names()) {
    const base = baseName(name);
    if (known.includes(name) || known.includes(base) || environment.isReferenced(base)) continue;
    // A slip in the prefix itself is only believed in long names: APP_PORT is no attempt at OPS_PORT.
    const isOurs = PREFIXES.some((prefix) => base.startsWith(prefix));
    const meant = isOurs || base.length >= 12 ? closest(base, known) : null;
    if (meant !== null) findings.hint(name, `is not known; did you mean ${meant}${name.slice(base.length)}?`);
  }
}
