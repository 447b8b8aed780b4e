import pg from 'pg';
import {
  createTilkeeSandbox,
  type TilkeeAddress,
  type TilkeeListable,
  type TilkeeSandbox,
  type TilkeeSandboxOptions,
} from '../../sandbox/tilkee.ts';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import type { Logger } from '../../src/logger.ts';
import type { Pass } from '../../src/stream.ts';
import type { RunResult } from '../../src/sync/run-pass.ts';
import type { Difference } from './compare.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';
import { declareSecrets } from './printed/record.ts';
import { unheardLogger } from './unheard-logger.ts';

/** In the order in which they are synced: the fallbacks of the later ones need the projects. */
export const TILKEE_STREAMS = ['projects', 'items', 'tokens', 'connexions', 'users'] as const;
export type TilkeeStream = (typeof TILKEE_STREAMS)[number];

/** A simulated Tilkee, a mirror database of its own, and an app between them. */
export interface TilkeeSetup {
  readonly sandbox: TilkeeSandbox;
  readonly address: TilkeeAddress;
  readonly database: TestDatabase;
  readonly app: App;
  /** One run of one stream (`tokens`), in this process. */
  run(stream: TilkeeStream, pass: Pass, options?: { signal?: AbortSignal; maxWaitMs?: number }): Promise<RunResult>;
  syncAll(pass: Pass): Promise<RunResult[]>;
  query<T extends object>(sql: string, values?: readonly unknown[]): Promise<T[]>;
  /** A second app on the same database and upstream, as another process would be. */
  createApp(env?: Readonly<Record<string, string>>): Promise<App>;
  close(): Promise<void>;
}

export interface TilkeeSetupOptions extends TilkeeSandboxOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly logger?: Logger;
}

export async function setupTilkee({ env = {}, logger = unheardLogger(), ...options }: TilkeeSetupOptions = {}) {
  const sandbox = createTilkeeSandbox({ projects: 40, items: 60, tokens: 150, visits: 300, users: 5, ...options });
  const address = await sandbox.listen();
  const database = await createTestDatabase();
  const never = new AbortController().signal;
  const create = (more: Readonly<Record<string, string>> = {}) => {
    const variables = { ...tilkeeVariables(sandbox, address, database.url), ...env, ...more };
    const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
    declareSecrets(given);
    return createApp(loadConfig({ env: given, cwd: '/', isTerminal: false }), { logger, signal: never });
  };
  const app = await create();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const setup: TilkeeSetup = {
    sandbox,
    address,
    database,
    app,
    createApp: create,
    run: (name, pass, { signal = never, maxWaitMs = 120_000 } = {}) => {
      const found = app.findStream('tilkee:default', `tilkee.${name}`);
      if (found === undefined) throw new Error(`no stream ${name}`);
      return app.runPass({ ...found, pass, signal, maxWaitMs, leaseWaitMs: 0 });
    },
    async syncAll(pass) {
      const results: RunResult[] = [];
      for (const name of TILKEE_STREAMS) results.push(await setup.run(name, pass));
      return results;
    },
    async query<T extends object>(sql: string, values: readonly unknown[] = []) {
      return (await client.query(sql, [...values])).rows as T[];
    },
    async close() {
      await app.close();
      await client.end();
      await database.drop();
      await sandbox.close();
    },
  };
  return setup;
}

/** What a user would write into `.env` for a sandbox. An empty text takes a variable out. */
export function tilkeeVariables(
  sandbox: TilkeeSandbox,
  { v3Url, v2Url, authUrl }: TilkeeAddress,
  databaseUrl: string,
): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    TILKEE_V3_URL: v3Url,
    TILKEE_V2_URL: v2Url,
    TILKEE_AUTH_URL: authUrl,
    TILKEE_USERNAME: sandbox.username,
    TILKEE_PASSWORD: sandbox.password,
    TILKEE_REQUESTS_PER_MINUTE: '100000',
  };
}

type Document = Record<string, unknown>;

/** How a table differs from what the account can list: alive rows, every leaf of `raw`, and the typed columns that say who belongs to whom. */
export async function compareTilkee(
  setup: TilkeeSetup,
  name: TilkeeStream,
  kind: keyof TilkeeListable = name === 'projects' || name === 'items' ? `${name}V3` : name,
): Promise<Difference> {
  const records = setup.sandbox.data.listable()[kind] as unknown as Document[];
  const expected = new Map(records.filter(({ id }) => id !== undefined).map((record) => [String(record.id), record]));
  // A user that the upstream itself calls deleted is listed all the same.
  const rows = await setup.query<Document>(
    `select * from tilkee.${name} where deleted_at is null or raw->>'deleted_at' is not null`,
  );
  const stored = new Map(rows.map((row) => [String(row.id), row]));
  return {
    missing: [...expected.keys()].filter((id) => !stored.has(id)),
    extra: [...stored.keys()].filter((id) => !expected.has(id)),
    different: [...expected].flatMap(([id, record]) => {
      const row = stored.get(id);
      return row === undefined
        ? []
        : [...differences(record, row.raw), ...typed(record, row)].map((d) => `${id}: ${d}`);
    }),
  };
}

const isPrivate = (value: unknown): boolean => JSON.stringify(value ?? null).includes('canary-');

/** Everything that is not private is there as it came, and nothing else. */
function differences(expected: unknown, stored: unknown, path = 'raw'): string[] {
  if (typeof expected !== 'object' || expected === null) return Object.is(expected, stored) ? [] : [path];
  if (typeof stored !== 'object' || stored === null) return isPrivate(expected) ? [] : [path];
  const inner = new Set([...Object.keys(expected), ...Object.keys(stored)]);
  return [...inner].flatMap((key) => {
    const [before, after] = [(expected as Document)[key], (stored as Document)[key]];
    // A private field that is empty, and the date of a password, go by their names.
    if (after === undefined && (isPrivate(before) || before === null || key === 'password_changed_at')) return [];
    return key in expected && key in stored ? differences(before, after, `${path}.${key}`) : [`${path}.${key}`];
  });
}

/** Typed columns worth a look of their own, computed anew from the record. */
function typed(record: Document, row: Document): string[] {
  const instant = (value: unknown) => (typeof value === 'string' ? new Date(value).getTime() : null);
  const stored = (value: unknown) => (value instanceof Date ? value.getTime() : (value ?? null));
  const text = (value: unknown) => (value === undefined || value === null ? null : String(value));
  const wanted: Document = {
    created_at: instant(record.created_at),
    name: text(record.name ?? ('title' in record && !('access_date' in record) ? record.title : null)),
    external_id: text(record.external_id),
    interest: text(record.interest ?? (record.data as Document | undefined)?.interest),
  };
  return Object.keys(wanted)
    .filter((column) => column in row && column !== 'title')
    .filter((column) => {
      const value = stored(row[column]);
      const found = column === 'created_at' ? value : text(value);
      return found !== wanted[column];
    });
}
