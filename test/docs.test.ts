import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { createProgram } from '../src/cli/main.ts';
import { VARIABLES } from '../src/config.ts';

/** What people read must name what the program has; a word in one of them only is a mistake in the other. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const readme = read('README.md');

/** The first cells of a README table's rows, found by its header. */
function tableRows(header: string): string[] {
  const [, after = ''] = readme.split(`\n${header}\n`);
  const rows = after.split('\n\n')[0]?.split('\n').slice(1) ?? [];
  return rows.map((row) => row.replace(/\\\|/g, '/').split('|')[1]?.trim() ?? '');
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

function sourceText(): string {
  const files = repositoryFiles().filter((path) => /^(src|workers)\/.*\.ts$/.test(path));
  return files.map(textOf).join('\n');
}

describe('README', () => {
  const commandRows = tableRows('| command | does |');
  const { commands } = createProgram();
  const rowOf = (name: string) => commandRows.find((row) => new RegExp(`^\`${name}[ \`]`).test(row)) ?? '';

  it.each(commands.map((command) => [command.name(), command] as const))(
    'names `%s` and all its options',
    (name, command) => {
      expect(rowOf(name)).not.toBe('');
      expect(command.options.map(({ long }) => long).filter((long) => !rowOf(name).includes(String(long)))).toEqual([]);
    },
  );

  const inner = commands.flatMap((group) =>
    group.commands.map((command) => [`${group.name()} ${command.name()}`, command] as const),
  );
  it.each(inner)('names `%s` and all its options', (name, command) => {
    const row = commandRows.find((cells) => cells.startsWith(`\`${name} `)) ?? '';
    expect(row).not.toBe('');
    expect(command.options.map(({ long }) => long).filter((long) => !row.includes(String(long)))).toEqual([]);
  });

  it('names no command that is not there', () => {
    const names = commandRows.map((row) => words(row)[0]?.split(' ')[0]);
    expect([...new Set(names)].sort()).toEqual(commands.map((command) => command.name()).sort());
  });

  it('names every variable in its table, and none that is not there', () => {
    const named = tableRows('| variable | default | |').flatMap(words);
    expect([...named].sort()).toEqual(VARIABLES.map(({ name }) => name).sort());
  });

  it('explains only error codes that the program has', () => {
    const source = sourceText();
    const codes = tableRows('| what you see | what it means, what to do |').flatMap(words);
    expect(codes.length).toBeGreaterThan(20);
    expect(codes.filter((code) => !source.includes(`'${code}'`))).toEqual([]);
  });
});

it('CHANGELOG names every variable of Tilkee, credentials apart', () => {
  const changelog = read('CHANGELOG.md');
  const isCredential = (name: string) => /(CLIENT_ID|CLIENT_SECRET|REFRESH_TOKEN|ACCESS_TOKEN)$/.test(name);
  const names = VARIABLES.map(({ name }) => name).filter((name) => name.startsWith('TILKEE_') && !isCredential(name));
  expect(names.filter((name) => !changelog.includes(`\`${name}`))).toEqual([]);
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
