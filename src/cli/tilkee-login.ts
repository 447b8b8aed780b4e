import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { assertKey, openMirrorDatabase } from '../app/mirror-database.ts';
import { loadWithStored } from '../app/stored-connections.ts';
import { createHttpClient, createUpstreams, databaseBudgets } from '../app/upstreams.ts';
import { systemClock } from '../clock.ts';
import type { Config, TilkeeConnectionConfig } from '../config.ts';
import { AuthError, abortError, ConfigError } from '../errors.ts';
import { isLoopback } from '../loopback.ts';
import { authorizeUrl, grantByCode, type OauthAuth } from '../sources/tilkee/oauth.ts';
import type { KeptSignIn } from '../sources/tilkee/parts.ts';
import { tilkeeCredential, vaultName } from '../sources/tilkee/sign-in.ts';
import { createDatabaseVault } from '../store/engine/vault.ts';
import { answerBrowser, FOREIGN, listen, type Reply, readPasted } from './browser-reply.ts';
import { type CommandContext, type CommandProcess, runCommand, UsageError } from './command.ts';

/** How many foreign answers are reported; a flood of them must not scroll the address away. */
const MAX_SHOWN = 3;

const DECLINED = 'Tilkee did not allow the sign-in in the browser; nothing is changed. Try again';

const EXAMPLE = 'http://127.0.0.1:8765/callback';

/** Longer than a killed process keeps the vault locked: the code works once, so its result must not be lost. */
const VAULT_WAIT_MS = 90_000;

export interface TilkeeLoginOptions {
  readonly connection?: string;
  readonly redirectUri: string;
  readonly listen: boolean;
}

/** A person signs in with the browser, once; it is kept encrypted and renewed. No token, code or secret is printed. */
export async function tilkeeLogin(options: TilkeeLoginOptions, proc: CommandProcess): Promise<void> {
  await runCommand({ proc, requireConnections: false }, async (context) => {
    const { config, logger, signal } = context;
    // Sent as it was given: Tilkee compares letter by letter, and the parsed address may gain a slash.
    const { redirectUri } = options;
    assertRedirectUri(redirectUri);
    // Without a key no account of the database can be used, and none has to be opened to see that there is none.
    if (config.secretKey === null) readKeys(config, findAccount(config, options.connection));
    const database = await openMirrorDatabase(config, { logger, signal });
    let all = config;
    const client = createHttpClient(() => all, systemClock);
    try {
      all = await loadWithStored(context.stored, database, config.secretKey);
      const settings = findAccount(all, options.connection);
      const { auth, clientId, secretKey } = readKeys(all, settings);
      // Before a person signs in, which works once.
      await assertKey(config, database, logger);
      const state = randomBytes(24).toString('base64url');
      const verifier = randomBytes(48).toString('base64url');
      const address = authorizeUrl(settings, { clientId, redirectUri, state, verifier });
      const code = await receiveCode(options, { address, state, context });
      const budgetOf = databaseBudgets(database.prisma, config.http, () => config.sync.timezone);
      const upstreamOf = createUpstreams(config.http, { client, clock: systemClock, logger, budgetOf });
      const upstream = upstreamOf({ ...settings, credential: tilkeeCredential(settings) });
      const kept = await grantByCode(
        { settings, auth, upstream, clock: systemClock },
        { code, redirectUri, verifier },
        { signal, maxWaitMs: config.http.retryMaxMs },
      );
      const vault = createDatabaseVault<KeptSignIn>(database.prisma, { name: vaultName(settings), secretKey });
      const limits = { signal, maxWaitMs: VAULT_WAIT_MS, overwriteUnreadable: true };
      await vault.exclusive(async () => ({ value: null, store: kept }), limits);
      report(kept, { connection: settings.id, address: database.address, print: context.print });
    } finally {
      await client.close();
      await database.close();
    }
  });
}

function report(
  kept: KeptSignIn,
  { connection, address, print }: { connection: string; address: string; print: CommandContext['print'] },
): void {
  print(`Signed in. The sign-in of ${connection} is kept, encrypted, in the database ${address}.`);
  if (kept.refreshToken === null) {
    const end = new Date(kept.expiresAt).toISOString().slice(0, 16).replace('T', ' ');
    print(`Tilkee gave no refresh token: it ends at ${end} UTC, and then a new sign-in is required.`);
  } else {
    print('From now on leadmirror renews it by itself. To try it: leadmirror check');
  }
}

