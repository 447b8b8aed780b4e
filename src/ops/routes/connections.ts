import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { KeptAccounts } from '../parts.ts';
import { STATUS_VERSION } from '../status-document.ts';
import { addAccountPages } from './accounts.ts';
import type { ShowPage } from './pages.ts';
import { BadRequest } from './replies.ts';

/** Adds, changes and removes accounts; no answer and no log line repeats the secrets of a body. */
export function addConnectionRoutes(server: FastifyInstance, accounts: KeptAccounts, show: ShowPage): void {
  addAccountPages(server, accounts, show);
  const path = '/api/connections';
  const log = ({ log, ip }: Pick<FastifyRequest, 'log' | 'ip'>, id: string, what: string) =>
    log.info({ address: ip, connection: id }, `an account was ${what}`);

  server.get(path, async () => ({ version: STATUS_VERSION, connections: await accounts.list() }));

  server.post(path, async (request, reply) => {
    const id = await accounts.add(entryIn(request));
    log(request, id, 'added');
    return reply.code(201).send({ added: id });
  });

  server.patch<{ Params: { id: string } }>(`${path}/:id`, async (request) => {
    const { id } = request.params;
    await accounts.edit(id, entryIn(request));
    log(request, id, 'changed');
    return { edited: id };
  });

  server.post<{ Params: { id: string } }>(`${path}/:id/check`, async (request, reply) => {
    const checks = await accounts.check(request.params.id);
    return checks === null ? reply.callNotFound() : { ok: checks.every(({ ok }) => ok), checks };
  });

  server.delete<{ Params: { id: string } }>(`${path}/:id`, async (request) => {
    const { id } = request.params;
    const kept = await accounts.remove(id);
    log(request, id, 'removed');
    return { removed: id, kept };
  });
}

const entry = z.record(z.string(), z.unknown());

/** @throws BadRequest */
function entryIn({ body }: Pick<FastifyRequest, 'body'>): Record<string, unknown> {
  const { data = {} } = entry.safeParse(body);
  if (Object.keys(data).length > 0) return data;
  throw new BadRequest('The body has to be a JSON object with the keys of an entry of leadmirror.yaml.');
}
