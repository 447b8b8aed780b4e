import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { type Cli, createCli } from '../helpers/cli.ts';
import { CONNECTION_REFUSALS, SQLSTATES } from '../helpers/error-words.ts';
import {
  type FakePostgres,
  type PostgresAnswer,
  type PostgresTrouble,
  startFakePostgres,
} from '../helpers/fake-postgres.ts';
import { runInProcess } from '../helpers/in-process.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { seed } from '../helpers/property.ts';

let cli: Cli;
let sandbox: TiledeskSandbox;
let database: TestDatabase;
let fake: FakePostgres;
let cwd: string;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await createCli();
  cwd = await mkdtemp(join(tmpdir(), 'leadmirror-fuzz-'));
  sandbox = createTiledeskSandbox({ leads: 3, requests: 3 });
  const { url } = await sandbox.listen();
  database = await createTestDatabase();
  fake = await startFakePostgres(database.url);
  env = {
    ...variables(sandbox, url, fake.url),
    TILEDESK_STREAMS: 'departments',
    RETRY_ATTEMPTS: '1',
    RETRY_MAX_SECONDS: '1',
  };
});
afterAll(async () => {
  await cli.close();
  await fake.close();
  await database.drop();
  await sandbox.close();
  await rm(cwd, { recursive: true });
});

const SECRET_OF_THE_SERVER = 'c4n4ry-from-the-server';

async function faultOf(args: readonly string[], trouble: PostgresTrouble): Promise<string | null> {
  fake.trouble = trouble;
  const startedAt = performance.now();
  const { code, stdout, stderr } = await runInProcess(args, env, { cwd });
  const said = `${stdout}\n${stderr}`;
  if (/^\s*at .+:\d+/m.test(said) || /"stack":/.test(said)) return `prints a stack: ${said}`;
  if (/unexpected error|did not foresee|"bug"/i.test(said)) return `is a bug: ${said}`;
  if (said.includes('c4n4ry')) return `shows what the server sent: ${said}`;
  if (![0, 1, 2].includes(code)) return `exit code ${code}: ${said}`;
  if (code > 0 && said.trim() === '') return 'says nothing';
  if (performance.now() - startedAt > 20_000) return `takes ${performance.now() - startedAt} ms: ${said}`;
  return null;
}

const COMMANDS = [
  ['check'],
  ['check', '--json'],
  ['sync'],
  ['sync', '--json'],
  ['status'],
  ['status', '--json'],
  ['runs'],
  ['verify'],
  ['report', '--no-html'],
  ['report', 'refresh'],
  ['quarantine'],
  ['quarantine', 'retry'],
  ['pause', 'tiledesk.departments'],
  ['resume', 'tiledesk.departments'],
  ['cancel', 'tiledesk.departments'],
  ['resync', 'tiledesk.departments'],
  ['trigger', 'tiledesk.departments'],
  ['accept-deletions', 'tiledesk.departments'],
  ['reproject', 'tiledesk.departments'],
  ['migrate'],
  ['migrate', '--status'],
  ['grant-readonly', 'postgres'],
];

/** Fails the statement with this number, counted over all connections of a command. */
function atStatement(number: number, answer: PostgresAnswer): PostgresTrouble {
  const before = fake.statements.length;
  return { query: () => (fake.statements.length - before === number ? answer : null) };
}

async function faultsOf(
  cases: readonly (readonly [args: readonly string[], what: string, trouble: () => PostgresTrouble])[],
) {
  const faults: string[] = [];
  for (const [args, what, trouble] of cases) {
    const fault = await faultOf(args, trouble());
    if (fault !== null) faults.push(`${args.join(' ')}, ${what}: ${fault}`.slice(0, 700));
  }
  return faults;
}

const commandAt = (at: number): readonly string[] => COMMANDS[at % COMMANDS.length] ?? [];