function findAccount({ connections }: Config, id: string | undefined): TilkeeConnectionConfig {
  const accounts = connections.filter((connection) => connection.source === 'tilkee');
  const ids = accounts.map((account) => account.id).join(', ');
  const [first] = accounts;
  if (first === undefined) {
    const remedy = 'set TILKEE_CLIENT_ID and TILKEE_CLIENT_SECRET, which the developer area of Tilkee has';
    throw new ConfigError([
      { variable: 'TILKEE_CLIENT_ID', message: `is not set, and no Tilkee account is configured; ${remedy}` },
    ]);
  }
  if (id === undefined && accounts.length > 1) {
    throw new UsageError(`Several Tilkee accounts are configured; choose one with --connection: ${ids}`);
  }
  const found = id === undefined ? first : accounts.find((account) => account.id === id);
  if (found === undefined) throw new UsageError(`There is no Tilkee connection ${id}; configured: ${ids}`);
  return found;
}

const NO_SECRET_KEY =
  'is not set; the sign-in is kept in the database only encrypted: set a long random text, such as `openssl rand -base64 32` prints, and keep it';

/** What the sign-in needs from the configuration. @throws ConfigError with everything that is missing */
function readKeys(
  { secretKey }: Config,
  { auth }: TilkeeConnectionConfig,
): { auth: OauthAuth; clientId: string; secretKey: string } {
  if (auth.kind === 'key') {
    const message = 'is a key that needs no sign-in; to sign in with the browser, remove it and set TILKEE_CLIENT_ID';
    throw new ConfigError([{ variable: 'TILKEE_ACCESS_TOKEN', message }]);
  }
  const { clientId, clientSecret } = auth;
  const remedy = 'is not set; the browser sign-in needs it (the developer area of Tilkee has it)';
  const needed: readonly [string, string | null, string][] = [
    ['TILKEE_CLIENT_ID', clientId, remedy],
    ['TILKEE_CLIENT_SECRET', clientSecret, remedy],
    ['LEADMIRROR_SECRET_KEY', secretKey, NO_SECRET_KEY],
  ];
  const missing = needed.filter(([, value]) => value === null);
  if (clientId === null || secretKey === null || missing.length > 0) {
    throw new ConfigError(missing.map(([variable, , message]) => ({ variable, message })));
  }
  return { auth, clientId, secretKey };
}

function assertRedirectUri(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.hash !== '' || url.username !== '') {
    throw new UsageError(`--redirect-uri must be an address as it is registered with Tilkee, such as ${EXAMPLE}`);
  }
}

/** The code, by whichever way it comes first: the browser's own request, or what a person pastes. */
async function receiveCode(
  { redirectUri, listen: mayListen }: TilkeeLoginOptions,
  { address, state, context }: { readonly address: string; readonly state: string; readonly context: CommandContext },
): Promise<string> {
  const { proc, print, signal } = context;
  const target = new URL(redirectUri);
  const isListening = mayListen && target.protocol === 'http:' && isLoopback(target.hostname);
  const server = isListening ? await listen(target) : null;
  const input = createInterface({ input: proc.stdin });
  try {
    print(`Open this address in a browser and sign in to Tilkee:\n\n  ${address}\n`);
    print(`The redirect URI ${redirectUri} has to be registered with Tilkee for this client id.`);
    print(
      isListening
        ? 'Waiting for the browser. Is it on another machine? Then paste the address it ends on, or the code alone, here.'
        : 'Then paste the address that the browser ends on, or the code alone, here:',
    );
    let foreign = 0;
    return await new Promise((resolve, reject) => {
      const settle = (reply: Reply) => {
        if (reply.kind === 'code') resolve(reply.code);
        if (reply.kind === 'declined') reject(new AuthError('auth_failed', DECLINED));
        if (reply.kind !== 'foreign' || foreign++ >= MAX_SHOWN) return;
        proc.stderr.write(`${FOREIGN} Still waiting.\n`);
      };
      if (signal.aborted) reject(abortError(signal));
      signal.addEventListener('abort', () => reject(abortError(signal)), { once: true });
      if (server !== null) answerBrowser(server, { path: target.pathname, state }, settle);
      input.on('line', (line) => {
        const reply = readPasted(line.trim(), state);
        if (reply !== null) settle(reply);
        else if (line.trim() !== '') proc.stderr.write('That is neither an address nor a code. Still waiting.\n');
      });
      // Without a terminal there is nothing to read, and the browser may still come.
      if (!isListening) input.on('close', () => reject(new UsageError('No code was given; nothing is changed.')));
    });
  } finally {
    input.close();
    server?.close();
    server?.closeAllConnections();
  }
}
