import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createProgress } from '../../src/cli/progress.ts';
import { screenOf } from '../../src/cli/terminal.ts';
import { type View, watch } from '../../src/cli/watch.ts';
import { DatabaseError } from '../../src/errors.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { FakeTerminal, pretendTerminal } from '../helpers/fake-terminal.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';

const ESC = '\u001b';
const counting = () => {
  let looks = 0;
  return async (): Promise<View> => {
    looks++;
    const now = looks;
    return () => [`look ${now}`, 'second line'];
  };
};

/** What was written once it holds `text`. */
async function shows(terminal: FakeTerminal, text: string): Promise<void> {
  while (!terminal.text.includes(text)) await once(terminal, 'written');
}

let restore: () => void;
beforeAll(() => {
  restore = pretendTerminal();
});
afterAll(() => restore());

describe('watch on a terminal', () => {
  it('writes over what is there, and gives the screen back on Ctrl-C, with 130', async () => {
    const output = new FakeTerminal();
    const listeners = process.listenerCount('exit');
    const stop = new AbortController();
    const ended = watch(counting(), { output, intervalMs: 5, signal: stop.signal });
    await shows(output, 'look 3');
    stop.abort();
    expect(await ended).toBe(130);
    expect(output.written.startsWith(`${ESC}[?1049h${ESC}[?25l`)).toBe(true);
    expect(output.written.endsWith(`${ESC}[?25h${ESC}[?1049l`)).toBe(true);
    expect(output.written).not.toContain(`${ESC}[2J`);
    expect(process.listenerCount('exit')).toBe(listeners);
  });

  it('keeps to its height, also when the window changes', async () => {
    const output = new FakeTerminal({ rows: 6 });
    const stop = new AbortController();
    const lines = Array.from({ length: 50 }, (_, index) => `line ${index}`);
    const ended = watch(async () => () => lines, { output, intervalMs: 60_000, signal: stop.signal });
    await shows(output, '… 45 more lines');
    output.written = '';
    output.rows = 8;
    output.emit('resize');
    expect(output.text).toContain('… 43 more lines');
    expect(output.written.split('\r\n')).toHaveLength(8);
    stop.abort();
    await ended;
  });

  it('goes on while the database is away, and shows what it knew', async () => {
    const output = new FakeTerminal();
    const stop = new AbortController();
    let looks = 0;
    const look = async (): Promise<View> => {
      looks++;
      if (looks === 2) throw new DatabaseError('database_unavailable', 'The database does not answer.');
      const now = looks;
      return () => [`look ${now}`];
    };
    const ended = watch(look, { output, intervalMs: 5, signal: stop.signal });
    await shows(output, 'The database does not answer. Trying again');
    await shows(output, 'look 3');
    stop.abort();
    expect(await ended).toBe(130);
  });

  it('ends with what nobody foresaw, the screen given back', async () => {
    const output = new FakeTerminal();
    const { signal } = new AbortController();
    const look = async () => {
      throw new Error('a mistake of ours');
    };
    await expect(watch(look, { output, intervalMs: 5, signal })).rejects.toThrow('a mistake of ours');
    expect(output.written.endsWith(`${ESC}[?1049l`)).toBe(true);
  });

  it('ends when nobody reads any more', async () => {
    const output = new FakeTerminal();
    const { signal } = new AbortController();
    const ended = watch(counting(), { output, intervalMs: 60_000, signal });
    await shows(output, 'look 1');
    output.emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    expect(await ended).toBe(0);
  });
});

describe('status --watch off a terminal', () => {
  let cli: Cli;
  let database: TestDatabase;
  beforeAll(async () => {
    cli = await createCli();
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await database.drop();
    await cli.close();
  });

  it('prints plain snapshots until it is stopped, with 130', async () => {
    const running = cli.start(['status', '--watch'], { env: { DATABASE_URL: database.url } });
    await running.says(/Nothing is mirrored yet[\s\S]*Nothing is mirrored yet/);
    running.kill('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    expect(stdout).not.toContain(ESC);
    expect(stdout).toMatch(/^20\d\d-[^\n]*Z\nNothing is mirrored yet\. Start with: leadmirror sync\n\n20/);
  });

  it('is not for scripts: with --json it is a mistake', async () => {
    const { code, stderr } = await cli.run(['status', '--watch', '--json']);
    expect(code).toBe(2);
    expect(stderr).toContain("'--watch' cannot be used with option '--json'");
  });

  it('colours only where it is asked for', async () => {
    const env = { DATABASE_URL: database.url };
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query("insert into sync.streams (connection_id, stream) values ('tiledesk:a', 'tiledesk.leads')");
    await client.end();
    const [plain, forced] = await Promise.all([
      cli.runProcess(['status'], { env }),
      cli.runProcess(['status'], { env: { ...env, FORCE_COLOR: '1' } }),
    ]);
    expect([plain.code, forced.code]).toEqual([0, 0]);
    expect(plain.stdout).not.toContain(ESC);
    expect(plain.stdout).toContain('tiledesk.leads');
    expect(forced.stdout).toContain(ESC);
  });
});

it('several styles at once are colours on a terminal, and none in a pipe', () => {
  const terminal = new FakeTerminal();
  expect(screenOf(terminal).paint(['red', 'bold'], 'x')).toBe(`${ESC}[1m${ESC}[31mx${ESC}[39m${ESC}[22m`);
  expect(screenOf(new PassThrough()).paint(['red', 'bold'], 'x')).toBe('x');
});

describe('progress', () => {
  const counts = { read: 5_000, requests: 50, pages: 50 };

  it('shows several runs side by side, and takes away the ones that ended', async () => {
    const output = new FakeTerminal({ columns: 90 });
    const progress = await createProgress({ isQuiet: false }, output);
    const walk = { pass: 'reconcile', aliveRows: 20_000, isFirstRead: false } as const;
    const leads = progress.track('leads reconcile', walk);
    const requests = progress.track('requests backfill', { pass: 'backfill', aliveRows: 0, isFirstRead: true });
    requests.show({ ...counts, read: 100 });
    leads.readBefore(5_000);
    leads.show(counts);
    await shows(output, 'requests backfill  100 rows');
    await shows(output, 'leads reconcile');
    expect(output.text).toContain('leads reconcile  ██████████░░░░░░░░░░  50 %  10,000 of about 20,000 rows');
    output.written = '';
    leads.end();
    await shows(output, 'requests backfill');
    progress.stop();
    expect(output.text).not.toContain('leads reconcile');
  });

  it('is silent where one JSON document is due', async () => {
    const output = new FakeTerminal();
    const progress = await createProgress({ isQuiet: true }, output);
    progress.track('leads').show(counts);
    progress.stop();
    expect(output.written).toBe('');
  });
});
