/**
 * A simulated Tilkee over real HTTP: V3, V2 and their logins on one port. It follows what was published; where that
 * leaves something open, a switch decides (see tilkee-switches.ts).
 */
import type { Answer, Call } from './answer.ts';
import { Faults } from './faults.ts';
import { Random } from './random.ts';
import { findRoute, pathPattern } from './routes.ts';
import { createHttpShell, type LimitOptions } from './serve.ts';
import { createGatekeeper, type TilkeeGatekeeper } from './tilkee-auth.ts';
import { TilkeeData, type TilkeeDataOptions } from './tilkee-data.ts';
import { type Api, failure, Refusal, type TilkeeRoute, type TilkeeRouteInput } from './tilkee-route.ts';
import { secretCanary } from './tilkee-rows.ts';
import { defaultSwitches, type TilkeeSwitches } from './tilkee-switches.ts';
import { v2Routes } from './tilkee-v2.ts';
import { v3Routes } from './tilkee-v3.ts';

export type { FaultRule } from './faults.ts';
export type { TilkeeKind } from './tilkee-create.ts';
export type { TilkeeData, TilkeeListable } from './tilkee-data.ts';
export { linkCanary, secretCanary, visitorCanary } from './tilkee-rows.ts';
export type { TilkeeSwitches } from './tilkee-switches.ts';

export interface TilkeeSandboxOptions extends Partial<Omit<TilkeeDataOptions, 'switches' | 'username'>>, LimitOptions {
  readonly accessKey?: string;
  readonly switches?: Partial<TilkeeSwitches>;
}

export type TilkeeSandbox = ReturnType<typeof createTilkeeSandbox>;
export type TilkeeAddress = Awaited<ReturnType<TilkeeSandbox['listen']>>;

const sizes = { projects: 120, items: 200, tokens: 600, visits: 1500, users: 6, months: 6 };

export function createTilkeeSandbox(options: TilkeeSandboxOptions = {}) {
  const { seed = 1, leads = [] } = options;
  const switches: TilkeeSwitches = { ...defaultSwitches(), ...options.switches };
  const secrets = new Random(seed ^ 0x5ec7);
  const secret = (kind: string): string => `${secretCanary}${kind}-${secrets.hex(16)}`;
  const credentials = {
    username: 'mirror.account@example.com',
    password: secret('password'),
    clientId: 'sandbox-client',
    clientSecret: secret('client'),
    accessKey: options.accessKey ?? secret('key'),
  };
  const { username } = credentials;
  const data = new TilkeeData({ ...sizes, ...options, seed, username, leads, switches });
  const gatekeeper = createGatekeeper(credentials, switches, secrets);
  const faults = new Faults(gatekeeper.revokeTokens);
  const random = new Random(seed ^ 0x7135);
  const routes = [...loginRoutes(gatekeeper), ...v3Routes, ...v2Routes];
  const shell = createHttpShell({
    ...options,
    faults,
    route: (path) => ({ path, list: nameOf(routes, path) }),
    answer: (call) => answer(call, { routes, gatekeeper, data, faults, random }),
    change: (count) => data.liveChanges(count),
    headers: () => ({}),
    unauthorized: (call) => gatekeeper.unauthorized(apiOf(call.path)),
  });
  return {
    ...shell,
    ...credentials,
    /** V2's own logins are at `url` + /oauth/token/. */
    listen: async (where?: { port?: number; host?: string }) => {
      const { port, url } = await shell.listen(where);
      return { port, url, v3Url: `${url}/v3`, v2Url: `${url}/v2`, authUrl: `${url}/v3` };
    },
    data,
    switches,
    signIns: gatekeeper.signIns,
    issueCode: (redirectUri: string) => gatekeeper.issueCode(redirectUri),
  };
}

function loginRoutes(gatekeeper: TilkeeGatekeeper): TilkeeRoute[] {
  const login = (api: Api, method: string, path: string, reply: (call: Call) => Answer): TilkeeRoute => ({
    name: 'oauth',
    api,
    method,
    pattern: pathPattern(path, api === 'v3' ? '/' : '/?'),
    reply: ({ call }) => reply(call),
  });
  return [
    login('v3', 'POST', '/v3/oauth/authorize', (call) => gatekeeper.signIn(call, 'v3')),
    login('v3', 'GET', '/v3/oauth/authorize', (call) => gatekeeper.redirectWithCode(call)),
    login('v3', 'POST', '/v3/oauth/token', (call) => gatekeeper.exchangeCode(call)),
    login('v2', 'POST', '/oauth/token', (call) => gatekeeper.signIn(call, 'v2')),
  ];
}

const apiOf = (path: string): Api => (path.startsWith('/v3/') ? 'v3' : 'v2');

const isSlashMissing = (routes: readonly TilkeeRoute[], path: string): boolean =>
  path.startsWith('/v3/') && !path.endsWith('/') && routes.some(({ pattern }) => pattern.test(`${path}/`));

function nameOf(routes: readonly TilkeeRoute[], path: string): string {
  const route = routes.find(({ pattern }) => pattern.test(path));
  return route?.name ?? (isSlashMissing(routes, path) ? 'v3.redirect' : 'unknown');
}

interface Server extends Omit<TilkeeRouteInput, 'api' | 'call' | 'params'> {
  readonly routes: readonly TilkeeRoute[];
  readonly gatekeeper: TilkeeGatekeeper;
}

function answer(call: Call, { routes, gatekeeper, ...tools }: Server): Answer {
  if (isSlashMissing(routes, call.path)) return redirectToSlash(call);
  const found = findRoute(routes, call);
  if (!found) return failure(apiOf(call.path), call.list === 'unknown' ? 404 : 405);
  const { route, params } = found;
  const refused = route.name === 'oauth' ? undefined : gatekeeper.refuse(call, route.api);
  if (refused) return refused;
  const status = tools.data.switches.refuse[route.name];
  if (status !== undefined) return failure(route.api, status);
  try {
    return route.reply({ ...tools, api: route.api, call, params });
  } catch (error) {
    if (error instanceof Refusal) return error.answer;
    throw error;
  }
}

/** Before any check of the caller, as the framework does; the address is absolute. */
function redirectToSlash(call: Call): Answer {
  const query = call.query.size > 0 ? `?${call.query}` : '';
  const location = `http://${call.headers.host ?? 'localhost'}${call.path}/${query}`;
  return { status: 307, body: '', type: 'text', headers: { Location: location } };
}
