import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { EXIT } from '../src/cli/exit-codes.ts';
import { helpLines } from '../src/cli/format.ts';
import { createProgram } from '../src/cli/main.ts';
import { VARIABLES } from '../src/config.ts';
import { ALERT_KINDS } from '../src/store/reports/alert-conditions.ts';

/** The docs name everything that the program has, and nothing else; every link leads somewhere. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** The first cells of a page's tables with this header, or the others. */
function tableRows(page: string, header: string, cell = 1): string[] {
  const [, ...tables] = read(page).split(`\n${header}\n`);
  const rows = tables.flatMap((after) => after.split('\n\n')[0]?.split('\n').slice(1) ?? []);
  return rows.map((row) => row.replace(/\\\|/g, '/').split('|')[cell]?.trim() ?? '');
}

const words = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word ?? '');

/** Tracked files, and those about to be: what a reader of the repository gets. */
function repositoryFiles(): string[] {
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT });
  return [...new Set(list.toString('utf8').split('\0').filter(Boolean))];
}

function textOf(path: string): string {
  try {
    const bytes = readFileSync(join(ROOT, path));
    return bytes.includes(0) ? '' : bytes.toString('utf8');
  } catch {
    // Removed and not committed yet.
    return '';
  }
}

function sourceText(folders = /^(src|workers)\//): string {
  const files = repositoryFiles().filter((path) => folders.test(path) && path.endsWith('.ts'));
  return files.map(textOf).join('\n');
}

const PAGES = repositoryFiles().filter((path) => path.endsWith('.md') && existsSync(join(ROOT, path)));
const withoutCode = (text: string): string => text.replace(/^```.*?^```$/gms, '');

describe('docs/cli.md', () => {
  const commandRows = tableRows('docs/cli.md', '| command | does |');
  const { commands } = createProgram();
  const rowOf = (name: string) => commandRows.find((row) => new RegExp(`^\`${name}[ \`]`).test(row)) ?? '';
  const inner = commands.flatMap((group) =>
    group.commands.map((command) => [`${group.name()} ${command.name()}`, command] as const),
  );

  it.each([...commands.map((command) => [command.name(), command] as const), ...inner])(
    'names `%s` and all its options',
    (name, command) => {
      expect(rowOf(name)).not.toBe('');
      expect(command.options.map(({ long }) => long).filter((long) => !rowOf(name).includes(String(long)))).toEqual([]);
    },
  );

  const does = tableRows('docs/cli.md', '| command | does |', 2).map((cell) =>
    cell.replace(/\[([^\]]+)\]\([^)]*\)/g, '$1').replaceAll('`', ''),
  );
  const own = inner.filter(([, command]) => command.commands.length === 0);
  const alone = commands.filter((command) => command.commands.length === 0 || command.name() === 'report');
  it.each([...alone.map((command) => [command.name(), command] as const), ...own])(
    'describes `%s` as its --help does, and in more detail',
    (name, command) => {
      const cell = does[commandRows.indexOf(rowOf(name))] ?? '';
      expect(cell.slice(0, command.description().length)).toBe(command.description());
    },
  );

  it('names no command that is not there', () => {
    const names = commandRows.map((row) => words(row)[0]?.split(' ')[0]);
    expect([...new Set(names)].sort()).toEqual(commands.map((command) => command.name()).sort());
  });

  it('has every exit code', () => {
    const codes = tableRows('docs/cli.md', '| code | meaning |').map(Number);
    expect(codes).toEqual(Object.values(EXIT));
  });
});

it('docs/configuration.md names every variable once, and none that is not there', () => {
  const named = tableRows('docs/configuration.md', '| variable | default | |').flatMap(words);
  expect([...named].sort()).toEqual(VARIABLES.map(({ name }) => name).sort());
});

