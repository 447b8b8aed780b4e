import { createQueues } from '../../workers/queues.ts';
import { createConnector } from '../app/connector.ts';
import { assertKey, type MirrorDatabase, openMirrorDatabase, vaultsIn } from '../app/mirror-database.ts';
import type { Selected } from '../app/sync-streams.ts';
import { withUpstreams } from '../app/upstreams.ts';
import { systemClock } from '../clock.ts';
import { type ConnectionConfig, describeConfig } from '../config.ts';
import { DatabaseError, errorCode, isAbort, LeadmirrorError, RateLimitedError } from '../errors.ts';
import { tiledeskCredential } from '../sources/tiledesk/index.ts';
import { vaultName } from '../sources/tilkee/index.ts';
import { connectionsOf, lackOfRoom, leastOf } from '../store/connection-room.ts';
import { readServerPause } from '../store/engine/control.ts';
import { databaseError } from '../store/faults.ts';
import { followMirrored, readMirroredIds } from '../store/mirror/mirrored.ts';
import { createRefusalStore, type RefusedCredential } from '../store/mirror/refusals.ts';
import type { Capabilities, Connection, FetchOptions } from '../stream.ts';
import { type CommandContext, type CommandProcess, runCommand } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { helpLines } from './format.ts';

interface CheckResult {
  /** `database`, `queue`, `tiledesk:<project>`, `tiledesk:<project> tiledesk.leads`. */
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** Runs one check; what it throws becomes its result, so that the others still run. Returns true when it passed. */
type Attempt = (name: string, work: () => Promise<string>) => Promise<boolean>;

export async function check({ json = false }: { readonly json?: boolean }, proc: CommandProcess): Promise<void> {
  await runCommand({ json, proc }, async (context) => {
    const { print, printJson } = context;
    const results: CheckResult[] = [];
    const attempt: Attempt = async (name, work) => {
      const result = await work().then((detail) => ({ name, ok: true, detail, error: null }), failureOf(name));
      results.push(result);
      if (!json) print(`${result.ok ? 'ok    ' : 'FAILED'}  ${name}: ${result.error?.message ?? result.detail}`);
      return result.ok;
    };
    const settings = describeConfig(context.config);
    const { notes, openFiles } = context.config;
    if (!json) {
      for (const { name, value } of settings) print(`        ${name}: ${value}`);
      for (const note of openFiles) print(`Note    ${note}`);
    }
    let database: MirrorDatabase | null = null;
    try {
      await attempt('database', async () => {
        database = await openMirrorDatabase(context.config, context);
        return describeDatabase(database);
      });
      if (database !== null) await checkStorage(context, database, attempt);
      await checkConnections(context, database, attempt);
    } finally {
      await (database as MirrorDatabase | null)?.close();
    }
    const ok = results.every((result) => result.ok);
    if (json) printJson({ ok, settings, notes: [...notes, ...openFiles], checks: results });
    else for (const line of helpLines(results.map(({ error }) => error?.code))) print(line);
    return ok ? EXIT.done : EXIT.failed;
  });
}

const failureOf =
  (name: string) =>
  (thrown: unknown): CheckResult => {
    if (isAbort(thrown)) throw thrown;
    const error = databaseError(thrown, 'of DATABASE_URL');
    const message = error instanceof Error ? error.message : String(error);
    const isOurs = error instanceof LeadmirrorError;
    const reported = { code: errorCode(error), message: isOurs ? message : `unexpected: ${message}` };
    return { name, ok: false, detail: '', error: reported };
  };

/** How much room there is stays out where the limits cannot be known. */
function describeDatabase({ address, embedded, connections: { room, wanted, shares } }: MirrorDatabase): string {
  const needs = `a daemon takes up to ${connectionsOf(shares)}, and needs ${connectionsOf(leastOf(wanted))}`;
  return [
    `${address}, migrated`,
    ...(room === null
      ? []
      : [`${room.limit - room.used} of ${room.limit} connections that the ${room.limitOf} allows are free, ${needs}`]),
    ...(embedded === null ? [] : [`open it with: ${embedded.psql}`]),
  ].join('; ');
}

async function checkStorage(
  { config, logger }: CommandContext,
  database: MirrorDatabase,
  attempt: Attempt,
): Promise<void> {
  const { room, wanted, shares } = database.connections;
  const lack = lackOfRoom(room, wanted);
  if (lack !== null) {
    await attempt('database connections', () => Promise.reject(new DatabaseError('database_refused', lack)));
  }
  if (config.secretKey === null) await assertKey(config, database, logger);
  else {
    await attempt('secret key', async () => {
      await assertKey(config, database, logger);
      return 'it is the one that the stored sign-ins are encrypted with';
    });
  }
  await attempt('queue', async () => {
    const queues = await createQueues({ config, databaseUrl: database.url, logger, maxConnections: shares.queue });
    await queues.ping().finally(() => queues.close());
    return config.redis === null ? 'in Postgres, schema bullmq' : 'in Redis';
  });
}

/** The vault of an account whose password can be tried beside a kept session, without using up a refresh token. */
function triedVault(settings: ConnectionConfig): string | [] {
  if (settings.source === 'tiledesk') return tiledeskCredential(settings);
  const { auth } = settings;
  return auth.kind === 'oauth' && auth.password !== null && auth.refreshToken === null ? vaultName(settings) : [];
}

async function checkConnections(
  { config, logger, signal }: CommandContext,
  database: MirrorDatabase | null,
  attempt: Attempt,
): Promise<void> {
  // The password itself is on trial, not a session that was got with it once. A refresh token of Tilkee's works once: that one comes from the vault.
  const [kept, fresh] = [vaultsIn(config, database), vaultsIn(config, null)];
  const tried = new Set(config.connections.flatMap(triedVault));
  const vaultOf = <T>(name: string) => (tried.has(name) ? fresh : kept)<T>(name);
  // Always tried; what comes of it holds for every process.
  const refusals =
    database && ((of: RefusedCredential) => ({ ...createRefusalStore(database.prisma, of), find: async () => null }));
  await withUpstreams(config, { logger, signal }, async (parts, fetch) => {
    for (const connection of createConnector(config, { ...parts, vaultOf, ...(refusals && { refusals }) })(
      config.connections,
    )) {
      const isOpen = await attempt(connection.id, async () => {
        if (database !== null) await assertNotPaused(connection, database);
        return (await connection.open(fetch)).summary;
      });
      for (const { name, check } of connection.healthChecks ?? []) {
        await attempt(`${connection.id} ${name}`, () => check(fetch));
      }
      if (!isOpen) continue;
      for (const stream of connection.streams) {
        await attempt(`${connection.id} ${stream.name}`, () =>
          tryLists({ connection, stream, database }, fetch).catch(parentFirst),
        );
      }
    }
  });
}

async function assertNotPaused({ id, credential, streams }: Connection, { prisma }: MirrorDatabase): Promise<void> {
  const pause = await readServerPause(prisma, credential);
  if (pause === null) return;
  const message = `the server asked to wait until ${pause.until.toISOString()} (${pause.reason}), so nothing was sent; to try at once: leadmirror resume ${streams[0]?.name} --connection ${id}`;
  throw new RateLimitedError(message, { waitMs: pause.until.getTime() - systemClock.now() });
}

/** A stream that is read parent by parent may have thousands of lists: a few of them show enough. */
const LISTS_TO_TRY = 3;

/** A stream that can only be tried after another one was read. */
function parentFirst(error: unknown): string {
  if (error instanceof RateLimitedError && error.code === 'parent_first') return error.message;
  throw error;
}

/** Probes what the server can do, and reads one page of each list. */
async function tryLists(
  { connection, stream, database }: Selected & { readonly database: MirrorDatabase | null },
  fetch: FetchOptions,
): Promise<string> {
  const keyOf = (of: string) => ({ connectionId: connection.id, stream: of });
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
    mirroredIds: async (of, limit) => database && readMirroredIds(database.prisma, keyOf(of), limit ?? LISTS_TO_TRY),
    follow: async (of) => database && followMirrored(database.prisma, keyOf(of)),
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
