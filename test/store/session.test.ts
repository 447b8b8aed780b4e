import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createDatabase } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { refreshReporting } from '../../src/store/reports/refresh.ts';
import { openSession } from '../../src/store/session.ts';
import { setupMirror } from '../helpers/mirror.ts';
import { startPooler } from '../helpers/pooler.ts';
import { createTestDatabase, type TestDatabase, withClient } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

/** What a role or a database may be set to, each of which has broken something or would. */
const ODD: Readonly<Record<string, string>> = {
  datestyle: 'German, DMY',
  intervalstyle: 'sql_standard',
  timezone: 'America/St_Johns',
  standard_conforming_strings: 'off',
  client_encoding: 'LATIN1',
  search_path: 'public',
  default_transaction_isolation: 'serializable',
  default_transaction_read_only: 'on',
  default_transaction_deferrable: 'on',
  array_nulls: 'off',
  bytea_output: 'escape',
  extra_float_digits: '-15',
  gin_fuzzy_search_limit: '1',
  quote_all_identifiers: 'on',
  restrict_nonsystem_relation_kind: 'view',
  row_security: 'off',
  transform_null_equals: 'on',
  statement_timeout: '4min',
  lock_timeout: '4min',
  idle_session_timeout: '4min',
  idle_in_transaction_session_timeout: '4min',
  transaction_timeout: '4min',
  client_min_messages: 'debug5',
  enable_seqscan: 'off',
  lc_numeric: 'C',
  xmlbinary: 'hex',
};

let database: TestDatabase;
let odd: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  odd = await createTestDatabase({ migrated: false });
  await withClient(odd.url, async (client) => {
    const name = new URL(odd.url).pathname.slice(1);
    for (const [setting, value] of Object.entries(ODD)) {
      const values = value.split(', ').map((one) => `'${one}'`);
      const known = await client.query('select from pg_settings where lower(name) = $1', [setting]);
      if (known.rowCount === 1) await client.query(`alter database ${name} set ${setting} = ${values.join(', ')}`);
    }
  });
});
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});
afterAll(async () => {
  await odd.drop();
  await database.drop();
});

/** The settings of a session that differ from those of another database of this server, where nobody set anything. */
const SETTINGS = `select lower(name) as name, setting from pg_settings where lower(name) = any($1)`;

async function settingsOf(query: (sql: string, values: unknown[]) => Promise<readonly Setting[]>) {
  const rows = await query(SETTINGS, [Object.keys(ODD)]);
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}
interface Setting {
  readonly name: string;
  readonly setting: string;
}

const openPrisma = (url: string) => {
  const opening = createDatabase({ url, logger: unheardLogger(), maxConnections: 2 });
  opened.push(opening);
  return opening.prisma;
};

/** Not ours to decide, or without influence on what we read and write. */
const LEFT_ALONE = ['client_min_messages', 'enable_seqscan', 'lc_numeric', 'xmlbinary'];

function withoutLeftAlone(settings: Readonly<Record<string, string>>) {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !LEFT_ALONE.includes(name)));
}

describe('a session has the settings that we rely on, whatever the role and the database are set to', () => {
  it('alone, in the pool, and in a transaction of the pool', async () => {
    const ofSession = async (url: string) => {
      const session = await openSession(url);
      opened.push({ close: () => session.end() });
      expect(session.isDirect).toBe(true);
      return settingsOf(async (sql, values) => (await session.query<Setting>(sql, values)).rows);
    };
    const usual = await ofSession(database.url);
    expect(usual).toMatchObject({ timezone: 'UTC', datestyle: 'ISO, MDY', statement_timeout: '0' });
    const prisma = openPrisma(odd.url);
    const ofPool = await settingsOf((sql, values) => prisma.$queryRawUnsafe<Setting[]>(sql, ...values));
    const ofTransaction = await prisma.$transaction((tx) =>
      settingsOf((sql, values) => tx.$queryRawUnsafe<Setting[]>(sql, ...values)),
    );
    for (const settings of [await ofSession(odd.url), ofPool, ofTransaction]) {
      expect(withoutLeftAlone(settings)).toEqual(withoutLeftAlone(usual));
    }
  });

  it('behind a pooler, which may give each transaction another connection: in every transaction and statement', async () => {
    const pooler = await startPooler(odd.url);
    opened.push(pooler);
    const prisma = openPrisma(pooler.url);
    const usual = await openPrisma(database.url).$transaction((tx) =>
      settingsOf((sql, values) => tx.$queryRawUnsafe<Setting[]>(sql, ...values)),
    );
    const inTransaction = await prisma.$transaction(async (tx) => ({
      ...(await settingsOf((sql, values) => tx.$queryRawUnsafe<Setting[]>(sql, ...values))),
      level:
        await tx.$queryRaw`select current_setting('transaction_isolation') as level, current_setting('transaction_read_only') as readonly`,
    }));
    const { level, ...settings } = inTransaction;
    expect(withoutLeftAlone(settings as Record<string, string>)).toEqual(withoutLeftAlone(usual));
    expect(level).toEqual([{ level: 'read committed', readonly: 'off' }]);
    await prisma.$executeRaw`create table if not exists public.written (n int)`;
    expect(await prisma.$queryRaw`select current_setting('statement_timeout') as timeout`).toEqual([{ timeout: '0' }]);
    await expect(prisma.$queryRaw`select 1 / 0`).rejects.toThrow();
    await prisma.$executeRaw`drop table public.written`;
  });

  it('so that migrations, a full read and the reporting tables work there', async () => {
    await migrate({ url: odd.url });
    const mirror = await setupMirror({ leads: 30, requests: 30 }, { DATABASE_URL: odd.url });
    opened.push(mirror);
    expect(await mirror.run('leads', 'backfill')).toMatchObject({ outcome: 'succeeded', error: null });
    const prisma = openPrisma(odd.url);
    expect(await refreshReporting({ prisma, address: 'there' })).toBe('rebuilt');
    const [row] = await prisma.$queryRaw<{ at: Date }[]>`select max(updated_at) as at from tiledesk.leads`;
    expect(row?.at.getTime()).toBeGreaterThan(0);
  });
});

