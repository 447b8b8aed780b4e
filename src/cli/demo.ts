import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { startDaemon } from '../../workers/main.ts';
import { type App, createApp } from '../app.ts';
import { type Config, loadConfig } from '../config.ts';
import type { PrismaClient } from '../generated/prisma/client.ts';
import { createTiledeskSandbox, type TiledeskSandbox } from '../sandbox/tiledesk.ts';
import { poolConfig } from '../store/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../store/embedded.ts';
import { type CommandContext, runCommand } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { formatSeconds, formatTable, print } from './format.ts';
import { createProgress } from './progress.ts';
import { selectStreams } from './selection.ts';
import { exitCodeOf, syncAll } from './sync.ts';
import { summaryLine } from './sync-report.ts';

/** Questions that show what the mirror is good for. */
const QUERIES: readonly { readonly title: string; readonly sql: string }[] = [
  {
    title: 'Conversations by status (1000 is closed, 200 assigned, 100 waiting)',
    sql: 'select status, count(*) as requests from tiledesk.requests group by status order by status',
  },
  {
    title: 'Departments: conversations and minutes to the first answer',
    sql: `select d.name as department, count(*) as requests,
  round(avg(extract(epoch from r.first_response_at - r.created_at) / 60)::numeric, 1) as minutes
from tiledesk.requests r join tiledesk.departments d on d.connection_id = r.connection_id and d.id = r.department_id
group by d.name order by requests desc`,
  },
  {
    title: 'New leads a month',
    sql: `select to_char(date_trunc('month', created_at), 'YYYY-MM') as month, count(*) as leads
from tiledesk.leads where deleted_at is null group by 1 order by 1`,
  },
];

export async function demo(options: { readonly once?: boolean }): Promise<void> {
  const tiledesk = createTiledeskSandbox({ seed: 1 });
  try {
    const { url } = await tiledesk.listen();
    const config = await demoConfig(tiledesk, url);
    await runCommand({ config, isDaemon: !options.once }, async (context) => {
      const database = await openFreshDatabase(context);
      if (database === null) return EXIT.failed;
      try {
        return options.once ? await runOnce(context, { tiledesk, url }) : await watch(context, { tiledesk, url });
      } finally {
        await database.close();
      }
    });
  } finally {
    await tiledesk.close();
  }
}

/** The demo keeps to itself: nothing of the caller's own settings is read, nothing of their data touched. */
async function demoConfig(tiledesk: TiledeskSandbox, url: string): Promise<Config> {
  const home = resolve(process.env.LEADMIRROR_HOME ?? '.leadmirror', 'demo');
  await mkdir(home, { recursive: true });
  return loadConfig({
    cwd: home,
    env: {
      LEADMIRROR_HOME: join(home),
      TILEDESK_BASE_URL: url,
      TILEDESK_PROJECT_ID: tiledesk.projectId,
      TILEDESK_EMAIL: tiledesk.email,
      TILEDESK_PASSWORD: tiledesk.password,
      TILEDESK_REQUESTS_PER_MINUTE: '6000',
      SYNC_INCREMENTAL_CRON: '*/5 * * * * *',
      OPS_PORT: '0',
      ...(process.env.NO_COLOR === undefined ? {} : { NO_COLOR: process.env.NO_COLOR }),
      ...(process.env.LOG_LEVEL === undefined ? {} : { LOG_LEVEL: process.env.LOG_LEVEL }),
    },
  });
}

/** The simulated account is made anew at every start, so its mirror is too. Null when another demo uses this folder. */
async function openFreshDatabase({ config, logger, signal }: CommandContext): Promise<EmbeddedPostgres | null> {
  const embedded = await startEmbeddedPostgres({ home: config.home, logger, signal });
  const client = new pg.Client(poolConfig(embedded.url, 1));
  try {
    await client.connect();
    const { rows } = await client.query<{ others: number }>(
      "select count(*)::int as others from pg_stat_activity where application_name = 'leadmirror' and pid <> pg_backend_pid()",
    );
    if ((rows[0]?.others ?? 0) > 0) {
      process.stderr.write('Another demo is running in this folder; stop it first, or start this one elsewhere.\n');
      await embedded.close();
      return null;
    }
    await client.query('set client_min_messages = warning');
    await client.query('drop schema if exists sync, tiledesk, bullmq cascade');
    return embedded;
  } finally {
    await client.end();
  }
}

interface Simulation {
  readonly tiledesk: TiledeskSandbox;
  readonly url: string;
}

