/**
 * A simulated Tiledesk server over real HTTP, for tests, the demo and the benchmark. Behaves like the open-source server
 * 2.19 as far as a mirror can see, its traps included; what the hosted gateway adds (version prefixes, 429, 503) is on top.
 */
import { Faults, type RetryAfterForm } from './faults.ts';
import { createLiveChanges } from './live.ts';
import { Random } from './random.ts';
import { type Call, HttpShell, json, type RequestLogEntry } from './serve.ts';
import { Gatekeeper } from './tiledesk-auth.ts';
import { TiledeskData } from './tiledesk-data.ts';
import type { Account } from './tiledesk-documents.ts';
import {
  listOwnProjects,
  projectRoute,
  projectRoutes,
  type Reply,
  type Route,
  type RouteContext,
} from './tiledesk-routes.ts';

export type { AnswerInfo, CallInfo, FaultKind, FaultRule, Faults, RandomFaults } from './faults.ts';
export type { RequestLogEntry } from './serve.ts';
export type { Listable, TiledeskData } from './tiledesk-data.ts';
export type { Account, Department, Lead, ProjectUser, Request } from './tiledesk-documents.ts';

export interface TiledeskSandboxOptions {
  seed?: number;
  leads?: number;
  requests?: number;
  /** End of the generated history in ms. When given, the stamps of later changes start there instead of at the real time. */
  now?: number;
  /** How far the history reaches back. */
  months?: number;
  projectId?: string;
  email?: string;
  password?: string;
  /** Role of the main account. */
  role?: string;
  /** `old`: up to 2.14.8, where date filters know days only. */
  serverVersion?: 'new' | 'old';
  /** false: of a repeated `status` on leads only the first counts. */
  joinedLeadStatuses?: boolean;
  /** null: unthrottled. Otherwise calls above this number in any rolling minute get 429. */
  requestsPerMinute?: number | null;
  /** Length of that minute, so that a test need not wait for one. */
  rateWindowMs?: number;
  retryAfter?: RetryAfterForm;
}

export interface TiledeskSandbox {
  /** Answers under no prefix and under /v1, /v2 and /v3. */
  listen(options?: { port?: number; host?: string }): Promise<{ port: number; url: string }>;
  /** Ends live changes and every connection, hanging ones included. */
  close(): Promise<void>;
  readonly projectId: string;
  readonly email: string;
  readonly password: string;
  /** Everybody who can sign in, the main account first. */
  readonly accounts: readonly Account[];
  readonly data: TiledeskData;
  readonly faults: Faults;
  readonly log: readonly RequestLogEntry[];
  clearLog(): void;
  startLive(options?: { changesPerSecond?: number }): void;
  stopLive(): void;
}

const prefix = /^\/v[123](?=\/|$)/;

export function createTiledeskSandbox(options: TiledeskSandboxOptions = {}): TiledeskSandbox {
  const { seed = 1, leads = 1500, requests = 4000, months = 6, role = 'owner' } = options;
  const data = new TiledeskData({ ...options, seed, leads, requests, months, role });
  const gatekeeper = new Gatekeeper(data.team, new Random(seed ^ 0x70c3));
  const faults = new Faults(() => gatekeeper.revokeTokens());
  const context: RouteContext = {
    data,
    faults,
    gatekeeper,
    ties: new Random(seed ^ 0x7135),
    serverVersion: options.serverVersion ?? 'new',
    joinedLeadStatuses: options.joinedLeadStatuses ?? true,
  };
  const shell = new HttpShell({
    faults,
    route: (path) => nameRoute(path.replace(prefix, '') || '/'),
    answer: (call) => answer(call, context),
    requestsPerMinute: options.requestsPerMinute ?? null,
    rateWindowMs: options.rateWindowMs ?? 60_000,
    retryAfter: options.retryAfter ?? 'seconds',
  });
  const live = createLiveChanges((count) => data.randomEdits(count));
  const main = data.team.accounts[0] as Account;
  return {
    listen: (where) => shell.listen(where),
    close: async () => {
      live.stop();
      await shell.close();
    },
    projectId: data.team.projectId,
    email: main.email,
    password: main.password,
    accounts: data.team.accounts,
    data,
    faults,
    log: shell.log,
    clearLog: () => {
      shell.log.length = 0;
    },
    startLive: live.start,
    stopLive: live.stop,
  };
}

