import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

const NONE = ["'none'"];
const SELF = ["'self'"];

/** Everything comes from this server, nothing is inline, and framing is refused. */
const PAGE_POLICY = {
  defaultSrc: NONE,
  scriptSrc: SELF,
  styleSrc: SELF,
  imgSrc: SELF,
  connectSrc: SELF,
  formAction: SELF,
  baseUri: NONE,
  frameAncestors: NONE,
};

/** Bull Board's own page: a base element, styles set by its script. Still nothing from any other host. */
export const BOARD_POLICY = {
  ...PAGE_POLICY,
  styleSrc: ["'self'", "'unsafe-inline'"],
  imgSrc: ["'self'", 'data:'],
  fontSrc: SELF,
  baseUri: SELF,
};

export async function addSecurityHeaders(server: FastifyInstance): Promise<void> {
  await server.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: PAGE_POLICY },
    // Not `no-referrer`: then a browser sends `Origin: null` with its forms, and on plain http nothing else.
    referrerPolicy: { policy: 'same-origin' },
    frameguard: { action: 'deny' },
    // Only the proxy in front knows whether the whole host is on https.
    strictTransportSecurity: false,
  });
  server.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
}
