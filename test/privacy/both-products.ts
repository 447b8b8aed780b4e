import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTiledeskSandbox, type TiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { createTilkeeSandbox, type TilkeeSandbox } from '../../sandbox/tilkee.ts';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { variables } from '../helpers/mirror.ts';
import { createTestDatabase, type TestDatabase } from '../helpers/postgres.ts';
import { declareSecrets } from '../helpers/printed/record.ts';
import { tilkeeVariables } from '../helpers/tilkee-mirror.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { query, SECRET } from './support.ts';

export interface BothProducts {
  readonly app: App;
  readonly tiledesk: TiledeskSandbox;
  readonly tilkee: TilkeeSandbox;
  readonly database: TestDatabase;
  /** What a user would write into `.env`. */
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** A first full read of everything. */
  syncAll(): Promise<void>;
  close(): Promise<void>;
}

/** Random accounts of both products, whose links are of leads of the other one. */
export async function setupBoth({
  seed,
  leads = 30,
  links = 20,
  visits = 30,
  env: more = {},
}: {
  readonly seed: number;
  readonly leads?: number;
  readonly links?: number;
  readonly visits?: number;
  readonly env?: Readonly<Record<string, string>>;
}): Promise<BothProducts> {
  const now = Date.now() - 3_600_000;
  const tiledesk = createTiledeskSandbox({ seed, leads, requests: Math.ceil(leads * 1.3), now });
  const people = [...tiledesk.data.leads.values()].map((lead) => ({ ...lead, id: lead._id }));
  const size = { projects: 5, items: 5, tokens: links, visits, users: 3 };
  const tilkee = createTilkeeSandbox({ seed, ...size, leads: people });
  const [{ url }, address] = [await tiledesk.listen(), await tilkee.listen()];
  const database = await createTestDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'privacy-'));
  const env = {
    ...tilkeeVariables(tilkee, address, database.url),
    ...variables(tiledesk, url, database.url),
    TILEDESK_STREAMS: 'leads,requests,messages,departments,project_users',
    TILEDESK_PAGE_SIZE: '10',
    TILKEE_PAGE_SIZE: '10',
    LEADMIRROR_SECRET_KEY: SECRET,
    PRIVACY_JOURNAL: join(folder, 'journal'),
    ...more,
  };
  declareSecrets(env);
  const signal = new AbortController().signal;
  const app = await createApp(loadConfig({ env, cwd: '/', isTerminal: false }), { logger: unheardLogger(), signal });
  return {
    ...{ app, tiledesk, tilkee, database, env, folder },
    async syncAll() {
      for (const connection of app.connections) {
        for (const stream of connection.streams) {
          const waits = { maxWaitMs: 60_000, leaseWaitMs: 0 };
          const { outcome } = await app.runPass({ connection, stream, pass: 'backfill', signal, ...waits });
          if (outcome !== 'succeeded') throw new Error(`${stream.name}: ${outcome}`);
        }
      }
    },
    async close() {
      await app.close();
      await database.drop();
      await tiledesk.close();
      await tilkee.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Puts a text about each of these leads into quarantine. */
export async function quarantine(url: string, leads: readonly string[]): Promise<void> {
  const records = leads.map((id) => ({ id, text: JSON.stringify({ _id: id }) }));
  await query(
    url,
    `insert into sync.quarantine (connection_id, stream, record_id, reason, raw_text, run_id)
      select (select connection_id from tiledesk.leads limit 1), 'tiledesk.leads', id, 'unmappable', text, 1
      from jsonb_to_recordset($1::jsonb) as r(id text, text text)`,
    [JSON.stringify(records)],
  );
}
