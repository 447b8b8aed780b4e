import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Cli, createCli, findLeaks } from '../helpers/cli.ts';

let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());

const COMMANDS = [
  'init',
  'start',
  'sync',
  'check',
  'status',
  'runs',
  'trigger',
  'pause',
  'resume',
  'cancel',
  'resync',
  'accept-deletions',
  'quarantine',
  'reproject',
  'migrate',
  'tilkee',
  'sandbox',
  'demo',
];

describe('help', () => {
  it('lists every command with a line of its own, and the exit codes', async () => {
    const { code, stdout, stderr } = await cli.runProcess(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b.* {2}\\S`, 'm'));
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(stdout).toContain('leadmirror demo');
    expect(stdout).toContain('Exit codes: 0 done, 1 ');
  });

  it('takes at most four times as long as Node takes to do nothing, the shortest of five each', async () => {
    const program = join(cli.cwd, 'nothing.mjs');
    await writeFile(program, '');
    const nothing = await createCli({ program });
    const shortest = { help: Number.POSITIVE_INFINITY, nothing: Number.POSITIVE_INFINITY };
    for (let i = 0; i < 5; i++) {
      shortest.help = Math.min(shortest.help, (await cli.runProcess(['--help'])).ms);
      shortest.nothing = Math.min(shortest.nothing, (await nothing.runProcess([])).ms);
    }
    await nothing.close();
    expect(shortest.help / shortest.nothing).toBeLessThan(4);
  });

  it.each(COMMANDS)('of %s says what it does and explains every option', async (command) => {
    const { code, stdout, stderr } = await cli.run([command, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: leadmirror ${command}`));
    const options = stdout.split('\n').filter((line) => /^ {2}(-|\w+ {2})/.test(line));
    for (const line of options) expect(line).toMatch(/^ {2}\S.* {2}\S/);
  });

  it('of sandbox says which port each simulated upstream takes', async () => {
    const { stdout } = await cli.run(['sandbox', '--help']);
    expect(stdout.replace(/\s+/g, ' ')).toContain('port of Tiledesk, Tilkee takes the next one; 0 picks free ones');
  });

  it('of a group of commands names its commands', async () => {
    const { stdout } = await cli.run(['tilkee', '--help']);
    expect(stdout).toMatch(/^ {2}login\b.* {2}\S/m);
  });

  it('without a command is shown as a mistake', async () => {
    const { code, stdout, stderr } = await cli.runProcess([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: leadmirror');
  });
});

describe('a mistake on the command line', () => {
  it.each([
    { args: ['snyc'], says: ["unknown command 'snyc'", 'Did you mean sync?'] },
    { args: ['sync', '--conection', 'x'], says: ["unknown option '--conection'", 'Did you mean --connection?'] },
    { args: ['status', '--jsno'], says: ["unknown option '--jsno'", 'Did you mean --json?'] },
    { args: ['sync', '--pass', 'full'], says: ['incremental, backfill, reconcile'] },
    { args: ['runs', '--limit', 'many'], says: ['--limit', 'a whole number from 1'] },
    { args: ['sandbox', '--port', '70000'], says: ['--port', '0 to 65535'] },
    { args: ['trigger'], says: ["missing required argument 'stream'"] },
    { args: ['accept-deletions'], says: ["missing required argument 'stream'"] },
    { args: ['status', 'leads'], says: ['too many arguments'] },
  ])('$args ends with 2 and says what is right', async ({ args, says }) => {
    const { code, stdout, stderr } = await cli.run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    for (const text of says) expect(stderr).toContain(text);
    expect(stderr.split('\n').length).toBeLessThan(6);
  });
});

it('says how to build when it is not built', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'leadmirror-unbuilt-'));
  try {
    await cp(dirname(cli.program), join(directory, 'bin'), { recursive: true });
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }\n');
    const child = spawn(process.execPath, [join(directory, 'bin/leadmirror.js'), 'sync'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const said: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text));
    const [code] = await once(child, 'close');
    expect(code).toBe(2);
    expect(said.join('')).toMatch(/^leadmirror is not built yet: run `npm ci`.*\n$/);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

it('finds a secret in an output, so that a clean scan means something', () => {
  const outputs = [
    { command: 'sync', text: 'all is well' },
    { command: 'check', text: 'refused: hunter2' },
  ];
  expect(findLeaks(outputs, ['hunter2', 'lead@example.net'])).toEqual(['check']);
});
