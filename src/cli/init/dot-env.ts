import { isDeepStrictEqual, parseEnv } from 'node:util';
import { readOptionalText } from '../../config.ts';
import { UsageError } from '../command.ts';

/** Returns the entry that Node reads back as it is; null where no kind of quotes fits, as with all three and a `#`. */
export function formatEntry(name: string, value: string): string | null {
  const isPlain = /^[\w@.:/+,=-]+$/.test(value);
  // Single quotes first: Docker Compose reads `$` inside of double quotes, and does not know backticks.
  const forms = [...(isPlain ? [value] : []), `'${value}'`, `"${value}"`, `\`${value}\``, value];
  const form = forms.find((text) => readsBack(name, text, value));
  return form === undefined ? null : `${name}=${form}`;
}

/** With lines below that hold each kind of quotes: a quote that nothing closes on its own line reaches into them. */
function readsBack(name: string, form: string, value: string): boolean {
  const below = { BELOW_1: 'x', BELOW_2: 'y', BELOW_3: 'z' };
  const read = parseEnv(`${name}=${form}\nBELOW_1='x'\nBELOW_2="y"\nBELOW_3=\`z\`\n`);
  return isDeepStrictEqual({ ...read }, { [name]: value, ...below });
}

/** The text of a `.env`; null when there is none. @throws UsageError when it cannot be read */
export function readIfThere(path: string): string | null {
  const read = readOptionalText(path);
  if (read !== null && 'why' in read) throw new UsageError(`${path} ${read.why}. Nothing was written.`);
  return read?.text ?? null;
}

/** One entry with its value, which may go over several lines when it is in quotes. */
const ENTRY = /[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*(?:"[^"]*"|'[^']*'|`[^`]*`|[^\r\n]*)[^\r\n]*(?:\r?\n|$)/y;
const LINE = /[^\n]*(?:\n|$)/y;

interface Piece {
  readonly text: string;
  /** Null for comments, empty lines, and what is no entry. */
  readonly name: string | null;
}

function split(text: string): Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < text.length; ) {
    ENTRY.lastIndex = at;
    LINE.lastIndex = at;
    const entry = ENTRY.exec(text);
    const piece = entry?.[0] ?? LINE.exec(text)?.[0] ?? '';
    pieces.push({ text: piece, name: entry?.[1] ?? null });
    at += piece.length;
  }
  return pieces;
}

export type Changes = Readonly<Record<string, string | null>>;

/**
 * Returns `.env` with these variables changed; null removes one. A new one goes below its comment (`#NAME=`), or last.
 * @throws UnwritableError when a value cannot be written, or the file is not understood well enough to change it
 */
export function mergeDotEnv(text: string, changes: Changes): string {
  const entries = new Map<string, string | null>();
  for (const [name, value] of Object.entries(changes)) {
    const entry = value === null ? null : formatEntry(name, value);
    if (value !== null && entry === null) throw new UnwritableError(`${name} cannot be written into .env.`);
    entries.set(name, entry);
  }
  const waiting = new Map([...entries].filter(([, entry]) => entry !== null));
  // Node's reader takes a comment on a last line without an end for an entry.
  const before = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  const pieces = split(before);
  const present = new Set(pieces.map(({ name }) => name));
  const lines = pieces.flatMap((piece) => {
    const { name } = piece;
    if (name === null) {
      const shown = /^#[ \t]*([\w.-]+)=/.exec(piece.text)?.[1];
      const entry = shown === undefined || present.has(shown) ? undefined : waiting.get(shown);
      if (shown === undefined || entry === undefined) return [piece.text];
      waiting.delete(shown);
      return [piece.text, `${entry}\n`];
    }
    if (!entries.has(name)) return [piece.text];
    const entry = waiting.get(name);
    waiting.delete(name);
    return entry === undefined ? [] : [`${entry}\n`];
  });
  const rest = [...waiting.values()];
  const gap = rest.length > 0 && lines.length > 0 && lines.at(-1)?.trim() !== '' ? ['\n'] : [];
  const merged = [...lines, ...gap, ...rest.map((entry) => `${entry}\n`)].join('');
  if (!isMerged(before, merged, changes)) {
    throw new UnwritableError('.env holds lines that are not NAME=value, so it cannot be changed safely.');
  }
  return merged;
}

/** Asks the reader: every change arrived, and nothing else changed. */
function isMerged(before: string, after: string, changes: Changes): boolean {
  const expected = new Map<string, string | undefined>(Object.entries(parseEnv(before)));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) expected.delete(name);
    else expected.set(name, value);
  }
  const read = Object.entries(parseEnv(after));
  return read.length === expected.size && read.every(([name, value]) => expected.get(name) === value);
}

export class UnwritableError extends Error {}
