import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { createQueues } from '../../../workers/queues.ts';
import { type Answers, loadAnswers } from '../../config/answers.ts';
import { DatabaseError, LeadmirrorError } from '../../errors.ts';
import { startEmbeddedPostgres } from '../../store/embedded/embedded.ts';
import { removeBase } from '../../store/embedded/initialize.ts';
import { stateOf } from '../../store/faults.ts';
import { assertReachable, makeDatabase, withSession } from '../../store/session.ts';
import type { Asker } from './ask.ts';
import { readIfThere } from './dot-env.ts';
import { checkFor, messageOf, type TrialParts, tryUntilClear } from './trial.ts';

/** What docker-compose.yml asks for besides, which reads the same `.env`; leadmirror itself knows no such variable. */
const COMPOSE_SECRETS = ['POSTGRES_PASSWORD', 'REDIS_PASSWORD', 'GRAFANA_PASSWORD', 'GRAFANA_DB_PASSWORD'];

export async function askStorage(ask: Asker, parts: TrialParts) {
  const where = await ask.choose('Where should the mirror be?', [
    { value: 'built-in', label: 'In the built-in Postgres', hint: 'nothing to set up; one machine' },
    { value: 'own', label: 'In a Postgres of our own', hint: '13 or later' },
    { value: 'compose', label: 'In Docker', hint: 'docker compose brings Postgres and Redis' },
  ]);
  if (where === 'compose') {
    // What a running set-up was made with stays: Postgres takes its password at its first start only.
    const known = parseEnv(readIfThere(join(parts.cwd, '.env')) ?? '');
    const secret = (name: string) => known[name] || randomBytes(24).toString('hex');
    return {
      answers: { DATABASE_URL: null, REDIS_URL: null, OPS_TOKEN: secret('OPS_TOKEN') },
      forCompose: Object.fromEntries(COMPOSE_SECRETS.map((name) => [name, secret(name)])),
      isCompose: true,
    };
  }
  const form = 'postgres://user:password@host:5432/database';
  const asked = { name: 'DATABASE_URL', parts, form, doing: 'Connecting to the database …' } as const;
  const database =
    where === 'own' ? await askUrl(ask, asked, (url) => tryOrCreate(ask, url)) : await tryBuiltIn(ask, parts);
  const queue = await askQueue(ask, parts, database);
  return { answers: { DATABASE_URL: database, REDIS_URL: queue }, forCompose: {}, isCompose: false };
}

async function tryBuiltIn(ask: Asker, { logger, signal }: TrialParts): Promise<null> {
  ask.print('step', 'Starting the built-in Postgres, for a try …');
  const home = await mkdtemp(join(tmpdir(), 'leadmirror-init-'));
  try {
    // Root's server runs as another account, which has to enter it.
    await chmod(home, 0o755);
    const embedded = await startEmbeddedPostgres({ home, logger, signal });
    await embedded.close();
    ask.print('success', 'The built-in Postgres works here');
  } catch (error) {
    if (!(error instanceof LeadmirrorError)) throw error;
    ask.print('warn', `The built-in Postgres does not work here: ${messageOf(error)}`);
  } finally {
    await removeBase(home);
  }
  return null;
}

/** Asks for an address until it can be used, or is kept untried. */
async function askUrl(
  ask: Asker,
  { name, parts, form, doing }: { name: 'DATABASE_URL' | 'REDIS_URL'; parts: TrialParts; form: string; doing: string },
  work: (url: string) => Promise<string>,
): Promise<string> {
  for (;;) {
    const message = `${name}: ${form} (not shown)`;
    const url = (await ask.secret({ message, validate: checkFor(name, parts) })).trim();
    const tried = await tryUntilClear(ask, { doing, certain: [] }, async () => ask.print('success', await work(url)));
    if (tried !== 'address') return url;
  }
}

const NO_SUCH_DATABASE = '3D000';

/** A database that is missing is created, if a person agrees. */
async function tryOrCreate(ask: Asker, url: string): Promise<string> {
  try {
    return await tryDatabase(url);
  } catch (error) {
    if (stateOf(error) !== NO_SUCH_DATABASE) throw error;
    const address = new URL(url);
    const name = decodeURIComponent(address.pathname.slice(1));
    if (!(await ask.confirm(`There is no database "${name}" on that server. Create it?`))) throw error;
    address.pathname = '/postgres';
    await makeDatabase(address.href, name);
    return tryDatabase(url);
  }
}

/** Only looked at: the tables are made when leadmirror starts. */
async function tryDatabase(url: string): Promise<string> {
  await assertReachable(url);
  return withSession(url, async (client) => {
    const { rows } = await client.query<{ name: string; version: string; may_create: boolean }>(
      `select current_database() as name, current_setting('server_version') as version,
        has_database_privilege(current_database(), 'create') as may_create`,
    );
    const [found] = rows;
    if (found?.may_create !== true) {
      const remedy = 'as its owner: grant create on database <name> to <user>';
      throw new DatabaseError('database_refused', `this user may not create schemas in the database; ${remedy}`);
    }
    return `Database ${found.name} on Postgres ${found.version}`;
  });
}

async function askQueue(ask: Asker, parts: TrialParts, database: string | null): Promise<string | null> {
  const where = await ask.choose('Where should the queue be?', [
    { value: 'postgres', label: 'In the same Postgres', hint: 'nothing more to set up' },
    { value: 'redis', label: 'In Redis', hint: '6.2 or later; for several machines' },
  ]);
  if (where === 'postgres') return null;
  const form = 'redis://host:6379 or rediss://…';
  return askUrl(ask, { name: 'REDIS_URL', parts, form, doing: 'Connecting to Redis …' }, (url) =>
    tryQueue(parts, { REDIS_URL: url, ...(database !== null && { DATABASE_URL: database }) }),
  );
}

const REACH_MS = 5_000;

async function tryQueue(parts: TrialParts, answers: Answers): Promise<string> {
  const config = loadAnswers(answers, parts);
  const queues = await createQueues({ config, databaseUrl: '', logger: parts.logger, reachMs: REACH_MS });
  try {
    await queues.ping();
  } finally {
    await queues.close();
  }
  return 'Redis answers';
}
