import { createTilkeeSandbox, type TilkeeSandbox, type TilkeeSandboxOptions } from '../../../sandbox/tilkee.ts';
import { type Clock, systemClock } from '../../../src/clock.ts';
import { createLocalBudget } from '../../../src/http/budget.ts';
import { HttpClient } from '../../../src/http/client.ts';
import { createRefusalGuard } from '../../../src/http/refusal-guard.ts';
import { createUpstream, type Upstream } from '../../../src/http/upstream.ts';
import { createTilkeeApi, type TilkeeAccountApi } from '../../../src/sources/tilkee/api.ts';
import type { OauthAuth } from '../../../src/sources/tilkee/oauth.ts';
import type { KeptSignIn, TilkeeAuth, TilkeeSettings, TokenVault } from '../../../src/sources/tilkee/parts.ts';
import { createTilkeeSignIn, type TilkeeSignIn } from '../../../src/sources/tilkee/sign-in.ts';
import { createMemoryVault } from '../../../src/sources/vault.ts';
import type { FetchOptions } from '../../../src/stream.ts';
import { createLogCapture } from '../../http/support.ts';

export const NOBODY: OauthAuth = {
  kind: 'oauth',
  username: null,
  password: null,
  clientId: null,
  clientSecret: null,
  refreshToken: null,
};

export interface Process {
  readonly settings: TilkeeSettings;
  readonly signIn: TilkeeSignIn;
  readonly api: TilkeeAccountApi;
  readonly vault: TokenVault;
}

export interface ProcessOptions {
  readonly auth?: TilkeeAuth;
  readonly settings?: Partial<TilkeeSettings>;
  /** Null: one of its own, in memory. */
  readonly vault?: TokenVault;
  readonly clock?: Clock;
}

export interface TilkeeUpstream {
  readonly sandbox: TilkeeSandbox;
  readonly url: string;
  /** User name and password of the sandbox's account. */
  readonly password: OauthAuth;
  readonly client: Pick<OauthAuth, 'clientId' | 'clientSecret'>;
  readonly upstream: Upstream;
  readonly settings: TilkeeSettings;
  /** Everything that was logged. */
  readonly logged: string[];
  /** What one process has of the account. */
  start(options?: ProcessOptions): Process;
  /** A refresh token as an operator would have it. */
  issueRefreshToken(): Promise<string>;
  /** How often each call was made since the log was cleared. */
  asked(): Record<string, number>;
  close(): Promise<void>;
}

export const fetchOptions = (options: Partial<FetchOptions> = {}): FetchOptions => ({
  signal: new AbortController().signal,
  maxWaitMs: 5000,
  onRequest: () => {},
  ...options,
});

/** A simulated Tilkee, and accounts on it through the real client. */
export async function setupTilkee(options: TilkeeSandboxOptions = {}): Promise<TilkeeUpstream> {
  const sandbox = createTilkeeSandbox({ projects: 5, items: 5, tokens: 8, visits: 10, users: 3, ...options });
  const { url, v3Url, v2Url, authUrl } = await sandbox.listen();
  const client = new HttpClient({ timeoutMs: 5000 });
  const { logger, lines } = createLogCapture();
  const upstream = createUpstream({
    client,
    budget: createLocalBudget(1_000_000, systemClock),
    clock: systemClock,
    logger,
    attempts: 3,
    maxTotalMs: 3000,
    random: () => 0,
  });
  const password = { ...NOBODY, username: sandbox.username, password: sandbox.password };
  const common: TilkeeSettings = {
    id: 'tilkee:default',
    auth: password,
    v3Url,
    v2Url,
    authUrl,
    appUrl: url,
    authBody: 'form',
    scope: null,
    streams: ['projects', 'items', 'tokens', 'connexions', 'users'],
    projectsApi: 'v3',
    requestsPerMinute: 100,
    pageSize: 50,
    ref: 'leadmirror',
    extras: [],
    arrayParams: 'repeat',
    timeUnit: 's',
    visitsBy: 'auto',
    orderByUpdate: false,
    actAs: [],
  };
  return {
    sandbox,
    url,
    password,
    client: { clientId: sandbox.clientId, clientSecret: sandbox.clientSecret },
    upstream,
    settings: common,
    logged: lines,
    start({
      auth = password,
      settings: changed = {},
      vault = createMemoryVault<KeptSignIn>(),
      clock = systemClock,
    } = {}) {
      const settings = { ...common, auth, ...changed };
      const signIn = createTilkeeSignIn({ settings, upstream, vault, clock, logger, guard: createRefusalGuard(null) });
      return { settings, signIn, vault, api: createTilkeeApi({ settings, signIn, upstream }) };
    },
    async issueRefreshToken() {
      const response = await fetch(`${authUrl}/oauth/token/`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          client_id: sandbox.clientId,
          client_secret: sandbox.clientSecret,
          code: sandbox.issueCode('http://127.0.0.1/'),
        }),
      });
      const { refresh_token } = (await response.json()) as { refresh_token: string };
      return refresh_token;
    },
    asked() {
      const counts: Record<string, number> = {};
      for (const { list } of sandbox.log) counts[list] = (counts[list] ?? 0) + 1;
      return counts;
    },
    async close() {
      await client.close();
      await sandbox.close();
    },
  };
}

export const minutes = (count: number): number => count * 60_000;

/** A vault that holds this, from another process. */
export async function vaultWith(kept: KeptSignIn): Promise<TokenVault> {
  const vault = createMemoryVault<KeptSignIn>();
  await vault.exclusive(async () => ({ value: null, store: kept }), fetchOptions());
  return vault;
}