describe('whatever Postgres answers is named in words', () => {
  it('at the start-up', async () => {
    const refusals = [
      ...SQLSTATES.map((sqlstate) => ({ sqlstate, message: SECRET_OF_THE_SERVER })),
      ...CONNECTION_REFUSALS.map(([sqlstate, message]) => ({ sqlstate, message })),
    ];
    const cases = refusals.map(
      (refusal, at) =>
        [commandAt(at), `${refusal.sqlstate} ${refusal.message}`, () => ({ startUp: () => refusal })] as const,
    );
    expect(await faultsOf(cases)).toEqual([]);
  }, 120_000);

  /** A fifth of them, others at each run: each takes a whole command. */
  it('at any statement', async () => {
    const some = SQLSTATES.filter((_, at) => process.env.FUZZ_STATEMENTS === 'all' || (at + seed) % 5 === 0);
    const cases = some.map((sqlstate, at) => {
      const number = 1 + ((at * 7 + seed) % 25);
      const fields = { D: SECRET_OF_THE_SERVER, H: SECRET_OF_THE_SERVER };
      const answer = {
        sqlstate,
        message: SECRET_OF_THE_SERVER,
        fields,
        severity: at % 9 === 0 ? 'FATAL' : 'ERROR',
      } as const;
      return [commandAt(at + seed), `${sqlstate} at statement ${number}`, () => atStatement(number, answer)] as const;
    });
    expect({ seed, faults: await faultsOf(cases) }).toEqual({ seed, faults: [] });
  }, 600_000);

  it('or does not answer, or as something else would', async () => {
    const troubles: readonly (readonly [string, () => PostgresTrouble])[] = [
      ['garbage at once', () => ({ connection: 'garbage' })],
      ['an end at once', () => ({ connection: 'close' })],
      ['garbage for TLS', () => ({ tls: 'garbage' })],
      ['garbage at the start-up', () => ({ startUp: () => 'garbage' })],
      ['an end at the start-up', () => ({ startUp: () => 'close' })],
      ['a demand for a password', () => ({ authentication: 'cleartext' })],
      ['a demand for md5', () => ({ authentication: 'md5' })],
      ['a demand for SCRAM, then garbage', () => ({ authentication: 'scram', password: 'garbage' })],
      ['a demand for SCRAM, then a refusal', () => ({ authentication: 'scram' })],
      [
        'only TLS',
        () => ({ plain: { sqlstate: '28000', message: 'no pg_hba.conf entry for host "10.0.0.1", no encryption' } }),
      ],
      ...[1, 3, 6, 10].flatMap((number) =>
        (['garbage', 'close'] as const).map(
          (answer) => [`${answer} at statement ${number}`, () => atStatement(number, answer)] as const,
        ),
      ),
    ];
    const cases = troubles.flatMap(([what, trouble], at) =>
      [0, 1, 2].map((more) => [commandAt(at * 3 + more + seed), what, trouble] as const),
    );
    expect({ seed, faults: await faultsOf(cases) }).toEqual({ seed, faults: [] });
  }, 600_000);

  it.each<[string, PostgresTrouble]>([
    ['a sign-in that the driver does not know', { authentication: 'gss' }],
    ['a word that nobody knows', { startUp: () => ({ sqlstate: 'ZZ999', message: SECRET_OF_THE_SERVER }) }],
    ['garbage', { startUp: () => 'garbage' }],
  ])('in a process of its own: %s', async (_, trouble) => {
    fake.trouble = trouble;
    for (const args of [['status'], ['check', '--json']]) {
      const { code, stdout, stderr } = await cli.runProcess(args, { env });
      expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: expect.any(String), stderr: expect.any(String) });
      expect(`${stdout}\n${stderr}`).not.toMatch(/^\s*at .+:\d+|unexpected error|did not foresee/im);
      expect(`${stdout}\n${stderr}`).toMatch(/database/);
      expect(`${stdout}\n${stderr}`).not.toContain(SECRET_OF_THE_SERVER);
    }
  });
});
