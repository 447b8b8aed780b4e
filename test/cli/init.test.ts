import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { parseEnv } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createTilkeeSandbox, type TilkeeSandbox } from '../../sandbox/tilkee.ts';
import { formatEntry, mergeDotEnv } from '../../src/cli/init/dot-env.ts';
import { runInit } from '../../src/cli/init.ts';
import { loadConfig } from '../../src/config.ts';
import { withSession } from '../../src/store/session.ts';
import { createCli } from '../helpers/cli.ts';
import { findClosedPort } from '../helpers/closed-port.ts';
import { FakeTerminal, pretendTerminal } from '../helpers/fake-terminal.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import fc from '../helpers/property.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

const ENTER = '\r';
const DOWN = '\u001b[B';
const SPACE = ' ';
const CTRL_C = '\u0003';

/** What a person types on. */
class Keyboard extends PassThrough {
  readonly isTTY = true;

  setRawMode(): this {
    return this;
  }
}

interface Session {
  readonly output: FakeTerminal;
  /** Waits for the question, from where the last one was found on, and types. */
  answer(question: string, ...keys: string[]): Promise<void>;
  sees(text: string): Promise<void>;
  readonly ended: Promise<number>;
}

let cwd: string;
let tiledesk: TiledeskSandbox;
let tiledeskUrl: string;
let tilkee: TilkeeSandbox;
let address: { v2Url: string; v3Url: string };
let database: TestDatabase;
let restore: () => void;
/** How often the first sync was asked for. */
let wanted = 0;

beforeAll(async () => {
  restore = pretendTerminal();
  tiledesk = createTiledeskSandbox({ leads: 5, requests: 5, password: `a'b"c#d ` });
  ({ url: tiledeskUrl } = await tiledesk.listen());
  tilkee = createTilkeeSandbox({ projects: 3 });
  address = await tilkee.listen();
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
  await tilkee.close();
  await tiledesk.close();
  restore();
});
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-init-test-'));
});
afterEach(() => rm(cwd, { recursive: true, force: true }));

const env = () => ({ HOME: cwd });
const written = () => readFile(join(cwd, '.env'), 'utf8');

