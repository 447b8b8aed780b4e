/**
 * A simulated Tilkee over real HTTP, for tests, the demo and the benchmark: V3, V2 and the logins of both on one port. It
 * follows what was published; where that leaves something open, a switch decides (see tilkee-switches.ts).
 */
import { Faults, type RetryAfterForm } from './faults.ts';
import { createLiveChanges } from './live.ts';
import { Random } from './random.ts';
import { type Answer, type Call, HttpShell, type RequestLogEntry } from './serve.ts';
import { type Api, type SignIns, TilkeeGatekeeper } from './tilkee-auth.ts';
import { TilkeeData } from './tilkee-data.ts';
import { secretCanary } from './tilkee-documents.ts';
import { failure, type RouteTools, type TilkeeRoute } from './tilkee-route.ts';
import { defaultSwitches, type TilkeeSwitches } from './tilkee-switches.ts';
import { v2Routes } from './tilkee-v2.ts';
import { v3Routes } from './tilkee-v3.ts';

export type { AnswerInfo, CallInfo, FaultKind, FaultRule, Faults, RandomFaults } from './faults.ts';
export type { RequestLogEntry } from './serve.ts';
export type { SignIns } from './tilkee-auth.ts';
export type { TilkeeData } from './tilkee-data.ts';
export type {
  TilkeeItem,
  TilkeeKind,
  TilkeeProject,
  TilkeeToken,
  TilkeeUser,
  TilkeeVisit,
} from './tilkee-documents.ts';
export { linkCanary, secretCanary, visitorCanary } from './tilkee-documents.ts';
export type { TilkeeListable } from './tilkee-listable.ts';
export type { TilkeeCallName, TilkeeSwitches } from './tilkee-switches.ts';

export interface TilkeeSandboxOptions {
  seed?: number;
  projects?: number;
  items?: number;
  tokens?: number;
  visits?: number;
  users?: number;
  /** End of the generated history in ms. When given, the stamps of later changes start there instead of at the real time. */
  now?: number;
  /** How far the history reaches back. */
  months?: number;
  /** Leads (of a Tiledesk sandbox), some of whom received links: a link's external_id or name then matches a lead. */
  leads?: readonly { id: string; lead_id?: string; fullname?: string; email?: string }[];
  username?: string;
  password?: string;
  clientId?: string;
  clientSecret?: string;
  /** Long-lived key for V2. */
  accessKey?: string;
  /** null: unthrottled. Otherwise calls above this number in any rolling minute get 429. */
  requestsPerMinute?: number | null;
  /** Length of that minute, so that a test need not wait for one. */
  rateWindowMs?: number;
  retryAfter?: RetryAfterForm;
  switches?: Partial<TilkeeSwitches>;
}

export interface TilkeeAddress {
  readonly port: number;
  readonly url: string;
  readonly v3Url: string;
  readonly v2Url: string;
  /** Logins of V3; V2's own is at `url` + /oauth/token/. */
  readonly authUrl: string;
}

export interface TilkeeSandbox {
  listen(options?: { port?: number; host?: string }): Promise<TilkeeAddress>;
  /** Ends live changes and every connection, hanging ones included. */
  close(): Promise<void>;
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly accessKey: string;
  readonly data: TilkeeData;
  readonly faults: Faults;
  readonly switches: TilkeeSwitches;
  readonly signIns: Readonly<SignIns>;
  readonly log: readonly RequestLogEntry[];
  clearLog(): void;
  /** Access tokens given out so far are refused from now on, as if their time were over; refresh tokens and the key stay good. */
  expireTokens(): void;
  /** What the web login would hand to the browser. */
  issueCode(redirectUri: string): string;
  startLive(options?: { changesPerSecond?: number }): void;
  stopLive(): void;
}

const sizes = { projects: 120, items: 200, tokens: 600, visits: 1500, users: 6, months: 6 };