async function runOnce(context: CommandContext, simulation: Simulation): Promise<ExitCode> {
  return withMirror(context, simulation, async (app) => {
    const lead = await renameSomeLead(simulation);
    const from = performance.now();
    print(`\nChanged upstream: lead ${lead.id} is now called "${lead.fullname}". Syncing again:`);
    const exitCode = await mirrorAll(app, context.signal);
    const sql = `select id, fullname, updated_at from tiledesk.leads where id = '${lead.id}'`;
    print(`\n${sql}\n${await query(app.database.prisma, sql)}`);
    print(`\nArrived ${formatSeconds(performance.now() - from)} later. Watch it live with: npm run demo`);
    return exitCode;
  });
}

async function watch(context: CommandContext, simulation: Simulation): Promise<ExitCode> {
  const { logger, signal } = context;
  return withMirror(context, simulation, async (app) => {
    print(invitation(simulation));
    simulation.tiledesk.startLive();
    const daemon = await startDaemon(app, { roles: ['scheduler', 'worker'], logger, signal });
    try {
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      await daemon.stop();
    }
    print('\nStopped. The next demo starts afresh.');
    return EXIT.done;
  });
}

/** The common beginning: everything mirrored once, and some questions answered from it. */
async function withMirror(
  { config, logger, signal }: CommandContext,
  simulation: Simulation,
  goOn: (app: App) => Promise<ExitCode>,
): Promise<ExitCode> {
  const app = await createApp(config, { logger, signal });
  try {
    print(introduction(app, simulation));
    const first = await mirrorAll(app, signal);
    if (first !== EXIT.done) return first;
    await showQueries(app.database.prisma);
    return await goOn(app);
  } finally {
    await app.close();
  }
}

async function mirrorAll(app: App, signal: AbortSignal): Promise<ExitCode> {
  const progress = createProgress({ isQuiet: false });
  const reports = await syncAll(app, selectStreams(app.connections, [], undefined), {
    pass: undefined,
    signal,
    progress,
  });
  progress.stop();
  for (const report of reports) print(summaryLine(report));
  return exitCodeOf(reports, signal);
}

async function showQueries(prisma: PrismaClient): Promise<void> {
  for (const { title, sql } of QUERIES) print(`\n${title}\n${sql}\n\n${await query(prisma, sql)}`);
}

async function query(prisma: PrismaClient, sql: string): Promise<string> {
  const rows = await prisma.$queryRawUnsafe<Record<string, unknown>[]>(sql);
  const [first] = rows;
  if (first === undefined) return '(no rows)';
  const cell = (value: unknown) => (value instanceof Date ? value.toISOString() : value === null ? '' : String(value));
  return formatTable(
    Object.keys(first),
    rows.map((row) => Object.values(row).map(cell)),
  );
}

function introduction({ database }: App, { tiledesk, url }: Simulation): string {
  return `A simulated Tiledesk is at ${url} (project ${tiledesk.projectId}, invented data).
Its mirror is a real Postgres. Ask it your questions with:
  ${database.embedded?.psql ?? ''}
`;
}

function invitation({ tiledesk, url }: Simulation): string {
  const [lead] = [...tiledesk.data.leads.values()].filter(({ status }) => status === 100);
  return `
From now on things change upstream by themselves, and the mirror follows every five seconds. Change something yourself:
  curl -u ${tiledesk.email}:${tiledesk.password} -X PUT -H 'content-type: application/json' \\
    -d '{"fullname":"Changed by me"}' ${url}/${tiledesk.projectId}/leads/${lead?._id}
and look for it: select fullname, updated_at, synced_at from tiledesk.leads where id = '${lead?._id}';
Ctrl-C stops everything.
`;
}

/** As a person would: through the upstream's own interface. */
async function renameSomeLead({ tiledesk, url }: Simulation): Promise<{ id: string; fullname: string }> {
  const [lead] = [...tiledesk.data.leads.values()].filter(({ status }) => status === 100);
  const id = String(lead?._id);
  const fullname = 'Renamed In The Demo';
  const pair = Buffer.from(`${tiledesk.email}:${tiledesk.password}`).toString('base64');
  const response = await fetch(`${url}/${tiledesk.projectId}/leads/${id}`, {
    method: 'PUT',
    headers: { authorization: `Basic ${pair}`, 'content-type': 'application/json' },
    body: JSON.stringify({ fullname }),
  });
  if (!response.ok) throw new Error(`the simulated Tiledesk answered ${response.status}`);
  await response.text();
  return { id, fullname };
}
