import pg from 'pg';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createTilkeeSandbox, type TilkeeSandbox } from '../../sandbox/tilkee.ts';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/logger.ts';
import type { Pass } from '../../src/stream.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase } from '../helpers/postgres.ts';
import { tilkeeVariables } from '../helpers/tilkee-mirror.ts';

export type JsonRow = Record<string, unknown>;

/** Both sandboxes, one mirror of both, and a client that asks it as an analyst would. */
export interface ReportingSetup {
  readonly tiledesk: TiledeskSandbox;
  readonly tilkee: TilkeeSandbox;
  readonly app: App;
  readonly url: string;
  readonly client: pg.Client;
  /** Every stream of both. */
  sync(pass: Pass): Promise<void>;
  refresh(isFull?: boolean): Promise<string>;
  rows(sql: string): Promise<JsonRow[]>;
  close(): Promise<void>;
}

/** Half a year that ends after both changes of the clock in Europe and one in America. */
const NOW = Date.parse('2026-04-20T10:00:00Z');

export interface ReportingSizes {
  readonly leads?: number;
  readonly requests?: number;
  readonly tilkee?: Readonly<Record<'projects' | 'items' | 'tokens' | 'visits' | 'users', number>>;
}

export async function setupReporting({
  tilkee: tilkeeSizes = TILKEE_SIZES,
  ...sizes
}: ReportingSizes = {}): Promise<ReportingSetup> {
  const tiledesk = createTiledeskSandbox({ leads: 300, requests: 900, now: NOW, months: 7, ...sizes });
  const leads = [...tiledesk.data.leads.values()].map(({ _id, lead_id, fullname, email }) => ({
    id: _id,
    ...(lead_id && { lead_id }),
    ...(fullname && { fullname }),
    ...(email && { email }),
  }));
  const tilkee = createTilkeeSandbox({ ...tilkeeSizes, now: NOW, months: 7, leads });
  const { url } = await tiledesk.listen();
  const address = await tilkee.listen();
  const database = await createTestDatabase();
  const env = {
    ...variables(tiledesk, url, database.url),
    ...tilkeeVariables(tilkee, address, database.url),
    TILKEE_VISITS_BY: 'token',
  };
  const signal = new AbortController().signal;
  const app = await createApp(loadConfig({ env, cwd: '/', isTerminal: false }), { logger: silentLogger(), signal });
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query("set time zone 'UTC'");
  const rows: ReportingSetup['rows'] = async (sql) =>
    (await client.query<{ row: JsonRow }>(`select to_jsonb(q) - 'row_id' as row from (${sql}) q`)).rows.map(
      ({ row }) => row,
    );
  return {
    ...{ tiledesk, tilkee, app, client, rows },
    url: database.url,
    async sync(pass) {
      for (const connection of app.connections) {
        for (const stream of connection.streams) {
          const job = { connection, stream, pass, signal, maxWaitMs: 120_000, leaseWaitMs: 0 };
          const { outcome, error } = await app.runPass(job);
          if (outcome !== 'succeeded') throw new Error(`${stream.name} ${pass}: ${outcome} ${error?.message}`);
        }
      }
    },
    async refresh(isFull = false) {
      const { rows: answer } = await client.query('select reporting.refresh(0, $1) as outcome', [isFull]);
      return answer[0].outcome;
    },
    async close() {
      await app.close();
      await client.end();
      await database.drop();
      await tiledesk.close();
      await tilkee.close();
    },
  };
}

const TILKEE_SIZES = { projects: 30, items: 30, tokens: 200, visits: 400, users: 4 };
