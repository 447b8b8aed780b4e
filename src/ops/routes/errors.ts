import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { DatabaseError, LeadmirrorError } from '../../errors.ts';
import { wantsHtml } from '../guard/gate.ts';
import type { AssetUrls } from '../view/layout.ts';
import { messagePage } from '../view/message-page.ts';

export function badRequest(reply: FastifyReply, error: z.ZodError): FastifyReply {
  return reply.code(400).send({ error: { code: 'bad_request', message: z.prettifyError(error) } });
}

/** Errors in words for people and for scripts; what was not foreseen goes to the log and not to the reader. */
export function handleErrors(server: FastifyInstance, assets: AssetUrls): void {
  server.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const known = error instanceof LeadmirrorError ? error : null;
    const status = known === null ? (error.statusCode ?? 503) : known.code === 'stream_paused' ? 409 : 503;
    const isTheirs = known === null && status < 500;
    if (known === null && !isTheirs) request.log.error({ err: error }, 'the page could not be made');
    const message = known?.message ?? (isTheirs ? error.message : NO_ANSWER);
    const code = known?.code ?? (isTheirs ? 'bad_request' : 'no_answer');
    reply.code(status);
    if (!wantsHtml(request)) return reply.send({ error: { code, message } });
    const title =
      known instanceof DatabaseError || code === 'no_answer' ? 'The database does not answer' : 'That did not work';
    return reply.type('text/html; charset=utf-8').send(messagePage(assets, title, message).text);
  });

  server.setNotFoundHandler((request, reply) => {
    reply.code(404);
    if (!wantsHtml(request)) return reply.send({ error: { code: 'not_found', message: 'There is nothing here.' } });
    return reply
      .type('text/html; charset=utf-8')
      .send(
        messagePage(assets, 'There is nothing here', 'The address is wrong, or the stream is no longer configured.')
          .text,
      );
  });
}

const NO_ANSWER =
  'The mirror’s database could not be asked; the log of this process says why. Reload in a moment: leadmirror keeps trying.';
