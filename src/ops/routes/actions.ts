import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { StreamKey } from '../../store/engine/streams.ts';
import { wantsHtml } from '../guard/gate.ts';
import type { LiveStatus } from '../live.ts';
import type { Control, OpsParts } from '../parts.ts';
import { streamPath } from '../view/format.ts';
import { badRequest } from './replies.ts';

const body = z
  .object({
    pass: z.enum(['backfill', 'incremental', 'reconcile', 'count']).default('incremental'),
    repair: z.enum(['yes', 'no']).default('no'),
  })
  .default({ pass: 'incremental', repair: 'no' });

type Act = (control: Control, key: StreamKey, options: z.infer<typeof body>) => Promise<string> | undefined;

const ACTIONS: Readonly<Record<string, Act>> = {
  trigger: (control, key, { pass }) => control.trigger(key, pass),
  pause: (control, key) => control.pause(key),
  resume: (control, key) => control.resume(key),
  resync: (control, key) => control.resync(key),
  'accept-deletions': (control, key) => control.acceptDeletions(key),
  verify: (control, key, { repair }) => control.verify(key, repair === 'yes'),
  'retry-quarantine': (control, key) => control.retryQuarantine(key),
  cancel: (control, key) => control.cancel?.(key),
};

/** The actions on streams. The gate requires the token. */
export function addActionRoutes(server: FastifyInstance, { prisma, control }: OpsParts, live: LiveStatus): void {
  if (control === undefined) return;
  server.post<{ Params: { connection: string; stream: string; action: string } }>(
    '/api/streams/:connection/:stream/:action',
    async (request, reply) => {
      const { connection, stream, action } = request.params;
      const act = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
      if (act === undefined) return reply.callNotFound();
      const key = { connectionId: connection, stream };
      const found = await prisma.syncStream.findFirst({ where: { connection_id: connection, stream, enabled: true } });
      if (found === null) return reply.callNotFound();
      const options = body.safeParse(request.body ?? undefined);
      if (!options.success) return badRequest(reply, options.error);
      const message = await act(control, key, options.data);
      if (message === undefined) return reply.callNotFound();
      request.log.info(
        { address: request.ip, connection, stream, action, ...(action === 'trigger' && { pass: options.data.pass }) },
        'asked for on the status page',
      );
      await live.refresh();
      if (wantsHtml(request)) return reply.redirect(`/streams/${streamPath(connection, stream)}`, 303);
      return reply.code(202).send({ connection, stream, action, message });
    },
  );
}
