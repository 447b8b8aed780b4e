import { resolve } from 'node:path';
import { runDaemon } from '../../workers/run-daemon.ts';
import type { JobReport } from '../../workers/sync-stream.ts';
import { type App, createApp } from '../app.ts';
import { type Config, loadConfig } from '../config.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../store/embedded/embedded.ts';
import { stateOf } from '../store/faults.ts';
import { withSession } from '../store/session.ts';
import { type CommandContext, type CommandProcess, runCommand, sourcesOf } from './command.ts';
import { query, showQueries } from './demo-queries.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { formatSeconds } from './format.ts';
import { createProgress } from './progress.ts';
import { startUpstreams, type Upstreams } from './sandbox.ts';
import { selectStreams } from './selection.ts';
import { exitCodeOf, refreshAfter, summaryLine, syncAll } from './sync.ts';

export async function demo(options: { readonly once?: boolean }, proc: CommandProcess): Promise<void> {
  const upstreams = await startUpstreams();
  try {
    const config = await demoConfig(upstreams, proc);
    await runCommand({ proc, config, isDaemon: !options.once }, async (context) => {
      const database = await openFreshDatabase(context);
      if (database === null) return EXIT.failed;
      try {
        return options.once ? await runOnce(context, upstreams) : await watch(context, upstreams);
      } finally {
        await database.close();
      }
    });
  } finally {
    await upstreams.close();
  }
}

/** The demo keeps to itself: nothing of the caller's own settings is read, nothing of their data touched. */
async function demoConfig({ variables }: Upstreams, proc: CommandProcess): Promise<Config> {
  const { NO_COLOR, LOG_LEVEL = 'warn', LEADMIRROR_HOME = '.leadmirror' } = proc.env;
  const home = resolve(proc.cwd(), LEADMIRROR_HOME, 'demo');
  return loadConfig({
    ...sourcesOf(proc),
    cwd: home,
    env: {
      LEADMIRROR_HOME: home,
      ...variables,
      TILEDESK_REQUESTS_PER_MINUTE: '6000',
      SYNC_INCREMENTAL_CRON: '*/5 * * * * *',
      // Full syncs find what lists do not show, such as an edited link: often here, so that it can be watched.
      SYNC_RECONCILE_CRON: '30 * * * * *',
      OPS_PORT: '0',
      ...(NO_COLOR !== undefined && { NO_COLOR }),
      // Runs have lines of their own here.
      LOG_LEVEL,
    },
  });
}

/** The simulated account is made anew at every start, so its mirror is too. Null when another demo uses this folder. */
async function openFreshDatabase({ config, logger, signal, proc }: CommandContext): Promise<EmbeddedPostgres | null> {
  const embedded = await startEmbeddedPostgres({ home: config.home, logger, signal });
  try {
    await withSession(embedded.url, (client) => client.query(DROP_ALL));
    return embedded;
  } catch (error) {
    await embedded.close();
    if (stateOf(error) !== IN_USE) throw error;
    proc.stderr.write('Another demo is running in this folder; stop it first, or start this one elsewhere.\n');
    return null;
  }
}

const IN_USE = '55006';
const DROP_ALL = `set client_min_messages = warning;
  do $$ begin
    if exists (select from pg_stat_activity where application_name = 'leadmirror' and pid <> pg_backend_pid()) then raise object_in_use; end if;
  end $$;
  drop schema if exists reporting, sync, tiledesk, tilkee, bullmq cascade`;

async function runOnce(context: CommandContext, upstreams: Upstreams): Promise<ExitCode> {
  const { print } = context;
  return withMirror(context, upstreams, async (app) => {
    const { data } = upstreams.tiledesk;
    const lead = data.editLead(someLead(upstreams.tiledesk), { fullname: 'Renamed In The Demo' });
    const visit = openSomeLink(upstreams);
    const from = performance.now();
    print(`\nChanged upstream: lead ${lead._id} is now called "${lead.fullname}", and a visitor opened ${visit.link}.`);
    print('Syncing again:');
    const exitCode = await mirrorAll(app, context);
    const questions = [
      `select id, fullname, updated_at from tiledesk.leads where id = '${lead._id}'`,
      `select id, title as link, access_date from tilkee.connexions where id = '${visit.id}'`,
    ];
    for (const sql of questions) print(`\n${sql}\n${await query(app.database.prisma, sql)}`);
    print(`\nArrived ${formatSeconds(performance.now() - from)} later. Watch it live with: npm run demo`);
    return exitCode;
  });
}

