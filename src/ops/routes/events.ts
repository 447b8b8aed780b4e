import type { FastifyInstance } from 'fastify';
import type { LiveEvent, LiveStatus } from '../live.ts';

/** Proxies close a connection without traffic. */
const BEAT_MS = 15_000;
const RETRY_MS = 2_000;
const MOST_LISTENERS = 200;
const MOST_UNREAD = 100_000;

/** Server-sent events: what changed on the page, as soon as it is known. */
export function addEventRoutes(server: FastifyInstance, live: LiveStatus): void {
  server.get<{ Querystring: { since?: string } }>('/api/events', async (request, reply) => {
    if (live.listeners >= MOST_LISTENERS) {
      reply.header('retry-after', 30);
      return reply.code(503).send({ error: { code: 'too_many_listeners', message: 'Too many pages are open.' } });
    }
    const { raw } = reply;
    const headers = reply.getHeaders() as Record<string, string>;
    reply.hijack();
    raw.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // nginx would hold events back.
      'x-accel-buffering': 'no',
    });
    raw.write(`retry: ${RETRY_MS}\n\n`);
    const send = ({ name, id }: LiveEvent) => {
      // A client that reads nothing would be remembered in memory, event by event.
      if (raw.writableLength > MOST_UNREAD) return void raw.destroy();
      raw.write(`event: ${name}\nid: ${id}\ndata: {}\n\n`);
    };
    // A browser that reconnects sends its last event; a new page sends the version it was made from.
    const last = request.headers['last-event-id'];
    const stop = live.subscribe(send, typeof last === 'string' && last !== '' ? last : request.query.since);
    const beat = setInterval(() => raw.write(': still here\n\n'), BEAT_MS);
    raw.on('close', () => {
      clearInterval(beat);
      stop();
    });
    return reply;
  });
}
