import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, DriverAdapterError } from '@prisma/driver-adapter-utils';
import pg from 'pg';
import { DatabaseError } from '../errors.ts';
import { databaseError, placeOf, poolConfig } from './database.ts';
import { isDirect } from './pooler.ts';

/**
 * Migrations, applied in our own process: Prisma's command would download a schema engine from outside the npm registry. The same
 * engine, as WebAssembly, keeps the ordinary `_prisma_migrations` table, so Prisma's own tools agree with the result.
 *
 * Any number of processes may start at once: one works under an advisory lock, the others wait and find nothing to do. Each migration
 * and its entry in `_prisma_migrations` commit together, so one that was cut off has left nothing behind and is simply run again.
 */

/** Postgres schemas that belong to leadmirror alone. `bullmq` is made by the queue, when it lives in Postgres. */
const OWN_SCHEMAS = ['sync', 'tiledesk', 'tilkee', 'reporting'] as const;
/** Any fixed number; taken by nobody else as far as we know. */
const LOCK_KEY = 7_233_071_926n;

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
  return withClient(options.url, async (client) => {
    const applied = await appliedMigrations(client);
    return { applied, pending: migrations.map(({ name }) => name).filter((name) => !applied.includes(name)) };
  });
}

/**
 * Brings the database to this program's version; returns the names of the migrations applied now.
 *
 * @throws DatabaseError `database_foreign` when a schema of ours exists but is somebody else's, `database_newer` when a newer
 * leadmirror was here, `database_unavailable` or `database_refused` when it cannot be reached or the role may not create schemas
 */
export async function migrate(options: MigrateOptions): Promise<readonly string[]> {
  const migrations = options.migrations ?? (await readMigrations());
  return withClient(options.url, async (client) => {
    if ((await pendingOf(client, migrations)).length === 0) return [];
    await client.query('begin');
    try {
      // In a transaction of its own, so that it works behind PgBouncer and ends with the connection whatever happens.
      await client.query('select pg_advisory_xact_lock($1)', [LOCK_KEY.toString()]);
      const pending = await pendingOf(client, migrations);
      if (pending.length > 0) await applyMigrations(options.url, migrations);
      return pending;
    } finally {
      await client.query('rollback').catch(() => {});
    }
  });
}

async function pendingOf(client: pg.Client, migrations: readonly Migration[]): Promise<string[]> {
  await refuseForeignSchemas(client, migrations);
  const applied = await appliedMigrations(client);
  return migrations.map(({ name }) => name).filter((name) => !applied.includes(name));
}

async function applyMigrations(url: string, migrations: readonly Migration[]): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('create schema if not exists sync');
    // A migration that began and did not finish has changed nothing (see AtomicScripts): forget the attempt.
    if (await hasMigrationTable(client)) {
      await client.query('delete from sync._prisma_migrations where finished_at is null and rolled_back_at is null');
    }
  });
  let failure: unknown = null;
  const opening = createSchemaEngine(url, (error) => {
    failure = error;
  });
  const engine = await opening.catch(async (cause) => {
    await explainRefusal(url);
    throw cause;
  });
  try {
    await engine.applyMigrations({
      migrationsList: {
        baseDir: '/prisma/migrations',
        lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
        shadowDbInitScript: '',
        migrationDirectories: migrations.map(({ name, script }) => ({
          path: name,
          migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: script } },
        })),
      },
      filters: { externalTables: [], externalEnums: [] },
    });
  } catch (error) {
    // The engine's own error has lost the driver's code, which tells a full disk from a mistake.
    throw failure ?? error;
  } finally {
    engine.free();
  }
}

/** The engine needs a session of its own, with its settings, and its error has lost the code: the same is tried once more, to know what was refused. */
async function explainRefusal(url: string): Promise<void> {
  const client = new pg.Client({ ...poolConfig(url, 1), options: SESSION_OPTIONS });
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (cause) {
    const isPooler =
      (cause as Partial<pg.DatabaseError>).code === PROTOCOL_VIOLATION && !(await withClient(url, isDirect));
    if (!isPooler) throw databaseError(cause, placeOf(url));
    throw new DatabaseError(
      'database_refused',
      'DATABASE_URL leads through a pooler such as PgBouncer, and migrations need the server itself; once for each version, run leadmirror migrate with a DATABASE_URL that goes there directly',
      { cause },
    );
  } finally {
    await client.end().catch(() => {});
  }
}

const SESSION_OPTIONS = '-c search_path=sync';
/** What PgBouncer answers to start-up options (seen in 1.18). */
const PROTOCOL_VIOLATION = '08P01';