async function watch(context: CommandContext, upstreams: Upstreams): Promise<ExitCode> {
  const { print } = context;
  return withMirror(context, upstreams, async (app) => {
    let pageUrl = '';
    await runDaemon(app, {
      signal: context.signal,
      onJob: createRunLines(print, () => pageUrl),
      onRunning(url) {
        pageUrl = url ?? '';
        print(invitation(upstreams, pageUrl));
        upstreams.startLive();
      },
    });
    print('\nStopped. The next demo starts afresh.');
    return EXIT.done;
  });
}

/** So many lines of runs, and the addresses are repeated: the terminal has scrolled them away by then. */
const LINES_PER_FOOT = 12;

/** One line for each run that changed something or did not succeed. */
function createRunLines(print: CommandContext['print'], pageUrl: () => string) {
  let lines = 0;
  return ({ connection, stream, pass, result }: JobReport): void => {
    if (result === null) return;
    const { created, updated, deleted, outcome, error } = result;
    if (outcome === 'succeeded' && created + updated + deleted === 0) return;
    if (outcome === 'postponed' || outcome === 'cancelled') return;
    const time = new Date().toISOString().slice(11, 19);
    const counts = `${created} created, ${updated} updated, ${deleted} deleted`;
    print(`${time}  ${stream} ${pass} (${connection}): ${outcome}, ${error?.message ?? counts}`);
    lines += 1;
    if (lines % LINES_PER_FOOT === 0) print(`          Status page: ${pageUrl()}   Ctrl-C stops everything.`);
  };
}

/** The common beginning: everything mirrored once, and some questions answered from it. */
async function withMirror(
  context: CommandContext,
  upstreams: Upstreams,
  goOn: (app: App) => Promise<ExitCode>,
): Promise<ExitCode> {
  const app = await createApp(context.config, context);
  try {
    context.print(introduction(app, upstreams));
    const first = await mirrorAll(app, context);
    if (first !== EXIT.done) return first;
    await showQueries(app.database.prisma, context.print);
    return await goOn(app);
  } finally {
    await app.close();
  }
}

async function mirrorAll(app: App, { proc, signal, print }: CommandContext): Promise<ExitCode> {
  const progress = await createProgress({ isQuiet: false }, proc.stderr);
  const reports = await syncAll(app, selectStreams(app.connections, [], undefined), { signal, progress });
  await refreshAfter(app, signal);
  progress.stop();
  for (const report of reports) print(summaryLine(report));
  return exitCodeOf(reports, signal);
}

function introduction({ database }: App, { tiledesk, tiledeskUrl, tilkeeAddress }: Upstreams): string {
  return `A simulated Tiledesk is at ${tiledeskUrl} (project ${tiledesk.projectId}),
a simulated Tilkee at ${tilkeeAddress.v3Url} and ${tilkeeAddress.v2Url}; all data is invented.
The mirror of both is a real Postgres. Ask it your questions with:
  ${database.embedded?.psql ?? ''}
`;
}

function invitation({ tiledesk, tiledeskUrl }: Upstreams, pageUrl: string): string {
  const lead = someLead(tiledesk);
  return `
Watch it on the status page: ${pageUrl}

From now on things change upstream by themselves, and the mirror follows every five seconds. Change something yourself:
  curl -u ${tiledesk.email}:${tiledesk.password} -X PUT -H 'content-type: application/json' \\
    -d '{"fullname":"Changed by me"}' ${tiledeskUrl}/${tiledesk.projectId}/leads/${lead}
and look for it: select fullname, updated_at, synced_at from tiledesk.leads where id = '${lead}';
The latest visits to Tilkee links: select title, access_date, total_time from tilkee.connexions order by access_date desc limit 5;
Tilkee does not report which links and projects were edited: the full sync finds them, here once a minute.
Ctrl-C stops everything.
`;
}

function someLead({ data }: Upstreams['tiledesk']): string {
  return String([...data.leads.values()].find(({ status }) => status === 100)?._id);
}

/** Visits are made in a browser, not through the interface that leadmirror reads. */
function openSomeLink({ tilkee }: Upstreams): { id: number; link: string } {
  const link = tilkee.data.all('token').findLast(({ archived_at }) => archived_at === null);
  const { id } = tilkee.data.add('connexion', link === undefined ? {} : { token_id: link.id });
  return { id, link: link === undefined ? 'a new link' : `the link for "${link.name}"` };
}
