import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** Set by `test-server.ts` for every test file: the server of this run, as its owner. */
export const ADMIN_URL_VARIABLE = 'LEADMIRROR_TEST_POSTGRES';
/** The migrated database that `createTestDatabase` clones. Nothing may stay connected to it. */
export const TEMPLATE = 'leadmirror_template';

export interface TestDatabase {
  /** With user and password. */
  readonly url: string;
  /** Removes the database, cutting whoever is still connected. */
  drop(): Promise<void>;
}

export interface TestDatabaseOptions {
  /** False: an empty database, for tests of the migrations themselves. */
  readonly migrated?: boolean;
}

/** A database of its own on the server of this test run, migrated. Takes about 50 ms. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const template = (options.migrated ?? true) ? TEMPLATE : 'template1';
  await admin(`create database ${name} template ${template}`);
  return {
    url: databaseUrl(adminUrl(), name),
    drop: () => admin(`drop database if exists ${name} with (force)`),
  };
}

/** The same server and user, another database. */
export function databaseUrl(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${database}`;
  return parsed.href;
}

function adminUrl(): string {
  const url = process.env[ADMIN_URL_VARIABLE];
  if (!url) throw new Error(`${ADMIN_URL_VARIABLE} is not set: run the tests through jest, whose globalSetup sets it`);
  return url;
}

async function admin(statement: string): Promise<void> {
  await withClient(adminUrl(), (client) => client.query(statement));
}

/** Runs `work` with a connection of its own. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
