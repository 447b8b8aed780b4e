import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { wantsHtml } from '../guard/gate.ts';
import type { LiveStatus } from '../live.ts';
import type { OpsParts } from '../parts.ts';
import { streamPath } from '../view/format.ts';
import { parsed } from './replies.ts';

const body = z
  .object({
    pass: z.enum(['backfill', 'incremental', 'reconcile', 'count']).default('incremental'),
    repair: z.enum(['yes', 'no']).default('no'),
  })
  .prefault({});

/** The actions on streams. The gate requires the token. */
export function addActionRoutes(server: FastifyInstance, { prisma, control }: OpsParts, live: LiveStatus): void {
  if (control === undefined) return;
  server.post<{ Params: { connection: string; stream: string; action: string } }>(
    '/api/streams/:connection/:stream/:action',
    async (request, reply) => {
      const { connection, stream, action } = request.params;
      const act = Object.hasOwn(control, action) ? control[action] : undefined;
      if (act === undefined) return reply.callNotFound();
      const key = { connectionId: connection, stream };
      const found = await prisma.syncStream.findFirst({ where: { connection_id: connection, stream, enabled: true } });
      if (found === null) return reply.callNotFound();
      const { pass, repair } = parsed(body, request.body ?? undefined);
      const message = await act(key, { pass, repair: repair === 'yes' });
      request.log.info(
        { address: request.ip, connection, stream, action, ...(action === 'trigger' && { pass }) },
        'asked for on the status page',
      );
      await live.refresh();
      if (wantsHtml(request)) return reply.redirect(`/streams/${streamPath(connection, stream)}`, 303);
      return reply.code(202).send({ connection, stream, action, message });
    },
  );
}
