import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { ConfigError, DatabaseError, LeadmirrorError } from '../../errors.ts';
import { databaseError } from '../../store/faults.ts';
import type { AssetUrls } from '../assets.ts';
import { wantsHtml } from '../guard/gate.ts';
import type { Html } from '../view/html.ts';
import { messagePage } from '../view/message-page.ts';

export const sendHtml = (reply: FastifyReply, page: Html): FastifyReply =>
  reply.type('text/html; charset=utf-8').send(page.text);

/** What was asked for makes no sense; the message explains why. */
export class BadRequest extends Error {
  readonly statusCode: number;

  constructor(message: string, statusCode = 400) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** @throws BadRequest */
export function parsed<T>(schema: z.ZodType<T>, value: unknown): T {
  const { data, error } = schema.safeParse(value);
  if (error !== undefined) throw new BadRequest(z.prettifyError(error));
  return data;
}

/** Text that no name or number of ours can be: NUL, halves of characters, percent signs that stand for nothing. */
function isUnreadable(text: string): boolean {
  try {
    const decoded = decodeURIComponent(text);
    return decoded.includes('\0') || !decoded.isWellFormed();
  } catch {
    return true;
  }
}

const hasUnreadableText = (value: unknown): boolean =>
  typeof value === 'object' && value !== null
    ? Object.values(value).some((text) => typeof text === 'string' && (text.includes('\0') || !text.isWellFormed()))
    : false;

const MOST_CHARACTERS = 2_000;

/** Addresses and forms that cannot be meant are refused before any route sees them. */
export function refuseUnreadable(server: FastifyInstance): void {
  server.addHook('onRequest', async (request) => {
    if (request.url.length > MOST_CHARACTERS) throw new BadRequest('The address is too long.', 414);
    if (isUnreadable(request.url)) throw new BadRequest('The address holds characters that cannot be read.');
  });
  server.addHook('preValidation', async (request) => {
    if (hasUnreadableText(request.body)) throw new BadRequest('The form holds characters that cannot be read.');
  });
}

const STATUSES: Readonly<Record<string, number>> = {
  config_invalid: 400,
  stream_paused: 409,
  consumer_unknown: 404,
  consumer_behind: 410,
  consumer_restored: 410,
  connection_exists: 409,
  connection_changed: 409,
  connection_busy: 409,
  connection_unknown: 404,
};

/** Returns errors as a message and a code; an unexpected one goes to the log only. */
export function handleErrors(server: FastifyInstance, assets: AssetUrls): void {
  server.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    const named = databaseError(error, 'of the mirror');
    const known = named instanceof LeadmirrorError ? named : null;
    const status = known === null ? (error.statusCode ?? 500) : (STATUSES[known.code] ?? 503);
    const isTheirs = known === null && status < 500;
    if (known === null && !isTheirs) request.log.error({ err: error }, 'the page could not be made');
    const message = known?.message ?? (isTheirs ? error.message : NOT_MADE);
    const code = known?.code ?? (isTheirs ? 'bad_request' : 'bug');
    reply.code(status);
    const { problems } = known instanceof ConfigError ? known : {};
    if (!wantsHtml(request)) return reply.send({ error: { code, message, problems } });
    const title = known instanceof DatabaseError ? 'The database does not answer' : 'That did not work';
    return sendHtml(reply, messagePage(assets, title, message));
  });

  server.setNotFoundHandler((request, reply) => {
    reply.code(404);
    if (!wantsHtml(request)) return reply.send({ error: { code: 'not_found', message: 'There is nothing here.' } });
    const text = 'The address is wrong, or the stream is no longer configured.';
    return sendHtml(reply, messagePage(assets, 'There is nothing here', text));
  });
}

const NOT_MADE = 'This could not be done; the log of this process shows why.';