it('is the only place where the program opens one', async () => {
  const folders = ['src', 'workers', 'sandbox'];
  const files = (await Promise.all(folders.map((folder) => readdir(folder, { recursive: true })))).flatMap(
    (names, at) => names.filter((name) => /\.ts$/.test(name)).map((name) => join(folders[at] ?? '', name)),
  );
  const openers: string[] = [];
  for (const file of files.filter((name) => !name.includes('generated'))) {
    if (/new (pg\.)?(Client|Pool)\((?!poolConfig\()/.test(await readFile(file, 'utf8'))) openers.push(file);
  }
  expect(openers).toEqual([]);
});

describe('settings in the address', () => {
  const withOptions = (url: string, options: string) => {
    const address = new URL(url);
    address.searchParams.set('options', options);
    return address.href;
  };

  it('are kept beside ours, and put nothing into public', async () => {
    const fresh = await createTestDatabase({ migrated: false });
    opened.push({ close: () => fresh.drop() });
    const url = withOptions(
      fresh.url,
      '-c statement_timeout=120000 -c search_path=public --geqo=off -c TimeZone=Europe/Rome',
    );
    await migrate({ url });
    expect(await migrate({ url })).toEqual([]);
    await withClient(fresh.url, async (client) => {
      const { rows } = await client.query(`select relname from pg_class where relnamespace = 'public'::regnamespace`);
      expect(rows).toEqual([]);
    });
    const prisma = openPrisma(url);
    const [settings] = await prisma.$queryRaw<unknown[]>`select current_setting('statement_timeout') as timeout,
      current_setting('geqo') as geqo, current_setting('timezone') as zone, current_setting('search_path') as path`;
    expect(settings).toEqual({ timeout: '2min', geqo: 'off', zone: 'UTC', path: '"$user", public' });
  });

  it('that no server takes are named, and what only the driver knows is left out', async () => {
    for (const options of ['garbage', '-c nosuch=1', '-c work_mem=much']) {
      await expect(openSession(withOptions(database.url, options))).rejects.toMatchObject({
        code: 'database_refused',
        message: expect.stringContaining('look at options in DATABASE_URL'),
      });
    }
    const session = await openSession(
      `${database.url}?binary=true&replication=database&client_encoding=LATIN1&ssl=false`,
    );
    opened.push({ close: () => session.end() });
    expect((await session.query(`select 1 as one, 'é' as e`)).rows).toEqual([{ one: 1, e: 'é' }]);
  });

  it('that are no address are refused without a stack trace', async () => {
    for (const query of ['port=abc', 'port=99999', 'sslmode=sometimes', 'sslcert=/tmp/a', 'host=/nowhere']) {
      await expect(openSession(`${database.url}?${query}`)).rejects.toMatchObject({
        code: expect.stringMatching(/^database_(refused|unavailable)$/),
      });
    }
  });

  it('may be limits in any of their spellings', async () => {
    for (const options of ['-cstatement_timeout=5000', '--statement-timeout=5000', '-c  statement_timeout=5000']) {
      const session = await openSession(withOptions(database.url, options));
      opened.push({ close: () => session.end() });
      const { rows } = await session.query('show statement_timeout');
      expect(rows).toEqual([{ statement_timeout: '5s' }]);
    }
  });
});
