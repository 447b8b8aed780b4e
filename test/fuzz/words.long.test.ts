import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Command } from 'commander';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createProgram } from '../../src/cli/main.ts';
import { runInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { seed } from '../helpers/property.ts';

let sandbox: TiledeskSandbox;
let database: TestDatabase;
let cwd: string;
let env: Record<string, string>;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-fuzz-'));
  sandbox = createTiledeskSandbox({ leads: 3, requests: 3 });
  const { url } = await sandbox.listen();
  database = await createTestDatabase();
  env = {
    ...variables(sandbox, url, database.url),
    TILEDESK_STREAMS: 'departments',
    RETRY_ATTEMPTS: '1',
    SHUTDOWN_TIMEOUT_SECONDS: '300',
  };
  await runInProcess(['sync'], env, { cwd });
});
afterAll(async () => {
  await sandbox.close();
  await database.drop();
  await rm(cwd, { recursive: true });
});

/** No word that a program is started with holds a NUL. */
const JUNK = [
  ...[
    ' ',
    '\n',
    '\u{1f600}',
    '\ud800',
    'x'.repeat(100_000),
    '%s%n',
    "'; drop table x; --",
    '../..',
    '/dev/null/x',
    '*',
  ],
  ...['-1', '0', '1.5', '99999999999999999999', '9223372036854775808', '1e400', 'NaN', '0x10', '\u0663'],
  ...['2026-02-31', '0000-01-01', '0001-01-01', '9999-12-31', '275761-01-01', '2026-01-01T00:00:00Z'],
  ...['__proto__', 'constructor', 'tiledesk.__proto__', 'tiledesk:', '.', 'Europe/Nowhere', 'sync', '--json', '-h'],
];
const EACH = process.env.FUZZ_WORDS === 'all' ? JUNK.length : 3;
let turn = seed;
/** Some of the words, others each time. */
const some = () => Array.from({ length: EACH }, () => JUNK[turn++ % JUNK.length] ?? '');

interface Named {
  readonly path: readonly string[];
  readonly command: Command;
}

const commandsOf = (parent: Command, path: readonly string[] = []): Named[] =>
  parent.commands.flatMap((command) => {
    const own = [...path, command.name()];
    return [{ path: own, command }, ...commandsOf(command, own)];
  });

function* linesOf({ path, command }: Named): Generator<string[]> {
  const words = command.registeredArguments;
  const right = words.flatMap((each) => (each.required ? ['tiledesk.departments'] : []));
  for (const junk of some()) yield [...path, ...right, `--${junk}`];
  for (const junk of some()) yield [...path, ...right, 'tiledesk.departments', junk, junk];
  for (const at of words.keys()) {
    for (const junk of some()) yield [...path, ...right.slice(0, at), junk, ...right.slice(at + 1)];
  }
  for (const { long, required, optional } of command.options) {
    const name = long ?? '';
    for (const junk of some())
      yield required || optional ? [...path, ...right, name, junk] : [...path, ...right, `${name}=${junk}`];
  }
}

it('whatever is typed is refused in words, or done', async () => {
  const faults = new Set<string>();
  for (const named of [...commandsOf(createProgram()), { path: [], command: createProgram() }]) {
    for (const args of linesOf(named)) {
      const { code, stdout, stderr } = await runInProcess(args, env, { cwd, stopAfterMs: 500 });
      const said = `${stdout}\n${stderr}`;
      const fault = /^\s*at .+:\d+/m.test(said)
        ? 'prints a stack'
        : /unexpected error|did not foresee|"bug"/i.test(said)
          ? 'is a bug'
          : // Stopped by us it need not say anything.
            code > 0 && code !== 130 && said.trim() === ''
            ? 'says nothing'
            : null;
      if (fault !== null) faults.add(`${JSON.stringify(args).slice(0, 200)} ${fault}: ${said.slice(0, 400)}`);
    }
  }
  expect({ seed, faults: [...faults] }).toEqual({ seed, faults: [] });
}, 600_000);
