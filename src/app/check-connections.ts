import { systemClock } from '../clock.ts';
import type { Config, ConnectionConfig } from '../config.ts';
import { count } from '../counted.ts';
import { ConnectionError, errorCode, isAbort, LeadmirrorError, RateLimitedError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { CheckResult } from '../ops/parts.ts';
import { tiledeskCredential } from '../sources/tiledesk/index.ts';
import { vaultName } from '../sources/tilkee/index.ts';
import { keepAccountName } from '../store/engine/account-names.ts';
import { readServerPause } from '../store/engine/control.ts';
import { databaseError } from '../store/faults.ts';
import { followMirrored, readMirroredIds } from '../store/mirror/mirrored.ts';
import { createRefusalStore, type RefusedCredential } from '../store/mirror/refusals.ts';
import type { Capabilities, Connection, FetchOptions } from '../stream.ts';
import { createConnector } from './connector.ts';
import { type MirrorDatabase, vaultsIn } from './mirror-database.ts';
import type { Selected } from './sync-streams.ts';
import { withUpstreams } from './upstreams.ts';

/** Runs one check; what it throws becomes its result, so that the others still run. Returns true when it passed. */
export type Attempt = (name: string, work: () => Promise<string>) => Promise<boolean>;

/** Hands each result on as it comes. */
export const createAttempt =
  (onResult: (result: CheckResult) => void): Attempt =>
  async (name, work) => {
    const result = await work().then((detail) => ({ name, ok: true, detail, error: null }), failureOf(name));
    onResult(result);
    return result.ok;
  };

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

/** The vault of an account whose password can be tried beside a kept session, without using up a refresh token. */
function triedVault(settings: ConnectionConfig): string | [] {
  if (settings.source === 'tiledesk') return tiledeskCredential(settings);
  const { auth } = settings;
  return auth.kind === 'oauth' && auth.password !== null && auth.refreshToken === null ? vaultName(settings) : [];
}

/** Tries each account, with a page of each of its streams. Accounts that cannot be used are findings. */
export async function checkConnections(
  config: Config,
  { logger, signal }: { readonly logger: Logger; readonly signal: AbortSignal },
  database: MirrorDatabase | null,
  attempt: Attempt,
): Promise<void> {
  for (const { id, code, message } of config.unusable) {
    await attempt(id, () => Promise.reject(new ConnectionError(code, message)));
  }
  // The password is on trial, not a kept session. A refresh token of Tilkee works once: it comes from the vault.
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
        const { summary, name: seen = null } = await connection.open(fetch);
        const name = seen ?? (await fetchName(connection, fetch));
        if (name !== null && database !== null) await keepAccountName(database.prisma, connection.id, name);
        return name === null ? summary : `${name}, ${summary}`;
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

/** Without its name an account works as well. */
async function fetchName(connection: Connection, fetch: FetchOptions): Promise<string | null> {
  const name = connection.fetchName?.(fetch).catch((error: unknown) => {
    if (isAbort(error)) throw error;
    return null;
  });
  return (await name) ?? null;
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
  const found = `${isWhole ? '' : 'at least '}${count(total)} upstream`;
  return [found, ...facts, ...(notice === null ? [] : [notice])].join(', ');
}

const describeFact = (value: boolean | number): string =>
  typeof value === 'number' ? String(value) : value ? 'yes' : 'no';