const topRoutes: Readonly<Record<string, string>> = { '/auth/signin': 'signin', '/projects': 'projects' };

function splitPath(path: string): { first: string; rest: string } {
  const [, first = '', rest = ''] = /^\/([^/]*)(.*?)\/?$/.exec(path) ?? [];
  return { first, rest };
}

function nameRoute(path: string): { path: string; list: string } {
  const top = topRoutes[path];
  if (top) return { path, list: top };
  const { first, rest } = splitPath(path);
  const route = first === 'projects' ? projectRoute : projectRoutes.find(({ pattern }) => pattern.test(rest));
  return { path, list: route?.list ?? 'unknown' };
}

function cannot(call: Call): Reply {
  const text = `Cannot ${call.method} ${call.path}`;
  const head = '<head>\n<meta charset="utf-8">\n<title>Error</title>\n</head>';
  const body = `<!DOCTYPE html>\n<html lang="en">\n${head}\n<body>\n<pre>${text}</pre>\n</body>\n</html>\n`;
  return { status: 404, body, type: 'html' };
}

const ipFilterErrors = {
  filter: 'error project ip filter',
  deny: 'error project deny ip filter',
  ban: 'error projectBanUserFilter by id',
} as const;

function answer(call: Call, context: RouteContext): Reply {
  try {
    return dispatch(call, context);
  } catch (error) {
    // Bodies and paths that do not decode; everything else is a mistake of the sandbox and must show.
    if (error instanceof SyntaxError || error instanceof URIError) return json({ err: 'error' }, 500);
    throw error;
  }
}

function dispatch(call: Call, context: RouteContext): Reply {
  if (call.path === '/auth/signin') return call.method === 'POST' ? context.gatekeeper.signIn(call) : cannot(call);
  if (call.path === '/projects' && call.method === 'GET') {
    const caller = context.gatekeeper.authenticate(call);
    return 'status' in caller ? caller : listOwnProjects({ ...context, call, account: caller, params: [] });
  }
  const { first, rest } = splitPath(call.path);
  const isProjectItself = first === 'projects' && /^\/[^/]+$/.test(rest);
  if (isProjectItself) return answerProject(call, context, { id: rest.slice(1), routes: [projectRoute], rest: '' });
  return answerProject(call, context, { id: first, routes: projectRoutes, rest });
}

interface ProjectPath {
  readonly id: string;
  readonly routes: readonly Route[];
  readonly rest: string;
}

function answerProject(call: Call, context: RouteContext, path: ProjectPath): Reply {
  const { data, faults } = context;
  const id = decodeURIComponent(path.id);
  if (!/^[0-9a-f]{24}$/i.test(id) && id.length !== 12) return json({ error: `Invalid project id: ${id}` }, 400);
  if (id !== data.team.projectId) return json({ error: `Project not found with id: ${id}` }, 400);
  const found = findRoute(path.routes, call.method, path.rest);
  if (!found) return cannot(call);
  if (faults.ipFilter !== 'off') return json({ err: ipFilterErrors[faults.ipFilter] }, 401);
  return answerRoute(found.route, { ...context, call, params: found.params });
}

function answerRoute(route: Route, input: RouteContext & { call: Call; params: readonly string[] }): Reply {
  const nobody: Account = { email: '', password: '', userId: '', role: null, isSuperAdmin: false };
  if (route.needs === null) return route.reply({ ...input, account: nobody });
  const caller = input.gatekeeper.authenticate(input.call);
  if ('status' in caller) return caller;
  return input.gatekeeper.refuse(caller, route.needs) ?? route.reply({ ...input, account: caller });
}

function findRoute(
  routes: readonly Route[],
  method: string,
  rest: string,
): { route: Route; params: readonly string[] } | undefined {
  for (const route of routes) {
    const matched = route.method === method ? route.pattern.exec(rest) : null;
    if (matched) return { route, params: matched.slice(1).map(decodeURIComponent) };
  }
  return undefined;
}
