import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { DatabaseError } from '../errors.ts';
import { LOCKS } from './locks.ts';
import { assertEncoding, withSession } from './session.ts';

/**
 * Migrations, applied in our own process: Prisma's command would download a schema engine from outside the npm registry. They are its files, and the ordinary
 * `_prisma_migrations` table is kept, so Prisma's own tools agree with the result.
 *
 * Any number of processes may start at once: each migration is a transaction under an advisory lock, its entry in `_prisma_migrations` included. One that was
 * cut off has left nothing behind and is simply run again.
 */

/** Postgres schemas that belong to leadmirror alone. `bullmq` is made by the queue, when it lives in Postgres. */
const OWN_SCHEMAS = ['sync', 'tiledesk', 'tilkee', 'reporting'] as const;

export interface Migration {
  readonly name: string;
  readonly script: string;
}

export interface MigrationStatus {
  readonly applied: readonly string[];
  readonly pending: readonly string[];
}

export interface MigrateOptions {
  readonly url: string;
  /** Other migrations than those shipped; for tests. */
  readonly migrations?: readonly Migration[];
}

/** Directory of `prisma/`, from the sources and from `dist/` alike. */
export async function findPrismaDirectory(): Promise<string> {
  for (let dir = dirname(fileURLToPath(import.meta.url)); ; dir = dirname(dir)) {
    const candidate = join(dir, 'prisma');
    const entries = await readdir(candidate).catch(() => null);
    if (entries?.includes('schema.prisma')) return candidate;
    if (dir === dirname(dir)) throw new Error('prisma/schema.prisma not found: the installation is incomplete');
  }
}

export async function readMigrations(): Promise<Migration[]> {
  const base = join(await findPrismaDirectory(), 'migrations');
  const entries = await readdir(base, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => ({ name, script: await readFile(join(base, name, 'migration.sql'), 'utf8') })),
  );
}

/** What is applied and what is not; changes nothing. */
export async function migrationStatus(options: MigrateOptions): Promise<MigrationStatus> {
  const migrations = options.migrations ?? (await readMigrations());
  return withSession(options.url, async (client) => {
    const applied = await appliedMigrations(client);
    return { applied, pending: migrations.map(({ name }) => name).filter((name) => !applied.includes(name)) };
  });
}

/**
 * Brings the database to this program's version; returns the names of the migrations applied now.
 *
 * @throws DatabaseError `database_foreign` when a schema of ours exists but is not ours, `database_newer` when a newer leadmirror was here,
 * `database_unavailable` or `database_refused` when it cannot be reached or the role may not create schemas
 */
export async function migrate(options: MigrateOptions): Promise<readonly string[]> {
  const migrations = options.migrations ?? (await readMigrations());
  return withSession(options.url, async (client) => {
    await assertEncoding(client);
    const applied: string[] = [];
    for (const { name, script } of await pendingOf(client, migrations)) {
      const isNew = await inTransaction(client, async () => {
        // In each transaction, so that it works behind PgBouncer and ends with the connection whatever happens.
        await client.query(`select pg_advisory_xact_lock(${LOCKS.migrate})`);
        // Another process may have been faster.
        const pending = await pendingOf(client, migrations);
        if (pending[0]?.name !== name) return false;
        await client.query(
          'set local statement_timeout = 0; set local lock_timeout = 0; create schema if not exists sync; set local search_path to sync',
        );
        await client.query(MIGRATION_TABLE);
        await client.query(script);
        await client.query(
          `insert into sync._prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) values ($1, $2, $3, now(), 1)`,
          [randomUUID(), createHash('sha256').update(script).digest('hex'), name],
        );
        return true;
      });
      if (isNew) applied.push(name);
    }
    return applied;
  });
}

/** As Prisma's own command makes it. An entry without an end is left over from an attempt that changed nothing. */
const MIGRATION_TABLE = `
  create table if not exists sync._prisma_migrations (
    id varchar(36) primary key not null, checksum varchar(64) not null, finished_at timestamptz, migration_name varchar(255) not null, logs text,
    rolled_back_at timestamptz, started_at timestamptz not null default now(), applied_steps_count integer not null default 0
  );
  delete from sync._prisma_migrations where finished_at is null and rolled_back_at is null`;

async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin isolation level read committed read write');
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

async function pendingOf(client: pg.Client, migrations: readonly Migration[]): Promise<Migration[]> {
  await refuseForeignSchemas(client, migrations);
  const applied = await appliedMigrations(client);
  return migrations.filter(({ name }) => !applied.includes(name));
}

async function refuseForeignSchemas(client: pg.Client, migrations: readonly Migration[]): Promise<void> {
  const present = await client.query<{ nspname: string }>(
    `select n.nspname from pg_namespace n where n.nspname = any($1)
       and exists (select 1 from pg_class c where c.relnamespace = n.oid and c.relname not like '\\_prisma%')`,
    [OWN_SCHEMAS],
  );
  const known = migrations.map(({ name }) => name);
  const applied = await appliedMigrations(client);
  const ours = applied.some((name) => known.includes(name));
  if (present.rows.length > 0 && !ours) {
    const names = present.rows.map(({ nspname }) => nspname).join(', ');
    throw new DatabaseError(
      'database_foreign',
      `the database has a schema named ${names} that leadmirror did not make; give leadmirror a database of its own, or rename that schema`,
    );
  }
  const unknown = applied.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new DatabaseError(
      'database_newer',
      `the database was migrated by a newer leadmirror (${unknown.join(', ')}); update this one`,
    );
  }
}

async function hasMigrationTable(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query("select to_regclass('sync._prisma_migrations') is not null as present");
  return rows[0]?.present === true;
}

async function appliedMigrations(client: pg.Client): Promise<string[]> {
  if (!(await hasMigrationTable(client))) return [];
  const { rows } = await client.query<{ migration_name: string }>(
    'select migration_name from sync._prisma_migrations where finished_at is not null and rolled_back_at is null order by 1',
  );
  return rows.map(({ migration_name }) => migration_name);
}
