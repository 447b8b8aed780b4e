import { createTiledeskSandbox, type TiledeskSandbox, type TiledeskSandboxOptions } from '../../sandbox/tiledesk.ts';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import type { Pass } from '../../src/stream.ts';
import type { RunResult } from '../../src/sync/run-pass.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';
import { declareSecrets } from './printed/record.ts';
import { unheardLogger } from './unheard-logger.ts';

/** A sandbox, a mirror database of its own, and an app between them. */
export interface MirrorSetup {
  readonly sandbox: TiledeskSandbox;
  readonly database: TestDatabase;
  readonly app: App;
  readonly url: string;
  /** One run of one stream (`leads`), in this process. */
  run(
    stream: string,
    pass: Pass,
    options?: { signal?: AbortSignal; maxWaitMs?: number; isScheduled?: boolean },
  ): Promise<RunResult>;
  /** Every stream: a first full read where there was none, else what changed. */
  syncAll(pass?: Pass): Promise<RunResult[]>;
  close(): Promise<void>;
}

export const STREAMS = ['leads', 'requests', 'departments', 'project_users'] as const;

export async function setupMirror(
  options: TiledeskSandboxOptions = {},
  env: Readonly<Record<string, string>> = {},
): Promise<MirrorSetup> {
  const sandbox = createTiledeskSandbox({ leads: 300, requests: 500, ...options });
  const { url } = await sandbox.listen();
  const database = await createTestDatabase();
  const given = { ...variables(sandbox, url, database.url), ...env };
  declareSecrets(given);
  const config = loadConfig({ env: given, cwd: '/', isTerminal: false });
  const never = new AbortController();
  const app = await createApp(config, { logger: unheardLogger(), signal: never.signal });
  const connectionId = app.connections[0]?.id ?? '';
  const run: MirrorSetup['run'] = (
    name,
    pass,
    { signal = never.signal, maxWaitMs = 120_000, isScheduled = false } = {},
  ) => {
    const found = app.findStream(connectionId, `tiledesk.${name}`);
    if (found === undefined) throw new Error(`no stream ${name}`);
    return app.runPass({ ...found, pass, signal, maxWaitMs, isScheduled, leaseWaitMs: 0 });
  };
  let isFirst = true;
  return {
    sandbox,
    database,
    app,
    url,
    run,
    async syncAll(pass = isFirst ? 'backfill' : 'incremental') {
      isFirst = false;
      const results: RunResult[] = [];
      for (const stream of STREAMS) results.push(await run(stream, pass));
      return results;
    },
    async close() {
      await app.close();
      await database.drop();
      await sandbox.close();
    },
  };
}

/** What a user would write into `.env` for a sandbox. */
export function variables(sandbox: TiledeskSandbox, url: string, databaseUrl: string): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    TILEDESK_BASE_URL: url,
    TILEDESK_PROJECT_ID: sandbox.projectId,
    TILEDESK_EMAIL: sandbox.email,
    TILEDESK_PASSWORD: sandbox.password,
    TILEDESK_REQUESTS_PER_MINUTE: '100000',
    // Pages keep their size, so that a test knows how many there are; test/sync/wide-pages.long.test.ts lets them grow.
    TILEDESK_MAX_PAGE_SIZE: '10',
  };
}
