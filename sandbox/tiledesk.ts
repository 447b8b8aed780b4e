/**
 * A simulated Tiledesk server over real HTTP: the open-source server 2.19 as far as a mirror can see, with its traps,
 * and what the hosted gateway adds (version prefixes, 429, 503).
 */
import { type Answer, type Call, json, type SandboxReply } from './answer.ts';
import { Faults } from './faults.ts';
import { Random } from './random.ts';
import { findRoute } from './routes.ts';
import { createHttpShell, type LimitOptions } from './serve.ts';
import { createGatekeeper } from './tiledesk-auth.ts';
import { TiledeskData, type TiledeskDataOptions } from './tiledesk-data.ts';
import { idForm } from './tiledesk-documents.ts';
import { type RouteContext, routes } from './tiledesk-routes.ts';
import type { SandboxAccount } from './tiledesk-team.ts';

export type { CallInfo } from './answer.ts';
export type { FaultKind } from './faults.ts';
export type { RequestLogEntry } from './serve.ts';
export type { Listable, TiledeskData } from './tiledesk-data.ts';

export interface TiledeskSandboxOptions extends Partial<TiledeskDataOptions>, LimitOptions {
  /** `old`: up to 2.14.8, where date filters know days only. */
  serverVersion?: 'new' | 'old';
  /** false: of a repeated `status` on leads only the first counts. */
  joinedLeadStatuses?: boolean;
}

export type TiledeskSandbox = ReturnType<typeof createTiledeskSandbox>;

const defaults = { seed: 1, leads: 1500, requests: 4000, months: 6, role: 'owner' };

/** Answers under no prefix and under /v1, /v2 and /v3. `email` and `password` are those of the main account. */
export function createTiledeskSandbox(options: TiledeskSandboxOptions = {}) {
  const data = new TiledeskData({ ...defaults, ...options });
  const { projectId, accounts } = data.team;
  const { seed = 1, serverVersion = 'new', joinedLeadStatuses = true } = options;
  const gatekeeper = createGatekeeper(data.team, new Random(seed ^ 0x70c3));
  const faults = new Faults(gatekeeper.revokeTokens);
  const ties = new Random(seed ^ 0x7135);
  const context = { data, faults, gatekeeper, ties, serverVersion, joinedLeadStatuses };
  const { email, password } = accounts[0] as SandboxAccount;
  const shell = createHttpShell({
    ...options,
    faults,
    route: nameRoute,
    answer: (call) => answer(call, context),
    change: (count) => data.randomEdits(count),
  });
  return { ...shell, projectId, email, password, accounts, data };
}

function nameRoute(url: string): { path: string; list: string } {
  const path = url.replace(/^\/v[123](?=\/|$)/, '') || '/';
  return { path, list: routes.find(({ pattern }) => pattern.test(path))?.list ?? 'unknown' };
}

/** The order of the refusals is the server's: project, IP filter, credentials, role. */
function answer(call: Call, context: RouteContext): SandboxReply {
  const isTop = call.path === '/auth/signin' || call.path === '/projects';
  try {
    const refusal = isTop ? undefined : refuseProject(call, context);
    if (refusal) return refusal;
    const found = findRoute(routes, call);
    if (!found) return cannot(call);
    const { ipFilter } = context.faults;
    if (!isTop && ipFilter !== 'off') return json({ err: ipFilterErrors[ipFilter] }, 401);
    const account = context.gatekeeper.admit(call, found.route.needs);
    return 'status' in account ? account : found.route.reply({ ...context, call, account, params: found.params });
  } catch (error) {
    // Bodies and paths that do not decode; everything else is a mistake of the sandbox and must show.
    if (error instanceof SyntaxError || error instanceof URIError) return json({ err: 'error' }, 500);
    throw error;
  }
}

function refuseProject({ path }: Call, { data }: RouteContext): Answer | undefined {
  const [, first = '', second] = path.split('/');
  const id = decodeURIComponent(first === 'projects' && second ? second : first);
  if (!idForm.test(id) && id.length !== 12) return json({ error: `Invalid project id: ${id}` }, 400);
  if (id !== data.team.projectId) return json({ error: `Project not found with id: ${id}` }, 400);
  return undefined;
}

const ipFilterErrors = {
  filter: 'error project ip filter',
  deny: 'error project deny ip filter',
  ban: 'error projectBanUserFilter by id',
};

function cannot(call: Call): Answer {
  const text = `Cannot ${call.method} ${call.path}`;
  const head = '<head>\n<meta charset="utf-8">\n<title>Error</title>\n</head>';
  const body = `<!DOCTYPE html>\n<html lang="en">\n${head}\n<body>\n<pre>${text}</pre>\n</body>\n</html>\n`;
  return { status: 404, body, type: 'html' };
}