describe('docs/troubleshooting.md', () => {
  const page = read('docs/troubleshooting.md');
  const documented = [...page.matchAll(/^### `(\w+)`$/gm)].map(([, code]) => code ?? '');
  const source = sourceText();

  /** Every code that an error, a run, a state, an alert or a response of the API can have. */
  function knownCodes(): Set<string> {
    const all = (text: string, form: RegExp) => [...text.matchAll(form)].map(([, found]) => found ?? '');
    const quoted = (text: string) => all(text, /'([a-z]+(?:_[a-z0-9]+)*)'/g);
    const [, reasons = ''] = /^\| `reason_code` \|.* or (paused, .*) \|$/m.exec(read('docs/data-dictionary.md')) ?? [];
    return new Set([
      // The first argument of an error; of a choice, both.
      ...all(source, /new \w+Error\(\s*((?:\w+ \? )?'[a-z_]+'(?: : '[a-z_]+')?),/g).flatMap(quoted),
      ...all(source, /\b(?:super|refused)\('([a-z]+(?:_[a-z]+)*)'/g),
      ...all(source, /\bcode: '([a-z]+(?:_[a-z]+)*)'/g).filter((code) => code !== 'custom'),
      ...all(textOf('src/errors.ts'), /[|=] ((?:'\w+'(?: \| )?)+)/g).flatMap(quoted),
      ...all(sourceText(/^src\/ops\//), /^ {2}(\w+): \[[45]\d\d, '/gm),
      ...ALERT_KINDS.filter((kind) => kind !== 'stale' && kind !== 'blocked'),
      ...reasons.split(', '),
    ]);
  }

  it('explains every code, under one heading each', () => {
    const codes = knownCodes();
    for (const some of ['auth_failed', 'list_too_large', 'database_mismatch', 'wrong_host', 'no_run', 'paused']) {
      expect(codes).toContain(some);
    }
    expect([...codes].filter((code) => !documented.includes(code))).toEqual([]);
    expect(documented.filter((code, index) => documented.indexOf(code) !== index)).toEqual([]);
  });

  it('explains only codes that the program has', () => {
    const known = knownCodes();
    const isThere = (code: string) => known.has(code) || source.includes(`'${code}'`);
    expect(documented.filter((code) => !isThere(code))).toEqual([]);
  });

  it('says of each code the cause and the remedy', () => {
    const entries = page.split(/^### /m).slice(1);
    expect(
      entries.filter((entry) => !/^Cause: .+^Remedy: /ms.test(entry)).map((entry) => entry.split('\n')[0]),
    ).toEqual([]);
  });

  it('is where the program points to', () => {
    expect(helpLines(['auth_failed', undefined, 'auth_failed'])).toEqual(['docs/troubleshooting.md#auth_failed']);
    expect(anchorsOf('docs/troubleshooting.md')).toContain('auth_failed');
  });
});

/** As GitHub makes them of headings. */
function anchorsOf(path: string): string[] {
  const headings = withoutCode(read(path)).matchAll(/^#{1,6} (.+)$/gm);
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('links', () => {
  it.each(PAGES)('of %s lead to a file, and to a heading of it', (page) => {
    const dead = [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
      if (/^[a-z]+:/.test(link)) return [];
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : posix.normalize(posix.join(posix.dirname(page), path));
      if (!existsSync(join(ROOT, target))) return [link];
      return anchor === undefined || anchorsOf(target).includes(anchor) ? [] : [link];
    });
    expect(dead).toEqual([]);
  });

  it('reach every page of docs from README', () => {
    const linked = [...read('README.md').matchAll(/\]\(([^)#\s]+)/g)].map(([, path]) => path);
    expect(PAGES.filter((page) => page.startsWith('docs/') && !linked.includes(page))).toEqual([]);
  });

  it('of docs/architecture.md name files and folders that are there', () => {
    const named = [
      ...read('docs/architecture.md').matchAll(
        /(?:^|[`\s(])((?:src|workers|test|prisma|sandbox|examples|deploy)\/[\w./-]*)/gm,
      ),
    ];
    expect(named.length).toBeGreaterThan(10);
    expect(named.map(([, path = '']) => path).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

describe('README', () => {
  it('is short, and begins with the two commands', () => {
    expect(Buffer.byteLength(read('README.md'))).toBeLessThanOrEqual(8_192);
    expect(read('README.md').slice(0, 1_500)).toContain('npm ci && npm run demo');
  });
});

/** Words with a figurative meaning, or that the glossary replaces by another. Names such as \`deletion_brake\` are code. */
const UNWANTED =
  /\b(weather|hiccups?|silences?|patien(?:tly|ce)|knock(?:s|ed)?|told|heard|nameless|echo|doubts?|stall(?:s|ed)?|sift|set aside|lend|tally|verdicts?|heed|brake[ds]?|proved|proofs?|left alone|full walks?|for people|nobody|somebody|everybody|own (?:tables|connections))\b/i;

it.each(PAGES.filter((page) => page !== 'docs/data-dictionary.md'))('%s is in plain words', (page) => {
  const prose = withoutCode(read(page).replace(/<!-- npm run bench: table -->.*<!-- npm run bench: end -->/s, ''));
  // The meanings of metrics are those of the program, which another test compares.
  const lines = prose.split('\n').filter((line) => !line.startsWith('| `leadmirror_'));
  const plain = lines.map((line) => line.replace(/`[^`]*`/g, '').replace(/\]\([^)]*\)/g, ']'));
  expect(plain.filter((line) => UNWANTED.test(line))).toEqual([]);
});

describe('.github', () => {
  const files = repositoryFiles().filter((path) => path.startsWith('.github/'));

  it('is readable, and runs the same checks as .ci/run', () => {
    for (const path of files) expect(parse(read(path))).toBeTruthy();
    const { jobs } = parse(read('.github/workflows/ci.yml'));
    expect(jobs.checks.steps.map(({ run }: { run?: string }) => run)).toContain('.ci/run');
  });
});

it('.env.example names every variable, on or off', () => {
  const lines = read('.env.example').split('\n');
  const isNamed = (name: string) => lines.some((line) => new RegExp(`^#?${name}=`).test(line));
  expect(VARIABLES.map(({ name }) => name).filter((name) => !isNamed(name))).toEqual([]);
});

it('CHANGELOG has the version of the package', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  expect(
    read('CHANGELOG.md')
      .split('\n')
      .filter((line) => line.startsWith(`## ${version}`)),
  ).toHaveLength(1);
});

describe('no file of the repository', () => {
  // Put together here, so that this file passes its own test.
  const folders = ['work', 'root', 'farm'].map((name) => `/${name}/`);
  const later = ['TO', 'FIX'].map((start, index) => start + ['DO', 'ME'][index]);

  it.each([
    ['the path of somebody’s machine', new RegExp(`(?<![\\w.-])(${folders.join('|')})`)],
    ['work left for later', new RegExp(`\\b(${later.join('|')})\\b`)],
  ])('holds %s', (_, pattern) => {
    const files = repositoryFiles();
    expect(files).toContain('README.md');
    const found = files.flatMap((path) =>
      textOf(path)
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 100)}`] : [])),
    );
    expect(found).toEqual([]);
  });
});