function begin(environment: Record<string, string> = env()): Session {
  const output = new FakeTerminal({ columns: 120, rows: 50 });
  const input = new Keyboard();
  const { signal } = new AbortController();
  const ended = runInit({
    input,
    output,
    logger: unheardLogger(),
    signal,
    cwd,
    env: environment,
    onSyncWanted: () => wanted++,
  });
  let from = 0;
  const sees = async (text: string) => {
    while (!output.text.slice(from).includes(text)) {
      const isOver = await Promise.race([once(output, 'written').then(() => false), ended.then(() => true)]);
      if (isOver && !output.text.slice(from).includes(text))
        throw new Error(`no "${text}" in:\n${output.text.slice(from)}`);
    }
    from = output.text.indexOf(text, from) + text.length;
  };
  return {
    output,
    ended,
    sees,
    async answer(question, ...keys) {
      await sees(question);
      // Each question listens when its screen is written.
      await new Promise((resolve) => setImmediate(resolve));
      for (const key of keys) {
        input.write(key);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

async function answerTiledesk(session: Session, { password = tiledesk.password, email = tiledesk.email } = {}) {
  await session.answer('Where is your Tiledesk?', DOWN, ENTER);
  await session.answer('Address of its API', tiledeskUrl, ENTER);
  await session.answer('E-mail of an owner or admin', email, ENTER);
  await session.answer('Its password', password, ENTER);
}

async function answerStorage(session: Session) {
  await session.answer('Where should the mirror be?', DOWN, ENTER);
  await session.answer('DATABASE_URL:', database.url, ENTER);
  await session.sees('Database ');
  await session.answer('Where should the queue be?', ENTER);
  await session.answer('What else?', ENTER);
}

function expectNoSecret({ output }: Session): void {
  for (const secret of [tiledesk.password, tilkee.password, new URL(database.url).password]) {
    if (secret !== '') expect(output.text).not.toContain(secret);
  }
}

describe('init', () => {
  it('asks, tries and writes what the daemon reads back; a wrong password costs only itself', async () => {
    const session = begin();
    await session.answer('What should be mirrored?', ENTER);
    await answerTiledesk(session, { password: 'wrong' });
    await session.sees('refused the e-mail address or password');
    await session.answer('E-mail of an owner or admin', ENTER);
    await session.answer('Its password', tiledesk.password, ENTER);
    await session.sees('Its only project: ');
    await session.sees(`tiledesk:${tiledesk.projectId}: role owner`);
    await answerStorage(session);
    await session.answer('Write ', ENTER);
    await session.answer('Read everything now', DOWN, ENTER);
    await session.sees('npx leadmirror check');
    expect(await session.ended).toBe(0);
    expectNoSecret(session);
    expect((await stat(join(cwd, '.env'))).mode & 0o777).toBe(0o600);
    expect(await readdir(cwd)).toEqual(['.env']);
    const config = loadConfig({ cwd, env: {}, isTerminal: false });
    const { email, password } = tiledesk;
    expect(config.connections).toMatchObject([
      { projectId: tiledesk.projectId, baseUrl: tiledeskUrl, auth: { kind: 'jwt', email, password } },
    ]);
    expect(config).toMatchObject({ databaseUrl: database.url, redis: null });
  });

  it('takes both products, and keeps what an existing .env has besides, with a copy', async () => {
    const before =
      '# mine\nOTHER="kept # as it is"\nTILEDESK_TOKEN=JWT old\nTILEDESK_PASSWORD_FILE=old\n#OPS_PORT=8080\nLOG_LEVEL=warn';
    await writeFile(join(cwd, '.env'), before);
    execFileSync('git', ['init', '-q'], { cwd });
    const session = begin({ ...env(), TILKEE_PASSWORD: 'of the shell' });
    await session.answer('What should be mirrored?', DOWN, SPACE, ENTER);
    await answerTiledesk(session);
    await session.answer('Which Tilkee?', DOWN, DOWN, ENTER);
    await session.answer('Address of the V3 API', address.v3Url, ENTER);
    await session.answer('Address of the V2 API', address.v2Url, ENTER);
    await session.answer('How does leadmirror sign in?', ENTER);
    await session.answer('Login of the account', tilkee.username, ENTER);
    await session.answer('Its password', tilkee.password, ENTER);
    await session.sees('V2: ');
    await answerStorage(session);
    await session.answer('There is a ', ENTER);
    await session.sees('git does not ignore .env here');
    await session.sees('The environment wins over .env, and it has: TILKEE_PASSWORD');
    await session.answer('Read everything now', DOWN, ENTER);
    expect(await session.ended).toBe(0);
    expectNoSecret(session);
    expect(await readFile(join(cwd, '.env.bak'), 'utf8')).toBe(before);
    expect((await stat(join(cwd, '.env.bak'))).mode & 0o777).toBe(0o600);
    const text = await written();
    expect(text).toMatch(/^# mine\nOTHER="kept # as it is"\n/);
    expect(text).toContain('#OPS_PORT=8080\nLOG_LEVEL=warn\n');
    expect(text).not.toMatch(/^TILEDESK_(TOKEN|PASSWORD_FILE)=/m);
    const { connections } = loadConfig({ cwd, env: {}, isTerminal: false });
    expect(connections.map(({ id }) => id)).toEqual([`tiledesk:${tiledesk.projectId}`, 'tilkee:default']);
  });

  it('explains a role that is too low, and a wrong address, and asks again', async () => {
    const low = createTiledeskSandbox({ leads: 5, requests: 5, role: 'agent' });
    const { url } = await low.listen();
    try {
      const session = begin();
      await session.answer('What should be mirrored?', ENTER);
      await session.answer('Where is your Tiledesk?', DOWN, ENTER);
      await session.answer('Address of its API', `${url}/nowhere`, ENTER);
      await session.answer('E-mail of an owner', low.email, ENTER);
      await session.answer('Its password', low.password, ENTER);
      await session.sees('check TILEDESK_BASE_URL');
      await session.answer('Where is your Tiledesk?', DOWN, ENTER);
      await session.answer('Address of its API', ...Array<string>('/nowhere'.length).fill('\u007f'), ENTER);
      await session.answer('E-mail of an owner', ENTER);
      await session.answer('Its password', low.password, ENTER);
      await session.sees('use one that is owner or admin');
      await session.answer('E-mail of an owner', CTRL_C);
      expect(await session.ended).toBe(130);
      expect(await readdir(cwd)).toEqual([]);
    } finally {
      await low.close();
    }
  });

  it('tells a server that does not answer from a wrong answer, and can go on untried', async () => {
    const session = begin();
    await session.answer('What should be mirrored?', DOWN, SPACE, SPACE, ENTER);
    await session.answer('Where is your Tiledesk?', CTRL_C);
    expect(await session.ended).toBe(130);
    const database = begin();
    await database.answer('What should be mirrored?', ENTER);
    await answerTiledesk(database);
    await database.answer('Where should the mirror be?', DOWN, ENTER);
    await database.answer('DATABASE_URL:', `postgres://me:not-shown@127.0.0.1:${await findClosedPort()}/mirror`, ENTER);
    await database.answer('It could not be tried.', DOWN, DOWN, ENTER);
    await database.answer('Where should the queue be?', ENTER);
    await database.answer('What else?', ENTER);
    await database.answer('Write ', CTRL_C);
    await database.sees('Nothing was written');
    expect(await database.ended).toBe(130);
    expect(database.output.text).not.toContain('not-shown');
    expect(await readdir(cwd)).toEqual([]);
  });

  it('creates the database that is missing, offers what a mirror works without, and the first sync', async () => {
    const missing = new URL(database.url);
    missing.pathname = `${missing.pathname}-"new"`;
    const session = begin();
    const before = wanted;
    await session.answer('What should be mirrored?', ENTER);
    await answerTiledesk(session);
    await session.answer('Where should the mirror be?', DOWN, ENTER);
    await session.answer('DATABASE_URL:', missing.href, ENTER);
    await session.answer('Create it?', ENTER);
    await session.sees('Database ');
    await session.answer('Where should the queue be?', ENTER);
    await session.answer('What else?', SPACE, DOWN, SPACE, DOWN, SPACE, DOWN, SPACE, ENTER);
    await session.answer('Time zone of the schedule', ...Array<string>(40).fill('\u007f'), 'Europe/Rome', ENTER);
    await session.answer('ALERT_WEBHOOK_URL', 'https://hooks.example.com/T0SECRET', ENTER);
    await session.answer('What takes it?', DOWN, ENTER);
    await session.answer('Write ', ENTER);
    await session.answer('Read everything now', ENTER);
    expect(await session.ended).toBe(0);
    expect(wanted).toBe(before + 1);
    expect(session.output.text).not.toContain('T0SECRET');
    const config = loadConfig({ cwd, env: {}, isTerminal: false });
    expect(config.sync.timezone).toBe('Europe/Rome');
    expect(config.alerts.webhook).toMatchObject({ format: 'slack' });
    expect(config.connections[0]?.streams).toContain('messages');
    expect(parseEnv(await written()).LEADMIRROR_SECRET_KEY).toMatch(/^[\da-f]{64}$/);
    await withSession(database.url, (client) =>
      client.query(`drop database ${pg.escapeIdentifier(decodeURIComponent(missing.pathname.slice(1)))}`),
    );
  });

  it('for Docker makes the secrets once', async () => {
    const makeEnv = async (isFirst: boolean) => {
      const session = begin();
      await session.answer('What should be mirrored?', ENTER);
      await answerTiledesk(session);
      await session.answer('Where should the mirror be?', DOWN, DOWN, ENTER);
      await session.answer('What else?', ENTER);
      await session.answer(isFirst ? 'Write ' : 'There is a ', ENTER);
      await session.sees('docker compose up -d');
      expect(await session.ended).toBe(0);
      return parseEnv(await written());
    };
    const first = await makeEnv(true);
    expect(first).toMatchObject({
      POSTGRES_PASSWORD: expect.stringMatching(/^\w{48}$/),
      REDIS_PASSWORD: expect.stringMatching(/^\w{48}$/),
      GRAFANA_PASSWORD: expect.stringMatching(/^\w{48}$/),
      GRAFANA_DB_PASSWORD: expect.stringMatching(/^\w{48}$/),
      OPS_TOKEN: expect.stringMatching(/^\w{48}$/),
    });
    expect(await makeEnv(false)).toEqual(first);
  });

  it('without a terminal says how to do without, and ends with 2', async () => {
    const cli = await createCli();
    try {
      const { code, stdout, stderr } = await cli.run(['init'], { cwd });
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/no terminal.*\.env\.example.*leadmirror check/);
    } finally {
      await cli.close();
    }
  });
});

describe('.env', () => {
  const password = fc.oneof(
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.string({
      unit: fc.constantFrom("'", '"', '`', '#', '$', '\\', ' ', '=', 'n', 'a', '{', '}'),
      minLength: 1,
      maxLength: 12,
    }),
  );

  it('gives back every password as it was typed, or says beforehand that it cannot', () => {
    fc.assert(
      fc.property(password, (value) => {
        fc.pre(!/[\r\n]/.test(value) && value.isWellFormed());
        const entry = formatEntry('TILEDESK_PASSWORD', value);
        // In double quotes the reader takes `\n` for the end of a line.
        const noQuotesHold =
          value.includes("'") && value.includes('`') && (value.includes('"') || value.includes('\\n'));
        if (entry === null) expect(noQuotesHold || value.includes('\0')).toBe(true);
        else expect(parseEnv(`A=1\n${entry}\nB=2`)).toEqual({ A: '1', TILEDESK_PASSWORD: value, B: '2' });
      }),
      { numRuns: 2_000, examples: [["\\n#'`"], [`\\n#'"`]] },
    );
  });

  it('is read back through the whole configuration', async () => {
    await fc.assert(
      fc.asyncProperty(password, async (value) => {
        fc.pre(!/[\r\n\0]/.test(value) && formatEntry('TILEDESK_PASSWORD', value) !== null);
        const changes = {
          TILEDESK_PROJECT_ID: '0'.repeat(24),
          TILEDESK_EMAIL: 'a@example.com',
          TILEDESK_PASSWORD: value,
        };
        await writeFile(join(cwd, '.env'), mergeDotEnv('', changes));
        expect(loadConfig({ cwd, env: {} }).connections).toMatchObject([{ auth: { password: value } }]);
      }),
      { numRuns: 50 },
    );
  });

  it('keeps everything else, whatever the lines are like', () => {
    const line = fc.constantFrom(
      '# a comment',
      '',
      'A=1',
      'export B="two\nlines # here"',
      "C='x'",
      '#D=shown',
      '  E = spaces  ',
      'A=again',
    );
    fc.assert(
      fc.property(
        fc.array(line),
        fc.constantFrom('A', 'B', 'D', 'E', 'F'),
        fc.option(password),
        (lines, name, value) => {
          fc.pre(
            value === null || (!/[\r\n\0]/.test(value) && value.isWellFormed() && formatEntry(name, value) !== null),
          );
          const before = lines.join('\n');
          const after = mergeDotEnv(before, { [name]: value });
          const { [name]: _, ...others } = parseEnv(`${before}\n`);
          expect(parseEnv(after)).toEqual(value === null ? others : { ...others, [name]: value });
          for (const comment of lines.filter((one) => one.startsWith('#'))) expect(after).toContain(comment);
          expect(mergeDotEnv(after, { [name]: value })).toBe(after);
        },
      ),
      { numRuns: 1_000, examples: [[["C='x'"], 'B', `'"\` `]] },
    );
  });

  it('that is broken is not touched', () => {
    expect(() => mergeDotEnv('oops\nA=1\n', { A: '2' })).toThrow('not NAME=value');
  });
});
