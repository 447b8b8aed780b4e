import { createQueues } from '../../workers/queues.ts';
import { assertKey, connect, createHttpClient, type MirrorDatabase, openMirrorDatabase, vaultsIn } from '../app.ts';
import { systemClock } from '../clock.ts';
import { type ConnectionConfig, describeConfig, type TilkeeConnectionConfig } from '../config.ts';
import { DatabaseError, errorCode, isAbort, LeadmirrorError, RateLimitedError } from '../errors.ts';
import { createLocalBudget } from '../http/budget.ts';
import { vaultName } from '../sources/tilkee/index.ts';
import { connectionsOf, lackOfRoom, leastOf } from '../store/connection-room.ts';
import { readServerPause } from '../store/engine/control.ts';
import { databaseError } from '../store/faults.ts';
import { followMirrored, readMirroredIds } from '../store/mirror/mirrored.ts';
import type { Capabilities, Connection, FetchOptions, Stream } from '../stream.ts';
import { type CommandContext, runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { print, printJson } from './format.ts';

interface CheckResult {
  /** `database`, `queue`, `tiledesk:<project>`, `tiledesk:<project> tiledesk.leads`. */
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export async function check(options: { readonly json?: boolean }): Promise<void> {
  await runCommand({ json: options.json }, async (context) => {
    const results: CheckResult[] = [];
    const report = (result: CheckResult) => {
      results.push(result);
      if (!options.json)
        print(`${result.ok ? 'ok    ' : 'FAILED'}  ${result.name}: ${result.error?.message ?? result.detail}`);
    };
    const settings = describeConfig(context.config);
    const { notes, openFiles } = context.config;
    if (!options.json) {
      for (const { name, value } of settings) print(`        ${name}: ${value}`);
      for (const note of openFiles) print(`Note    ${note}`);
    }

    const database = await checkDatabase(context, report);
    try {
      if (database !== null) {
        await checkRoom(database, report);
        await checkSecretKey(context, database, report);
        await checkQueue(context, database, report);
      }
      await checkConnections(context, database, report);
    } finally {
      await database?.close();
    }
    const ok = results.every((result) => result.ok);
    if (options.json) printJson({ ok, settings, notes: [...notes, ...openFiles], checks: results });
    return ok ? EXIT.done : EXIT.failed;
  });
}

type Report = (result: CheckResult) => void;

/** One check; what it throws becomes its result, so that the others still run. */
async function attempt<T>(
  name: string,
  report: Report,
  work: () => Promise<{ value: T; detail: string }>,
): Promise<T | null> {
  try {
    const { value, detail } = await work();
    report({ name, ok: true, detail, error: null });
    return value;
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown;
    const error = databaseError(thrown, 'of DATABASE_URL');
    const message = error instanceof Error ? error.message : String(error);
    const isOurs = error instanceof LeadmirrorError;
    report({
      name,
      ok: false,
      detail: '',
      error: { code: errorCode(error), message: isOurs ? message : `unexpected: ${message}` },
    });
    return null;
  }
}

async function checkDatabase(
  { config, logger, signal }: CommandContext,
  report: Report,
): Promise<MirrorDatabase | null> {
  return attempt('database', report, async () => {
    const value = await openMirrorDatabase(config, { logger, signal });
    return {
      value,
      detail: `${value.place}, migrated${describeRoom(value.connections)}${value.embedded === null ? '' : `; open it with: ${value.embedded.psql}`}`,
    };
  });
}

/** Empty where the limits cannot be known. */
function describeRoom({ room, wanted, shares }: MirrorDatabase['connections']): string {
  if (room === null) return '';
  const { limitOf, limit, used } = room;
  const needs = `a daemon takes up to ${connectionsOf(shares)}, and needs ${connectionsOf(leastOf(wanted))}`;
  return `; ${limit - used} of ${limit} connections that the ${limitOf} allows are free, ${needs}`;
}

async function checkRoom({ connections: { room, wanted } }: MirrorDatabase, report: Report): Promise<void> {
  const lack = lackOfRoom(room, wanted);
  if (lack === null) return;
  await attempt('database connections', report, () => Promise.reject(new DatabaseError('database_refused', lack)));
}

async function checkSecretKey(context: CommandContext, database: MirrorDatabase, report: Report): Promise<void> {
  const { config, logger } = context;
  if (config.secretKey === null) return assertKey(config, database, logger);
  await attempt('secret key', report, async () => {
    await assertKey(config, database, logger);
    return { value: null, detail: 'it is the one that the stored sign-ins are encrypted with' };
  });
}

async function checkQueue({ config, logger }: CommandContext, database: MirrorDatabase, report: Report): Promise<void> {
  await attempt('queue', report, async () => {
    const queues = await createQueues({
      config,
      databaseUrl: database.url,
      logger,
      maxConnections: database.connections.shares.queue,
    });
    try {
      await queues.ping();
    } finally {
      await queues.close();
    }
    return { value: null, detail: config.redis === null ? 'in Postgres, schema bullmq' : 'in Redis' };
  });
}

function waitingError(
  { id, streams }: Connection,
  pause: { until: Date; reason: string },
  nowMs: number,
): RateLimitedError {
  const message = `the server asked to wait until ${pause.until.toISOString()} (${pause.reason}), so nothing was sent; to try at once: leadmirror resume ${streams[0]?.name} --connection ${id}`;
  return new RateLimitedError(message, { waitMs: pause.until.getTime() - nowMs });
}

/** Its password can be tried beside a kept session, without using up a refresh token. */
function hasOnlyPassword(settings: ConnectionConfig): settings is TilkeeConnectionConfig {
  if (settings.source !== 'tilkee' || settings.auth.kind === 'key') return false;
  return settings.auth.password !== null && settings.auth.refreshToken === null;
}

async function checkConnections(
  { config, logger, signal }: CommandContext,
  database: MirrorDatabase | null,
  report: Report,
): Promise<void> {
  const client = createHttpClient(config, systemClock);
  try {
    // A budget of its own: the check has to work without the database, and takes a handful of requests.
    const budgetOf = (_credential: string, perMinute: number) =>
      createLocalBudget(perMinute, systemClock, { requestTimeoutMs: config.http.timeoutMs });
    // The password itself is on trial, not a session that was got with it once. A refresh token of Tilkee's works once: that one comes from the vault.
    const [kept, fresh] = [vaultsIn(config, database), vaultsIn(config, null)];
    const tried = new Set(config.connections.flatMap((one) => (hasOnlyPassword(one) ? vaultName(one) : [])));
    const vaults = {
      tiledesk: fresh.tiledesk,
      tilkee: (name: string) => (tried.has(name) ? fresh : kept).tilkee(name),
    };
    const connections = connect(config, { logger, clock: systemClock, client, budgetOf, vaults });
    const fetch = { signal, maxWaitMs: config.http.retryMaxMs, onRequest: () => {} };
    for (const connection of connections) {
      const isOpen = await attempt(connection.id, report, async () => {
        const pause = database === null ? null : await readServerPause(database.prisma, connection.credential);
        if (pause !== null) throw waitingError(connection, pause, systemClock.now());
        const { summary } = await connection.open(fetch);
        return { value: true, detail: summary };
      });
      for (const { name, knock } of connection.doors ?? []) {
        await attempt(`${connection.id} ${name}`, report, async () => ({ value: null, detail: await knock(fetch) }));
      }
      if (isOpen) {
        for (const stream of connection.streams) await checkStream({ connection, stream, database }, fetch, report);
      }
    }
  } finally {
    await client.close();
  }
}

interface StreamToCheck {
  readonly connection: Connection;
  readonly stream: Stream;
  readonly database: MirrorDatabase | null;
}

/** A stream that is read parent by parent may have thousands of lists: a few of them show enough. */
const LISTS_TO_TRY = 3;

/** Probes what the server can do, and reads one page of each list. */
async function checkStream(
  { connection, stream, database }: StreamToCheck,
  fetch: FetchOptions,
  report: Report,
): Promise<void> {
  await attempt(`${connection.id} ${stream.name}`, report, async () => {
    try {
      return { value: null, detail: await tryLists({ connection, stream, database }, fetch) };
    } catch (error) {
      // Its turn comes when another stream was read; until then nobody can say more.
      if (error instanceof RateLimitedError && error.code === 'parent_first')
        return { value: null, detail: error.message };
      throw error;
    }
  });
}

async function tryLists({ connection, stream, database }: StreamToCheck, fetch: FetchOptions): Promise<string> {
  let learnt: Capabilities = {};
  let notice: string | null = null;
  const lists = await stream.planLists({
    pass: 'incremental',
    capabilities: {},
    learn: async (facts) => {
      learnt = { ...learnt, ...facts };
    },
    stopBefore: () => null,
    watermark: () => null,
    mirroredIds: async (of, limit) =>
      database === null
        ? null
        : readMirroredIds(database.prisma, { connectionId: connection.id, stream: of }, limit ?? LISTS_TO_TRY),
    follow: async (of) =>
      database === null ? null : followMirrored(database.prisma, { connectionId: connection.id, stream: of }),
    ownIds: async () => [],
    notice: (text) => {
      notice = text;
    },
    fetch,
  });
  let total = 0;
  let isWhole = lists.length <= LISTS_TO_TRY;
  for (const { walk, fetchPage } of lists.slice(0, LISTS_TO_TRY)) {
    const page = await fetchPage(walk.next(walk.start()), fetch);
    total += page.total ?? page.records.length;
    isWhole &&= page.total !== null;
  }
  const facts = Object.entries(learnt).map(([name, value]) => `${name}: ${describeFact(value)}`);
  const count = `${isWhole ? '' : 'at least '}${total.toLocaleString('en-US')} upstream`;
  return [count, ...facts, ...(notice === null ? [] : [notice])].join(', ');
}

const describeFact = (value: boolean | number): string =>
  typeof value === 'number' ? String(value) : value ? 'yes' : 'no';
