import fastify, { type FastifyInstance, LogController } from 'fastify';
import { endSession, readEndedSessions } from '../store/engine/ended-sessions.ts';
import { serveAssets } from './assets.ts';
import { createGate } from './guard/gate.ts';
import { addSecurityHeaders } from './guard/headers.ts';
import { LiveStatus } from './live.ts';
import type { OpsParts } from './parts.ts';
import { StatusReader } from './read-status.ts';
import { addActionRoutes } from './routes/actions.ts';
import { addApiRoutes } from './routes/api.ts';
import { addConnectionRoutes } from './routes/connections.ts';
import { addEventRoutes } from './routes/events.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addPages, createShowPage } from './routes/pages.ts';
import { addQueueBoard } from './routes/queues.ts';
import { handleErrors, refuseUnreadable } from './routes/replies.ts';
import { addReportRoutes } from './routes/report.ts';
import { addSignInRoutes } from './routes/sign-in.ts';

export type OpsServer = Awaited<ReturnType<typeof startOpsServer>>;

/** Time limits on a client, in ms, and a bound on their number: a half-open request holds nothing for long. */
export const LIMITS = {
  /** Headers and body together have to be there. */
  requestMs: 15_000,
  /** Between two requests of one connection. */
  idleMs: 10_000,
  /** Nothing is sent or taken: longer than the beat of an event stream, which ends no page that is open. */
  connectMs: 60_000,
  checkMs: 2_000,
  connections: 1_000,
};

const POLL_MS = 2_000;
const NO_PROXY = 'HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';
const BODY_LIMIT = 10_000;

type HttpParts = OpsParts & { readonly limits?: typeof LIMITS };

/** The process's HTTP side: is it up and ready, in what state are the streams, what may a person do about it. */
export async function startOpsServer(parts: HttpParts, address: { readonly host: string; readonly port: number }) {
  const server = createOpsServer({ host: address.host, ...parts });
  // A copy, because fastify writes into the object it is given.
  const url = await server.listen({ ...address });
  return { url, close: (): Promise<void> => server.close() };
}

/** In the order in which a request meets them: headers, then the gate, then the routes. */
export function createOpsServer(parts: HttpParts): FastifyInstance {
  const { prisma, token = null, queue, accounts, plugins = [] } = parts;
  const server = createHttpServer(parts);
  const reader = new StatusReader(parts);
  const live = new LiveStatus({ read: () => reader.read(), pollMs: parts.pollMs ?? POLL_MS });
  server.addHook('preClose', async () => live.close());
  server.register(async (routes) => {
    await addSecurityHeaders(routes);
    refuseUnreadable(routes);
    const gate = createGate(
      routes,
      { ...parts, token },
      { end: (session) => endSession(prisma, session), read: () => readEndedSessions(prisma) },
    );
    const assets = serveAssets(routes);
    handleErrors(routes, assets);
    addHealthRoutes(routes, parts);
    addApiRoutes(routes, parts, live);
    addEventRoutes(routes, live);
    addActionRoutes(routes, parts, live);
    addSignInRoutes(routes, gate, assets);
    const show = createShowPage(parts, { gate, assets });
    addPages(routes, parts, { live, show, canChange: gate.canChange });
    addReportRoutes(routes, parts, show);
    // Without a token all who reach the page could list them.
    if (accounts !== undefined && gate.canChange) addConnectionRoutes(routes, accounts, show);
    if (queue !== undefined && gate.canChange) await addQueueBoard(routes, queue);
    for (const plugin of plugins) await plugin(routes);
  });
  return server;
}

function createHttpServer({ logger, limits = LIMITS, trustedProxies = [] }: HttpParts): FastifyInstance {
  const options = {
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionTimeout: limits.connectMs,
    http: { headersTimeout: limits.requestMs, connectionsCheckingInterval: limits.checkMs, maxHeaderSize: 16_384 },
    routerOptions: { maxParamLength: 500 },
    forceCloseConnections: true,
    bodyLimit: BODY_LIMIT,
    // A line for every look at the page would bury what matters.
    logController: new LogController({ disableRequestLogging: true }),
  };
  const server: FastifyInstance =
    logger === undefined
      ? fastify({ ...options, logger: false })
      : (fastify({ ...options, loggerInstance: logger }) as unknown as FastifyInstance);
  server.server.maxConnections = limits.connections;
  // Without a listener Node closes such a connection without an answer.
  server.server.on('connect', (_request, socket) => {
    socket.on('error', () => {}).end(NO_PROXY, () => socket.destroy());
  });
  server.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: unknown, text: string) => Object.fromEntries(new URLSearchParams(text)),
  );
  return server;
}