/**
 * The official schema engine on a connection whose first schema is `sync`, where it then keeps its table. `onFailure` gets the driver's own error of
 * each statement that fails.
 */
export async function createSchemaEngine(url: string, onFailure: (error: unknown) => void = () => {}) {
  const engineModule = await schemaEngineModule();
  const schemaFile = join(await findPrismaDirectory(), 'schema.prisma');
  // The engine never closes the pool that the adapter makes for it: unused for a moment, its connection has to end by itself.
  const settings = { ...poolConfig(url, 1), options: SESSION_OPTIONS, idleTimeoutMillis: 100 };
  const adapter = new AtomicScripts(settings, { schema: 'sync' }, onFailure);
  return engineModule.SchemaEngine.new(
    { datamodels: [[schemaFile, await readFile(schemaFile, 'utf8')]] },
    () => {},
    bindMigrationAwareSqlAdapterFactory(adapter),
  );
}

/**
 * The adapter's own way splits a script at every semicolon and sends the pieces one by one: a semicolon in a comment breaks it, and a cut
 * connection leaves half a migration. Sent whole, the script is one transaction, and its entry is closed inside that.
 */
class AtomicScripts extends PrismaPg {
  readonly #onFailure: (error: unknown) => void;

  constructor(
    settings: pg.PoolConfig,
    options: ConstructorParameters<typeof PrismaPg>[1],
    onFailure: (error: unknown) => void,
  ) {
    super(settings, options);
    this.#onFailure = onFailure;
  }

  override async connect() {
    const connection = await super.connect();
    const executeScript = async (script: string) => {
      const pool = connection.underlyingDriver();
      const { rows } = await pool.query("select to_regclass('sync._prisma_migrations') is not null as present");
      const close = rows[0]?.present
        ? 'update sync._prisma_migrations set finished_at = now(), applied_steps_count = 0 where finished_at is null and rolled_back_at is null'
        : '';
      await pool.query(`${script}\n;\n${close}`);
    };
    connection.executeScript = this.#told(executeScript);
    connection.queryRaw = this.#told(connection.queryRaw.bind(connection));
    connection.executeRaw = this.#told(connection.executeRaw.bind(connection));
    return connection;
  }

  /** The engine only understands the adapter's kind of error; at any other (a lost connection is one) it panics and never answers. */
  #told<Input, Output>(act: (input: Input) => Promise<Output>): (input: Input) => Promise<Output> {
    return async (input) => {
      try {
        return await act(input);
      } catch (error) {
        this.#onFailure(error);
        throw error instanceof DriverAdapterError ? error : new DriverAdapterError(toAdapterFault(error));
      }
    };
  }
}

function toAdapterFault(error: unknown): DriverAdapterError['cause'] {
  const { code, severity, detail, column, hint } = error as Partial<pg.DatabaseError>;
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'postgres', code: code ?? '08006', severity: severity ?? 'ERROR', message, detail, column, hint };
}

// Node has it, its type declarations of this version do not.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: Record<string, unknown> } }>;
};

let loadedEngine: ReturnType<typeof loadSchemaEngine> | null = null;

/** Once per process: the engine's glue is one for all, and a second instance would be read through the memory of the first. */
function schemaEngineModule() {
  loadedEngine ??= loadSchemaEngine().catch((error) => {
    loadedEngine = null;
    throw error;
  });
  return loadedEngine;
}

async function loadSchemaEngine() {
  const glue = await import('@prisma/schema-engine-wasm/schema_engine_bg');
  const wasmFile = fileURLToPath(import.meta.resolve('@prisma/schema-engine-wasm')).replace(
    /schema_engine\.js$/,
    'schema_engine_bg.wasm',
  );
  const imports = { ...glue, ...withoutHold(glue) };
  const { instance } = await WebAssembly.instantiate(await readFile(wasmFile), { './schema_engine_bg.js': imports });
  glue.__wbg_set_wasm(instance.exports);
  (instance.exports.__wbindgen_start as () => void)();
  return glue;
}

/** The engine forgets a timer of 10 s for its own lock: a command would end so much later than its work. */
function withoutHold(glue: object): Record<string, (...args: unknown[]) => unknown> {
  const starters = Object.entries(glue).filter(([name]) => name.startsWith('__wbg_setTimeout'));
  return Object.fromEntries(
    starters.map(([name, start]) => [
      name,
      (...args: unknown[]) => {
        const timer: NodeJS.Timeout = start(...args);
        return timer.unref();
      },
    ]),
  );
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

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(poolConfig(url, 1));
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } catch (cause) {
    throw databaseError(cause, new URL(url).host + new URL(url).pathname);
  } finally {
    await client.end().catch(() => {});
  }
}
