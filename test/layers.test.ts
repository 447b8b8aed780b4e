import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';

/** Holds the floors: every arrow between the folders points down, and some folders know even less than their floor allows. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

type Part =
  | 'library'
  | 'cli'
  | 'workers'
  | 'app'
  | 'sources'
  | 'below_sources'
  | 'sync'
  | 'ops'
  | 'alerts'
  | 'store'
  | 'http'
  | 'walks'
  | 'config'
  | 'sandbox'
  | 'generated'
  | 'leaf';

const LEAVES = [
  'stream',
  'table',
  'errors',
  'logger',
  'clock',
  'loopback',
  'trace',
  'version',
  'replace-file',
  'group-by',
  'counted',
  'private-address',
].map((name) => `src/${name}.ts`);
/** Helpers of all sources, below each of them. */
const SHARED_BY_SOURCES = [
  'src/sources/coerce.ts',
  'src/sources/define.ts',
  'src/sources/field-names.ts',
  'src/sources/privacy.ts',
  'src/sources/redact.ts',
  'src/sources/record-table.ts',
  'src/sources/session.ts',
  'src/sources/value-shapes.ts',
  'src/sources/vault.ts',
];
const LOWER = ['store', 'http', 'walks', 'config', 'generated', 'leaf'] as const;
const MIDDLE = ['sources', 'sync', 'ops', 'alerts'] as const;

/** What each part may import besides itself. */
const MAY_IMPORT: Readonly<Record<Part, readonly Part[]>> = {
  // What others may use of it; a product's own files are none of that.
  library: ['workers', 'app', 'below_sources', 'http', 'walks', 'config', 'leaf'],
  cli: ['workers', 'app', ...MIDDLE, 'below_sources', ...LOWER, 'sandbox'],
  workers: ['app', ...MIDDLE, ...LOWER],
  app: [...MIDDLE, 'below_sources', ...LOWER],
  sources: ['below_sources', 'http', 'walks', 'leaf'],
  below_sources: ['http', 'leaf'],
  sync: ['store', 'generated', 'leaf'],
  ops: ['store', 'generated', 'leaf'],
  alerts: ['store', 'http', 'generated', 'leaf'],
  store: ['generated', 'leaf'],
  http: ['leaf'],
  walks: ['leaf'],
  config: ['leaf'],
  sandbox: [],
  generated: [],
  leaf: [],
};

/** The budget in Postgres answers to the contract of the one in memory: the only arrow inside a floor. */
const SIDEWAYS: readonly (readonly [string, string])[] = [['src/store/engine/budgets.ts', 'src/http/budget.ts']];

/** Who may look at the environment; the demo hands a few variables on to a configuration of its own. */
const ENVIRONMENT_READERS = /^src\/(config\.ts$|config\/|cli\/demo\.ts$)/;
const HANDED_ON = ['LEADMIRROR_HOME', 'NO_COLOR', 'LOG_LEVEL'];

function partOf(file: string): Part | null {
  if (LEAVES.includes(file)) return 'leaf';
  if (file === 'src/index.ts') return 'library';
  if (file === 'src/app.ts') return 'app';
  if (file === 'src/config.ts') return 'config';
  if (SHARED_BY_SOURCES.includes(file)) return 'below_sources';
  if (file.startsWith('workers/')) return 'workers';
  if (file.startsWith('sandbox/')) return 'sandbox';
  const [, folder] = /^src\/([a-z]+)\//.exec(file) ?? [];
  return folder !== undefined && folder in MAY_IMPORT ? (folder as Part) : null;
}

const productOf = (file: string): string | undefined => /^src\/sources\/([^/]+)\//.exec(file)?.[1];