export function createTilkeeSandbox(options: TilkeeSandboxOptions = {}): TilkeeSandbox {
  const { seed = 1 } = options;
  const switches: TilkeeSwitches = { ...defaultSwitches(), ...options.switches };
  const secrets = new Random(seed ^ 0x5ec7);
  const secret = (kind: string): string => `${secretCanary}${kind}-${secrets.hex(16)}`;
  const credentials = {
    username: options.username ?? 'mirror.account@example.com',
    password: options.password ?? secret('password'),
    clientId: options.clientId ?? 'sandbox-client',
    clientSecret: options.clientSecret ?? secret('client'),
    accessKey: options.accessKey ?? secret('key'),
  };
  const { username } = credentials;
  const { leads = [] } = options;
  const data = new TilkeeData({ ...sizes, ...options, seed, username, leads, switches });
  const gatekeeper = new TilkeeGatekeeper(credentials, switches, secrets);
  const faults = new Faults(() => gatekeeper.expireTokens());
  const tools: RouteTools = { data, faults, random: new Random(seed ^ 0x7135) };
  const routes = [...loginRoutes(gatekeeper), ...v3Routes, ...v2Routes];
  const shell = new HttpShell({
    faults,
    route: (path) => ({ path, list: nameOf(routes, path) }),
    answer: (call) => answer(call, { routes, tools, gatekeeper }),
    headers: () => ({}),
    unauthorized: (call) => gatekeeper.unauthorized(apiOf(call.path)),
    requestsPerMinute: options.requestsPerMinute ?? null,
    rateWindowMs: options.rateWindowMs ?? 60_000,
    retryAfter: options.retryAfter ?? 'seconds',
  });
  const live = createLiveChanges((count) => data.liveChanges(count));
  return {
    ...credentials,
    listen: async (where) => {
      const { port, url } = await shell.listen(where);
      return { port, url, v3Url: `${url}/v3`, v2Url: `${url}/v2`, authUrl: `${url}/v3` };
    },
    close: async () => {
      live.stop();
      await shell.close();
    },
    data,
    faults,
    switches,
    signIns: gatekeeper.signIns,
    log: shell.log,
    clearLog: () => {
      shell.log.length = 0;
    },
    expireTokens: () => gatekeeper.expireTokens(),
    issueCode: (redirectUri) => gatekeeper.issueCode(redirectUri),
    startLive: live.start,
    stopLive: live.stop,
  };
}

function loginRoutes(gatekeeper: TilkeeGatekeeper): TilkeeRoute[] {
  const login = (method: 'GET' | 'POST', pattern: RegExp, reply: (call: Call) => Answer): TilkeeRoute => ({
    name: 'oauth',
    api: pattern.source.includes('v3') ? 'v3' : 'v2',
    method,
    pattern,
    isOpen: true,
    reply: ({ call }) => reply(call),
  });
  return [
    login('POST', /^\/v3\/oauth\/authorize\/$/, (call) => gatekeeper.authorize(call)),
    login('GET', /^\/v3\/oauth\/authorize\/$/, (call) => gatekeeper.redirectWithCode(call)),
    login('POST', /^\/v3\/oauth\/token\/$/, (call) => gatekeeper.exchangeCode(call)),
    login('POST', /^\/oauth\/token\/?$/, (call) => gatekeeper.signInOnV2(call)),
  ];
}

const apiOf = (path: string): Api => (path.startsWith('/v3/') ? 'v3' : 'v2');

const isSlashMissing = (routes: readonly TilkeeRoute[], path: string): boolean =>
  path.startsWith('/v3/') && !path.endsWith('/') && routes.some(({ pattern }) => pattern.test(`${path}/`));

function nameOf(routes: readonly TilkeeRoute[], path: string): string {
  const route = routes.find(({ pattern }) => pattern.test(path));
  return route?.name ?? (isSlashMissing(routes, path) ? 'v3.redirect' : 'unknown');
}

interface Server {
  readonly routes: readonly TilkeeRoute[];
  readonly tools: RouteTools;
  readonly gatekeeper: TilkeeGatekeeper;
}

function answer(call: Call, { routes, tools, gatekeeper }: Server): Answer {
  if (isSlashMissing(routes, call.path)) return redirectToSlash(call);
  const api = apiOf(call.path);
  const here = routes.filter(({ pattern }) => pattern.test(call.path));
  const route = here.find(({ method }) => method === call.method);
  if (!route) return failure(api, here.length > 0 ? 405 : 404);
  const refused = route.isOpen ? undefined : refuse(call, route.api, { tools, gatekeeper });
  if (refused) return refused;
  const status = tools.data.switches.refuse[route.name];
  if (status !== undefined) return failure(api, status);
  return route.reply({ tools, call, params: (route.pattern.exec(call.path) ?? []).slice(1) });
}

function refuse(call: Call, api: Api, { tools, gatekeeper }: Omit<Server, 'routes'>): Answer | undefined {
  const refused = gatekeeper.refuse(call, api);
  if (refused) return refused;
  const isNameless = api === 'v2' && !call.headers['x-tilk-ref'];
  return isNameless && tools.data.switches.tilkRefRequired ? failure('v2', 403) : undefined;
}

/** Before any check of the caller, as the framework does; the address is absolute. */
function redirectToSlash(call: Call): Answer {
  const query = call.query.size > 0 ? `?${call.query}` : '';
  const location = `http://${call.headers.host ?? 'localhost'}${call.path}/${query}`;
  return { status: 307, body: '', type: 'text', headers: { Location: location } };
}
