import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { erasureParts, erasureTargets } from '../../src/app/erase-person.ts';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import type { Selectors } from '../../src/sync/privacy/closure.ts';
import { type ErasureReport, erasePerson as erase } from '../../src/sync/privacy/erase.ts';
import { type PlannedErasure, planErasure } from '../../src/sync/privacy/plan.ts';
import type { ErasureOptions, ErasureParts } from '../../src/sync/privacy/record-erasure.ts';
import { type MirrorSetup, setupMirror } from '../helpers/mirror.ts';
import { ADMIN_URL_VARIABLE, databaseUrl, type TestDatabase } from '../helpers/postgres.ts';
import { declareErased } from '../helpers/printed/record.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

export const SECRET = 'privacy-test-key-0123456789abcdef';

export interface PrivacySetup extends MirrorSetup {
  readonly journal: string;
  readonly folder: string;
}

/** A mirror of a simulated Tiledesk in which people can be erased. */
export async function setupPrivacy(
  options: Parameters<typeof setupMirror>[0] = {},
  env: Readonly<Record<string, string>> = {},
): Promise<PrivacySetup> {
  const folder = await mkdtemp(join(tmpdir(), 'privacy-'));
  const journal = join(folder, 'erasures.jsonl');
  const setup = await setupMirror(options, { LEADMIRROR_SECRET_KEY: SECRET, PRIVACY_JOURNAL: journal, ...env });
  const close = async () => {
    await setup.close();
    await rm(folder, { recursive: true, force: true });
  };
  return { ...setup, journal, folder, close };
}

export const NOBODY: Selectors = { leads: [], links: [], requests: [], emails: [], phones: [], rows: [] };
const REQUEST: ErasureOptions = { reason: 'request', reference: null, alsoFuture: false, deletesRows: false };
const never = new AbortController().signal;

export async function planFor(app: App, selectors: Partial<Selectors>): Promise<PlannedErasure> {
  const targets = await erasureTargets(app);
  const connections = [...new Set(targets.map(({ connectionId }) => connectionId))];
  return planErasure({ prisma: app.database.prisma, targets }, connections, { ...NOBODY, ...selectors });
}

export async function erasePerson(
  app: App,
  selectors: Partial<Selectors>,
  { parts = {}, ...options }: Partial<ErasureOptions> & { readonly parts?: Partial<ErasureParts> } = {},
): Promise<ErasureReport> {
  const { plan } = await planFor(app, selectors);
  const all = { ...(await erasureParts(app, { signal: never })), ...parts };
  const report = await erase(all, plan, { ...REQUEST, ...options });
  declareErased([...plan.addresses, ...plan.numbers, ...plan.names]);
  return report;
}

/** A copy of the database, as a backup of this moment would restore it. */
export async function backUp({
  app,
  database,
}: {
  readonly app: App;
  readonly database: TestDatabase;
}): Promise<TestDatabase> {
  const name = new URL(database.url).pathname.slice(1);
  const copy = `${name}_copy${Math.random().toString(36).slice(2, 8)}`;
  await app.database.prisma.$disconnect();
  const admin = (sql: string) => query(process.env[ADMIN_URL_VARIABLE] ?? '', sql);
  await admin(`create database ${copy} template ${name}`);
  const drop = async () => void (await admin(`drop database ${copy} with (force)`));
  return { url: databaseUrl(database.url, copy), drop };
}

export const openApp = (env: Readonly<Record<string, string>>): Promise<App> =>
  createApp(loadConfig({ env, cwd: '/', isTerminal: false }), { logger: unheardLogger(), signal: never });

/** Every text in the database that holds one of the needles, as `table: text`. */
export async function searchDump(url: string, needles: readonly string[]): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const tables = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
        where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    const found: string[] = [];
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ text: string }>(
        `select left(t::text, 300) as text from ${name} t where lower(t::text) like any($1)`,
        [needles.map((needle) => `%${needle.toLowerCase()}%`)],
      );
      found.push(...rows.map(({ text }) => `${name}: ${text}`));
    }
    return found;
  } finally {
    await client.end();
  }
}

export async function query<T extends object>(url: string, sql: string, values: unknown[] = []): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql, values)).rows as T[];
  } finally {
    await client.end();
  }
}
