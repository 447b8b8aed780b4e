import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { DatabaseError } from '../errors.ts';
import { LOCKS } from './locks.ts';
import { assertEncoding, underLock, withSession } from './session.ts';

/**
 * Migrations, applied in our own process: Prisma's command would download a schema engine from outside the npm
 * registry. They are its files, and the ordinary `_prisma_migrations` table is kept, so Prisma's own tools agree with
 * the result.
 *
 * Any number of processes may start at once: each migration is a transaction under an advisory lock, its entry in
 * `_prisma_migrations` included. One that was cut off has left nothing behind and is simply run again.
 */

/**
 * Before the first version its migrations were many; what they made together is what `init` makes. A database of a preview is known by the first of them; by
 * the last one that all of them were applied.
 */
const PREVIEWS = [
  { first: '20261121000000_first_light', last: '20261128000000_reason_codes' },
  { first: '20261128120000_init', last: '20261128224500_messages_search' },
] as const;

const previewOf = (applied: readonly string[]) => PREVIEWS.find(({ first }) => applied.includes(first));

/** Postgres schemas that belong to leadmirror only. `bullmq` is made by the queue, when it lives in Postgres. */
const BUILT_IN_SCHEMAS = ['sync', 'tiledesk', 'tilkee', 'reporting'] as const;

export type Migration = { readonly name: string; readonly script: string };

interface MigrateOptions {
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

export async function migrationStatus(options: MigrateOptions) {
  const migrations = options.migrations ?? (await readMigrations());
  return withSession(options.url, async (client) => {
    const { applied } = await readState(client);
    return { applied, pending: migrations.map(({ name }) => name).filter((name) => !applied.includes(name)) };
  });
}

/**
 * Brings the database to this program's version; returns the names of the migrations applied now.
 *
 * @throws DatabaseError `database_foreign` when a schema of ours exists but is not ours, `database_newer` when a newer
 * leadmirror was here, `database_preview` when a preview made it, `database_unavailable` or `database_refused` when it
 * cannot be reached or the role may not create schemas
 */
export async function migrate(options: MigrateOptions): Promise<readonly string[]> {
  const migrations = options.migrations ?? (await readMigrations());
  return withSession(options.url, async (client) => {
    assertEncoding(client);
    const applied: string[] = [];
    for (const migration of await pendingOf(client, migrations)) {
      await underLock(client, LOCKS.migrate, async () => {
        // Another process may have been faster.
        const [next] = await pendingOf(client, migrations);
        if (next?.name !== migration.name) return;
        await apply(client, migration, migration.script);
        applied.push(migration.name);
      });
    }
    return applied;
  });
}

/**
 * Takes over the database of a preview, with its rows, as `init` would have made it. False when no preview made it.
 *
 * @throws DatabaseError `database_preview` when the preview was not the last one
 */
export async function adoptPreview({ url, migrations }: MigrateOptions): Promise<boolean> {
  const [init] = migrations ?? (await readMigrations());
  return withSession(url, (client) =>
    underLock(client, LOCKS.migrate, async () => {
      const { applied } = await readState(client);
      const preview = previewOf(applied);
      if (init === undefined || preview === undefined) return false;
      if (!applied.includes(preview.last)) {
        throw new DatabaseError(
          'database_preview',
          `an early preview of leadmirror made the database: it lacks ${preview.last}, and possibly more. Start the last preview with it once, or give this version an empty database, which it fills again`,
        );
      }
      const script = await readFile(join(await findPrismaDirectory(), 'from-preview.sql'), 'utf8');
      await apply(client, init, `delete from sync._prisma_migrations;\n${script}\n${init.script}`);
      return true;
    }),
  );
}

/** Enters the migration as Prisma's own command does. An entry without an end is of an attempt that changed nothing. */
async function apply(client: pg.Client, { name, script }: Migration, statements: string): Promise<void> {
  const checksum = createHash('sha256').update(script).digest('hex');
  await client.query(`
    set local statement_timeout = 0; set local lock_timeout = 0; create schema if not exists sync; set local search_path to sync;
    create table if not exists sync._prisma_migrations (
      id varchar(36) primary key not null, checksum varchar(64) not null, finished_at timestamptz,
      migration_name varchar(255) not null, logs text, rolled_back_at timestamptz,
      started_at timestamptz not null default now(), applied_steps_count integer not null default 0
    );
    delete from sync._prisma_migrations where finished_at is null and rolled_back_at is null;
${statements}
    ; do $views$ begin if to_regprocedure('sync.make_current_views()') is not null then perform sync.make_current_views(); end if; end $views$
    ; insert into sync._prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
      values ('${randomUUID()}', '${checksum}', ${pg.escapeLiteral(name)}, now(), 1)`);
}

/** What is still to be applied. @throws DatabaseError when the database is none of ours, or of another time */
async function pendingOf(client: pg.Client, migrations: readonly Migration[]): Promise<Migration[]> {
  const { applied, schemas } = await readState(client);
  const known = migrations.map(({ name }) => name);
  const unknown = applied.filter((name) => !known.includes(name));
  if (previewOf(applied) !== undefined) {
    throw new DatabaseError(
      'database_preview',
      'a preview of leadmirror made the database; this version takes it over, with everything in it, after: leadmirror migrate --from-preview',
    );
  }
  if (schemas.length > 0 && unknown.length === applied.length) {
    throw new DatabaseError(
      'database_foreign',
      `the database has a schema named ${schemas.join(', ')} that leadmirror did not make; give leadmirror a database of its own, or rename that schema`,
    );
  }
  if (unknown.length > 0) {
    throw new DatabaseError(
      'database_newer',
      `the database was migrated by a newer leadmirror (${unknown.join(', ')}); update this one`,
    );
  }
  return migrations.filter(({ name }) => !applied.includes(name));
}

/** The names of the applied migrations in their order, and the schemas of leadmirror that contain anything. */
async function readState(client: pg.Client) {
  const found = await client.query<{ schemas: string[]; has_migrations: boolean }>(
    `select to_regclass('sync._prisma_migrations') is not null as has_migrations, array(
       select n.nspname::text from pg_namespace n where n.nspname = any($1)
         and exists (select 1 from pg_class c where c.relnamespace = n.oid
           and c.relname not like '\\_prisma%')) as schemas`,
    [BUILT_IN_SCHEMAS],
  );
  const { schemas = [], has_migrations = false } = found.rows[0] ?? {};
  if (!has_migrations) return { applied: [], schemas };
  const entries = await client.query<{ name: string }>(
    'select migration_name as name from sync._prisma_migrations where finished_at is not null and rolled_back_at is null order by 1',
  );
  return { applied: entries.rows.map(({ name }) => name), schemas };
}
