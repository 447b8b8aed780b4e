import fastify, { type FastifyInstance, LogController } from 'fastify';
import { serveAssets } from './assets.ts';
import { fragmentsOf } from './fragments.ts';
import { createGate } from './guard/gate.ts';
import { addSecurityHeaders } from './guard/headers.ts';
import { LiveStatus } from './live.ts';
import type { OpsParts } from './parts.ts';
import { StatusReader } from './read-status.ts';
import { addActionRoutes } from './routes/actions.ts';
import { addApiRoutes } from './routes/api.ts';
import { handleErrors } from './routes/errors.ts';
import { addEventRoutes } from './routes/events.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addPages } from './routes/pages.ts';
import { addQueueBoard } from './routes/queues.ts';
import { addReportRoutes } from './routes/report.ts';
import { addSignInRoutes } from './routes/sign-in.ts';

export type { Control, NextRun, OpsConnection, OpsParts, OpsPlugin, OpsQueue } from './parts.ts';

export interface OpsServer {
  readonly url: string;
  close(): Promise<void>;
}

const POLL_MS = 2_000;
const BODY_LIMIT = 10_000;

/** The process's own HTTP side: is it up, is it ready, what state are the streams in, and what a person may do about it. */
export async function startOpsServer(
  parts: OpsParts,
  address: { readonly host: string; readonly port: number },
): Promise<OpsServer> {
  const server = createOpsServer({ host: address.host, ...parts });
  // A copy, because fastify writes into the object it is given.
  const url = await server.listen({ ...address });
  return { url, close: () => server.close() };
}

/** In the order in which a request meets them: headers, then the gate, then the routes. */
export function createOpsServer(parts: OpsParts): FastifyInstance {
  const { token = null, queue, control, plugins = [] } = parts;
  const server = createHttpServer(parts);
  const reader = new StatusReader(parts);
  const live = new LiveStatus({
    read: () => reader.read(),
    fragmentsOf: (status) =>
      fragmentsOf(status, {
        canChange: token !== null && control !== undefined,
        canCancel: control?.cancel !== undefined,
      }),
    pollMs: parts.pollMs ?? POLL_MS,
  });
  server.addHook('preClose', async () => live.close());
  server.register(async (routes) => {
    await addSecurityHeaders(routes);
    const gate = createGate(routes, { token, host: parts.host });
    const assets = serveAssets(routes);
    handleErrors(routes, assets);
    addHealthRoutes(routes, parts);
    addApiRoutes(routes, parts, live);
    addEventRoutes(routes, live);
    addActionRoutes(routes, parts, live);
    addSignInRoutes(routes, gate, assets);
    addPages(routes, parts, { live, gate, assets });
    addReportRoutes(routes, parts, { gate, assets });
    if (queue !== undefined && gate.canChange) await addQueueBoard(routes, queue);
    for (const plugin of plugins) await plugin(routes);
  });
  return server;
}

function createHttpServer({ logger }: OpsParts): FastifyInstance {
  const options = {
    forceCloseConnections: true,
    bodyLimit: BODY_LIMIT,
    // A line for every look at the page would bury what matters.
    logController: new LogController({ disableRequestLogging: true }),
  };
  const server: FastifyInstance =
    logger === undefined
      ? fastify({ ...options, logger: false })
      : (fastify({ ...options, loggerInstance: logger }) as unknown as FastifyInstance);
  server.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: unknown, text: string) => Object.fromEntries(new URLSearchParams(text)),
  );
  return server;
}
