import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from '@jest/globals';

/** Checks names, comments and messages against the table "Plain English" of the style guide. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const FILES = [
  ...['src', 'workers', 'sandbox', 'prisma/schema.prisma'],
  ...[
    '.env.example',
    'leadmirror.example.yaml',
    'deploy',
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'docs',
    'examples',
  ],
];

/** Each as whole words; parts of camelCase and snake_case names are words too. */
const REPLACED = [
  ...['weather', 'hiccups?', 'silence[sd]?', 'patien(t|tly|ce)', 'knock(s|ed|ing)?', 'doors?'],
  ...['told', 'says?', 'said', 'hears?', 'heard', 'words?', 'held', 'grounds?', 'places?', 'met', 'familiar'],
  ...['recall(s|ed|ing)?', 'nameless', 'echo(es|ed)?', 'doubt(s|ed|ful)?', 'stall(s|ed)?', 'sift(s|ed)?'],
  ...['(set|sets|setting|taken?)( \\w+)? aside', 'lends?', 'lent', 'forgets?', 'forgot(ten)?', 'tall(y|ies)', 'shall'],
  ...['verdicts?', '(un)?park(ed|ing)?', 'heed(s|ed)?', 'own (tables?|connections?)', 'brak(e|es|ed)'],
  ...['prove[sdn]?', 'proofs?', '(persons?|people) (has|have) to act', '(left|leaves?)( \\w+)? alone', 'full walks?'],
  ...['for people', 'nobody', 'somebody', 'everybody', 'anybody'],
].join('|');

/** Names that others gave, exactly as they are written. */
const ALLOWED = [
  // The contract: a code, a variable, a column of `tilkee.projects`, two of `sync.status`, a command.
  ...['deletion_brake', 'SYNC_DELETE_BRAKE', 'verdict', 'proof_kind', 'proof_at', 'forget'],
  // BullMQ: an event and two options. An account of Unix.
  ...['stalled', 'stalledInterval', 'maxStalledCount', `["']nobody["']`],
].join('|');

function findReplaced(text: string): string[] {
  const plain = text
    .replace(new RegExp(`(?<!\\w)(${ALLOWED})(?!\\w)`, 'g'), '')
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ');
  return [...plain.matchAll(new RegExp(`\\b(${REPLACED})\\b`, 'gi'))].map(([word]) => word);
}

it.each([
  ['// nobody knows', ['nobody']],
  ['retryPatiently(OWN_TABLES)', ['Patiently', 'OWN TABLES']],
  ["code === 'deletion_brake' // the brake", ['brake']],
  ['readPlaceOf(placeholder)', ['Place']],
  ['The page is locked.', []],
])('finds them in: %s', (text, words) => {
  expect(findReplaced(text)).toEqual(words);
});

/** A number before a noun in the plural, without `counted` of `src/counted.ts`: with one it would be wrong. Constants are more than one. */
function findPlurals(text: string): string[] {
  const nouns = 'row|record|request|stream|account|connection|page|run|version|field|failure|day|month|minute|erasure';
  const number = String.raw`(?<!interval ')\$\{(?!counted\(|[A-Z_]+\})[^{}]*\}`;
  return text.match(new RegExp(`${number} ((more|answered|closed) )?(${nouns})s\\b(?!/)`, 'g')) ?? [];
}

function findIn(pattern: RegExp, find: (line: string) => readonly string[]): string[] {
  const list = execFileSync('git', ['ls-files', '-z', ...FILES], { cwd: ROOT, encoding: 'utf8' });
  const files = list.split('\0').filter((file) => pattern.test(file));
  expect(files.length).toBeGreaterThan(200);
  return files.flatMap((file) =>
    readFileSync(join(ROOT, file), 'utf8')
      .split('\n')
      .flatMap((line, index) => find(line).map((found) => `${file}:${index + 1}: ${found}`)),
  );
}

it('files use the plain words', () => {
  expect(findIn(/\.(ts|js|css|prisma|md|example|ya?ml)$/, findReplaced)).toEqual([]);
});

it('one is never several', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a template
  expect(findPlurals('${count(n)} rows, ${n} more runs, ${n} rows/s, ${DAYS} days')).toHaveLength(2);
  expect(findIn(/^(src|workers)\/.*\.ts$/, findPlurals)).toEqual([]);
});
