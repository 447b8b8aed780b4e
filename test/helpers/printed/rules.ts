import { companies, lastNames, questions, replies } from '../../../sandbox/texts.ts';
import type { Kind } from './record.ts';

/** `erased person`: was erased before it was printed, which nothing permits. */
export type Find = 'secret' | 'e-mail' | 'phone number' | 'person' | 'erased person';

/**
 * Texts that no run may say, besides the ones that helpers declare from the environment they hand down. A secret that a test writes down itself holds
 * the word "canary" or stands here.
 */
const SECRETS = [
  /canary/i,
  /c4n4ry/i,
  // The simulated Tiledesk: its password, and the beginning of its tokens.
  /made-up-[0-9a-f]{12}/,
  /eyJhbGciOiJIUzI1Ni/,
  // `test/helpers/endless-tiledesk.ts`
  /not-a-secret/,
  // `OPS_TOKEN`, secret keys, webhooks and mail servers of the tests
  /a-token-for-the-tests-0123456789/,
  /secret-of-the-test-server/,
  /a-secret-key-/,
  /a key that nobody guesses/,
  /a-long-enough-(secret|token)/,
  /a-key-that-is-long-enough/,
  /another-key-that-is-long-enough/,
  /T0SECRET/,
  /hunter2/,
  /s3cret/,
  /p@ss:word|p%40ss/,
  /a'b"c#d/,
];

const PHONES = /(\+|%2B)(39000\d{7}|3300000\d{4})/;

/** Names alone are enough: nobody else is called so. What people wrote, and for whom they work, is as much their own. */
const PEOPLE = anyOf([
  ...lastNames.map((name) => name.replace("O'", '')),
  ...companies.filter((name) => !/^Example|&/.test(name)),
  ...[...questions, ...replies].filter((text) => text.length > 12 && !/[\n"'<]/.test(text)),
]);

export interface Permission {
  readonly kind: Kind;
  /** The command, or method and path. */
  readonly what: RegExp;
  readonly finds: readonly Find[];
  /** Only what is like this; absent: anything. */
  readonly match?: RegExp;
  /** Only in this file of tests; absent: everywhere. */
  readonly file?: string;
  readonly why: string;
}

/** What is meant to be said. */
export const PERMISSIONS: readonly Permission[] = [
  {
    kind: 'answer',
    what: /^GET \/report(\.csv)?$/,
    finds: ['person'],
    file: 'test/reporting/report.long.test.ts',
    why: 'the report on the page names the agents',
  },
  {
    kind: 'output',
    what: /^leadmirror report .* --agents( |$)/,
    finds: ['person'],
    file: 'test/reporting/report.long.test.ts',
    why: 'names the agents to whom asked for that',
  },
  {
    kind: 'answer',
    what: /^GET \/data/,
    finds: ['e-mail'],
    match: /^Anna@Example\.com$/,
    why: 'the guide asks about her in its example',
  },
  {
    kind: 'command',
    what: /^--import .*\btest\/workers\/(victim|redis-child)\.ts$/,
    finds: ['secret'],
    why: 'no command of ours: programs of the tests, which get what to do as their last word',
  },
  {
    kind: 'command',
    what: /^leadmirror forget\b/,
    finds: ['e-mail', 'phone number'],
    file: 'test/cli/forget.test.ts',
    why: 'is told whom to erase',
  },
  {
    kind: 'command',
    what: /^leadmirror export-person\b/,
    finds: ['e-mail'],
    file: 'test/cli/export-person.test.ts',
    why: 'is told whom to export',
  },
  {
    kind: 'output',
    what: /^leadmirror export-person .*--output -/,
    finds: ['e-mail', 'phone number', 'person'],
    file: 'test/cli/export-person.test.ts',
    why: 'prints what is stored of a person to whom asked for that',
  },
  {
    kind: 'output',
    what: /^leadmirror sandbox\b/,
    finds: ['secret', 'e-mail'],
    match: /^(made-up-|canary|(owner|mirror\.account)@example\.com$)/,
    why: 'prints the invented credentials of the upstreams that it simulates, for an .env',
  },
  {
    kind: 'output',
    what: /^leadmirror demo\b/,
    finds: ['person', 'e-mail'],
    why: 'answers questions about the people of the upstreams that it simulates',
  },
  {
    kind: 'output',
    what: /^leadmirror demo\b/,
    finds: ['secret', 'e-mail'],
    match: /^(made-up-[\da-f]+|owner@example\.com)$/,
    why: 'says how to change something in them, with the login that they invented',
  },
  {
    kind: 'output',
    what: /^leadmirror quarantine list .*--raw\b/,
    finds: ['secret', 'e-mail', 'phone number', 'person'],
    file: 'test/cli/quarantine.test.ts',
    why: 'shows the text of a record to a person who asked for it',
  },
  {
    kind: 'message',
    what: /^terminal$/,
    finds: ['e-mail'],
    match: /^(owner|mirror\.account)@example\.com?$/,
    file: 'test/cli/init.test.ts',
    why: 'a person sees the login that this person types',
  },
  {
    kind: 'message',
    what: /^mail$/,
    finds: ['e-mail'],
    // Who sends it, who gets it, and its id.
    match: /^(mirror|ops|two|[\da-f-]{36})@example\.com$/,
    file: 'test/alerts/alerts.test.ts',
    why: 'a mail has these in its head',
  },
];

/** Finds what may not be in a text; `secrets` are the declared ones. */
export function createFinder(secrets: Iterable<string>): (text: string) => { find: Find; match: string; at: number }[] {
  const literals = [...new Set(secrets)].sort();
  const secret = new RegExp(
    [
      ...SECRETS.map(({ source, flags }) => (flags === 'i' ? caseless(source) : source)),
      ...literals.map(literally),
    ].join('|'),
    'g',
  );
  const patterns: [Find, RegExp][] = [
    ['secret', secret],
    ['phone number', new RegExp(PHONES, 'g')],
    ['person', new RegExp(PEOPLE, 'g')],
  ];
  return (text) => [
    ...patterns.flatMap(([find, pattern]) =>
      [...text.matchAll(pattern)].map(({ 0: match, index }) => ({ find, match, at: index })),
    ),
    ...findAddresses(text),
  ];
}

const MOST_OF_A_NAME = 64;
const MOST_OF_A_HOST = 128;

/** Around each "@" rather than with one pattern, which would try every letter of megabytes as a beginning. */
function findAddresses(text: string): { find: Find; match: string; at: number }[] {
  const found: { find: Find; match: string; at: number }[] = [];
  for (const sign of ['@', '%40']) {
    for (let at = text.indexOf(sign); at !== -1; at = text.indexOf(sign, at + 1)) {
      const name = /[\p{L}\d._+-]+$/u.exec(text.slice(Math.max(0, at - MOST_OF_A_NAME), at))?.[0];
      const end = at + sign.length;
      const host = /^[a-z\d-]+(\.[a-z\d-]+)*\.[a-z]{2,}/i.exec(text.slice(end, end + MOST_OF_A_HOST))?.[0];
      if (name === undefined || host === undefined) continue;
      found.push({ find: 'e-mail', match: `${name}${sign}${host}`, at: at - name.length });
    }
  }
  return found;
}

function anyOf(texts: readonly string[]): string {
  return texts.map(literally).join('|');
}

/** A pattern for exactly this text. */
export function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function caseless(source: string): string {
  return source.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}
