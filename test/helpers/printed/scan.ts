import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Kind } from './record.ts';
import type { Line } from './recorder.ts';
import { createFinder, type Find, literally, PERMISSIONS, type Permission } from './rules.ts';

export interface Finding {
  readonly find: Find;
  readonly kind: Kind;
  readonly what: string;
  readonly test: string;
  /** Its surroundings, without it. */
  readonly excerpt: string;
}

export interface ScanResult {
  readonly findings: readonly Finding[];
  readonly counts: Readonly<Record<Kind, number>>;
  readonly characters: number;
  readonly ms: number;
}

/** The findings that are kept; more of the same say nothing new. */
const MOST_FINDINGS = 200;
const AROUND = 60;

/** Searches everything that a `Recorder` wrote into a directory. Holds one record at a time. */
export async function scanSaid(
  directory: string,
  permissions: readonly Permission[] = PERMISSIONS,
): Promise<ScanResult> {
  const startedAt = performance.now();
  const files = (await readdir(directory)).map((name) => join(directory, name));
  const secrets = new Set<string>();
  for (const file of files) {
    for await (const line of linesOf(file, '{"kind":"secret"')) {
      if (line.kind === 'secret') secrets.add(line.value);
    }
  }
  const findIn = createFinder(secrets);
  const counts: Record<Kind, number> = { command: 0, output: 0, log: 0, answer: 0, message: 0 };
  const findings: Finding[] = [];
  let characters = 0;
  for (const file of files) {
    const erased = new Set<string>();
    for await (const line of linesOf(file)) {
      if (line.kind === 'secret') continue;
      if (line.kind === 'erased') {
        erased.add(line.value.toLowerCase());
        continue;
      }
      const { kind, what, test, text } = line;
      counts[kind]++;
      characters += text.length;
      if (findings.length >= MOST_FINDINGS) continue;
      // The same thing twice in one text is one finding.
      const seen = new Set<string>();
      const found = [...findErased(erased, text), ...findIn(text)];
      for (const { find, match, at } of found) {
        if (seen.has(match) || isPermitted(permissions, { find, match, kind, what, test })) continue;
        seen.add(match);
        findings.push({ find, kind, what: hide(what, findIn(what)), test, excerpt: excerptOf(text, at, found) });
      }
    }
  }
  return { findings, counts, characters, ms: performance.now() - startedAt };
}

function* findErased(erased: ReadonlySet<string>, text: string): Generator<{ find: Find; match: string; at: number }> {
  const lower = text.toLowerCase();
  for (const value of erased) {
    const at = lower.indexOf(value);
    if (at >= 0) yield { find: 'erased person', match: text.slice(at, at + value.length), at };
  }
}

async function* linesOf(file: string, start = ''): AsyncGenerator<Line> {
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (text.startsWith(start)) yield JSON.parse(text);
  }
}

function isPermitted(
  permissions: readonly Permission[],
  { find, match, kind, what, test }: { find: Find; match: string; kind: Kind; what: string; test: string },
): boolean {
  return permissions.some(
    (each) =>
      each.kind === kind &&
      each.finds.includes(find) &&
      each.what.test(what) &&
      (each.match === undefined || each.match.test(match)) &&
      (each.file === undefined || test.split(':', 1)[0] === each.file),
  );
}

function excerptOf(text: string, at: number, found: readonly { match: string }[]): string {
  return hide(text.slice(Math.max(0, at - AROUND), at + 2 * AROUND), found).replace(/\s+/g, ' ');
}

/** A finding is printed where many may read it: its first letters are enough to look for it. What is joined to it may be the rest of a secret. */
function hide(text: string, found: readonly { match: string }[]): string {
  let hidden = text;
  for (const { match } of found) {
    const joined = new RegExp(`${literally(match)}[^\\s"'<>&,;:]*`, 'g');
    hidden = hidden.replace(joined, (whole) => `${match.slice(0, 3)}[…${whole.length}]`);
  }
  return hidden;
}

/** For people: one line when all is well, else one for each finding. */
export function describeScan({ findings, counts, characters, ms }: ScanResult): string {
  const { answer, log, command, output, message } = counts;
  const what = `${answer} answers, ${log} log lines, ${output} outputs of ${command} commands and ${message} messages`;
  const size = `${(characters / 1e6).toFixed(1)} million characters, ${(ms / 1000).toFixed(1)} s`;
  const result = findings.length === 0 ? 'no secret, no personal data' : `${findings.length} findings`;
  const lines = findings.map(
    ({ find, kind, what, test, excerpt }) => `  ${find} in the ${kind} of "${what}" (${test}): ${excerpt}`,
  );
  return [`Searched ${what} of the tests (${size}): ${result}.`, ...lines].join('\n');
}