/** The targets of all imports and re-exports of own files: static, dynamic and of types, as paths from the root. */
function importsOf(file: string, text: string): string[] {
  const forms = [
    /\b(?:import|export)\b[^'"`;]*?\bfrom\s*(['"])(?<target>\.[^'"]+)\1/g,
    /\bimport\s*\(\s*(['"`])(?<target>\.[^'"`]+)\1/g,
    /\bimport\s*(['"])(?<target>\.[^'"]+)\1/g,
  ];
  const targets = forms.flatMap((form) => [...text.matchAll(form)].map((found) => found.groups?.target ?? ''));
  return targets.map((target) => posix.join(posix.dirname(file), target));
}

function importProblem(file: string, target: string): string | null {
  const from = partOf(file);
  const to = partOf(target);
  const said = `${file} imports ${target}`;
  if (from === null) return `${file} is on no floor`;
  if (to === null) return `${said}, which is on no floor`;
  if (SIDEWAYS.some(([one, other]) => one === file && other === target)) return null;
  if (from === 'sources' && to === 'sources') {
    const isOwn = productOf(file) === undefined || productOf(file) === productOf(target);
    return isOwn ? null : `${said}: one source knows another`;
  }
  if (from === to || MAY_IMPORT[from].includes(to)) return null;
  return `${said}: ${from} must not know ${to}`;
}

function environmentProblems(file: string, text: string): string[] {
  const reads = [...text.matchAll(/\bprocess\s*(?:\?\.|\.)\s*env\b(?:\s*(?:\?\.|\.)\s*(\w+))?/g)];
  const isHidden = /\}\s*=\s*process\b|\bprocess\s*\[|\benv\b[^;]*from\s*['"](node:)?process['"]/.test(text);
  if (!ENVIRONMENT_READERS.test(file)) {
    return reads.length > 0 || isHidden ? [`${file} reads the environment; only src/config.ts does`] : [];
  }
  if (!file.startsWith('src/cli/')) return [];
  const others = reads.map(([, name]) => name).filter((name) => name === undefined || !HANDED_ON.includes(name));
  return others.length > 0 || isHidden ? [`${file} reads more of the environment than it hands on`] : [];
}

function problems(file: string, text: string): string[] {
  const imports = importsOf(file, text).map((target) => importProblem(file, target));
  return [...imports.filter((problem) => problem !== null), ...environmentProblems(file, text)];
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return path === 'src/generated' ? [] : sourceFiles(path);
    return /\.tsx?$/.test(entry.name) ? [path] : [];
  });
}

describe('the floors', () => {
  const files = ['src', 'workers', 'sandbox'].flatMap(sourceFiles);

  it('are found: the files that everything hangs on are among those read', () => {
    expect(files).toEqual(expect.arrayContaining(['src/app.ts', 'src/sync/run-pass.ts', 'workers/main.ts']));
    const arrows = files.flatMap((file) => importsOf(file, readFileSync(join(ROOT, file), 'utf8')));
    expect(arrows.length).toBeGreaterThan(files.length);
    expect(arrows.filter((target) => !files.includes(target) && !target.startsWith('src/generated/'))).toEqual([]);
  });

  it('hold: every arrow points down, and only the configuration reads the environment', () => {
    expect(files.flatMap((file) => problems(file, readFileSync(join(ROOT, file), 'utf8')))).toEqual([]);
  });
});

describe('a wrong arrow is caught', () => {
  it.each([
    ['sync that knows a source', 'src/sync/x.ts', "import { a } from '../sources/tiledesk/index.ts';"],
    ['a type of a source in sync', 'src/sync/x.ts', "import type { A } from '../sources/tiledesk/api.ts';"],
    ['an import over several lines', 'src/sync/x.ts', "import {\n  a,\n  b,\n} from '../sources/tiledesk/api.ts';"],
    ['a re-export', 'src/sync/x.ts', "export { a } from '../sources/tiledesk/api.ts';"],
    ['a dynamic import', 'src/store/x.ts', "const { a } = await import('../sync/run-pass.ts');"],
    ['an import for its effect', 'src/http/x.ts', "import '../store/pages.ts';"],
    ['a source that writes', 'src/sources/tiledesk/x.ts', "import { a } from '../../store/pages.ts';"],
    ['a source that knows another', 'src/sources/tiledesk/x.ts', "import { a } from '../tilkee/api.ts';"],
    ['a source that reads settings', 'src/sources/tiledesk/x.ts', "import { a } from '../../config.ts';"],
    ['alerts that know the engine', 'src/alerts/x.ts', "import { a } from '../sync/run-pass.ts';"],
    ['alerts that read settings', 'src/alerts/x.ts', "import { a } from '../config.ts';"],
    ['ops that knows the engine', 'src/ops/x.ts', "import { a } from '../sync/run-pass.ts';"],
    ['a helper of all sources that knows one', 'src/sources/redact.ts', "import { a } from './tilkee/api.ts';"],
    ['http that knows the database', 'src/http/x.ts', "import type { A } from '../generated/prisma/client.ts';"],
    ['a source that knows the database', 'src/sources/x.ts', "import { A } from '../generated/prisma/client.ts';"],
    ['a leaf that knows anything', 'src/errors.ts', "import { a } from './stream.ts';\nimport b from './http/a.ts';"],
    ['an app that knows the workers', 'src/app.ts', "import { a } from '../workers/main.ts';"],
    ['workers that know the command line', 'workers/x.ts', "import { a } from '../src/cli/main.ts';"],
    ['workers that know the sandbox', 'workers/x.ts', "import { a } from '../sandbox/tiledesk.ts';"],
    ['a sandbox that knows the program', 'sandbox/x.ts', "import { a } from '../src/errors.ts';"],
    ['a second arrow inside a floor', 'src/store/mirror/pages.ts', "import { a } from '../../../http/budget.ts';"],
    ['a library that lends a product out', 'src/index.ts', "export { a } from './sources/tiledesk/index.ts';"],
    ['a library that lends the store out', 'src/index.ts', "export { a } from './store/pages.ts';"],
    ['a library that knows the command line', 'src/index.ts', "export { a } from './cli/main.ts';"],
    ['a command that uses the library', 'src/cli/x.ts', "import { a } from '../index.ts';"],
    ['a way to define sources that knows one', 'src/sources/define.ts', "import { a } from './tilkee/api.ts';"],
    ['a file on no floor', 'src/misc/x.ts', "import { a } from '../errors.ts';"],
    ['the environment, read by a worker', 'workers/x.ts', 'const home = process.env.HOME;'],
    ['the environment, taken apart', 'src/store/x.ts', 'const { env } = process;'],
    ['the environment, by its module', 'src/http/x.ts', "import { env } from 'node:process';"],
    ['the demo, reading a secret', 'src/cli/demo.ts', 'const password = process.env.TILEDESK_PASSWORD;'],
    ['the demo, handing everything on', 'src/cli/demo.ts', 'loadConfig({ env: process.env });'],
  ])('%s', (_, file, text) => {
    expect(problems(file, text)).toHaveLength(1);
  });

  it.each([
    ['src/cli/x.ts', "import { a } from '../../sandbox/tiledesk.ts';"],
    ['src/sources/tiledesk/x.ts', "import { a } from '../coerce.ts';\nimport { b } from '../../walks/stitch.ts';"],
    ['src/sources/tilkee/rows/x.ts', "import { a } from '../../coerce.ts';\nimport { b } from '../../redact.ts';"],
    ['src/index.ts', "export { a } from './sources/define.ts';\nexport { b } from '../workers/run-daemon.ts';"],
    ['src/sources/index.ts', "import { a } from './tiledesk/index.ts';"],
    ['src/store/engine/budgets.ts', "import { a } from '../http/budget.ts';"],
    ['src/config/x.ts', 'const value = process.env.ANY;'],
    ['src/sync/x.ts', "import { join } from 'node:path';\nimport pg from 'pg';"],
  ])('while a right one passes: %s', (file, text) => {
    expect(problems(file, text)).toEqual([]);
  });
});
