import pg from 'pg';
import type { PrismaClient } from '../../src/generated/prisma/client.ts';
import { createDatabase } from '../../src/store/database.ts';
import { acquireLease, type CheckpointKey, type Lease } from '../../src/store/engine/leases.ts';
import { noCounts, type RunCounts, type RunEnd } from '../../src/store/engine/runs.ts';
import { encodePage, type PageToWrite, type PageWrite, writePage } from '../../src/store/mirror/pages.ts';
import type { Row, TableSpec } from '../../src/stream.ts';
import { createTestDatabase } from '../helpers/postgres.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';

/** A part of the real table's columns: enough to see what is written. */
export const LEADS: TableSpec = {
  schema: 'tiledesk',
  name: 'leads',
  columns: { fullname: 'text', tags: 'text[]', attributes: 'jsonb', status: 'integer', updated_at: 'timestamptz' },
};

export const CONNECTION = 'tiledesk:test';
export const DONE: RunEnd = { outcome: 'succeeded', error: null, watermark: null };

/** What differs from a plain page in the middle of a walk. */
export type SaveOptions = Partial<Omit<PageToWrite, 'page'>> & Partial<Pick<PageWrite, 'bad' | 'replaceWrittenBefore'>>;

export interface Store {
  readonly url: string;
  readonly prisma: PrismaClient;
  /** Beside the pool under test. */
  readonly sql: pg.Client;
  query<T>(text: string, values?: unknown[]): Promise<T[]>;
  lease(key?: Partial<CheckpointKey>): Promise<Lease>;
  /** One page of leads under the lease. */
  save(lease: Lease, rows: readonly Row[], options?: SaveOptions): Promise<RunCounts>;
  close(): Promise<void>;
}

/** A migrated database, the pool as the program opens it, and the shortest way to write a page. */
export async function setupStore(): Promise<Store> {
  const database = await createTestDatabase();
  const { prisma, close } = createDatabase({ url: database.url, logger: unheardLogger() });
  const sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
  return {
    url: database.url,
    prisma,
    sql,
    query: async <T>(text: string, values: unknown[] = []) => (await sql.query(text, values)).rows as T[],
    async lease(key = {}) {
      const lease = await acquireLease(prisma, {
        connectionId: CONNECTION,
        stream: 'tiledesk.leads',
        pass: 'incremental',
        ...key,
      });
      if (lease === null) throw new Error('the lease is busy');
      return lease;
    },
    async save(lease, rows, { bad = [], replaceWrittenBefore = null, ...save } = {}) {
      return writePage(prisma, {
        lease,
        startedAt: new Date(),
        checkpoint: { cursor: { at: rows.length }, watermark: null, walkedAt: null, completed: false },
        counts: noCounts(),
        end: null,
        ...save,
        page: encodePage({ table: LEADS, rows, bad, replaceWrittenBefore }),
      });
    },
    async close() {
      await close();
      await sql.end();
      await database.drop();
    },
  };
}

const FIRST_VERSION = Date.UTC(2026, 0, 1);

export const versionTime = (version: number): string => new Date(FIRST_VERSION + version * 1000).toISOString();

/** Version `n` of a lead; `null`: without a date. */
export function lead(id: string, version: number | null, fields: Partial<Row> = {}): Row {
  const updated_at = version === null ? null : versionTime(version);
  const fullname = `version ${version}`;
  return {
    id,
    updated_at,
    deleted_at: null,
    fullname,
    tags: null,
    attributes: null,
    status: 100,
    raw: { _id: id, fullname, ...fields },
    ...fields,
  };
}

/** As if the holder had said nothing for the length of its lease. */
export const expireLeases = (store: Store): Promise<unknown[]> =>
  store.query(
    `update sync.checkpoints set lease_until = clock_timestamp() - interval '1 ms' where lease_until is not null`,
  );
