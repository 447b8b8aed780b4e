import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { STATUS_VERSION } from '../status-document.ts';
import { BadRequest } from './replies.ts';

type Mapping = Readonly<Record<string, unknown>>;

/** The accounts that the database keeps. @throws ConfigError, ConnectionError */
export interface KeptAccounts {
  list(): Promise<readonly object[]>;
  add(given: Mapping): Promise<string>;
  edit(id: string, changes: Mapping): Promise<void>;
  /** Returns the streams whose rows stay. */
  remove(id: string): Promise<readonly string[]>;
}

/** Adds, changes and removes accounts; the body is an entry of leadmirror.yaml, secrets among it, which no answer and no log line repeats. */
export function addConnectionRoutes(server: FastifyInstance, accounts: KeptAccounts): void {
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

  server.delete<{ Params: { id: string } }>(`${path}/:id`, async (request) => {
    const { id } = request.params;
    const kept = await accounts.remove(id);
    log(request, id, 'removed');
    return { removed: id, kept };
  });
}

const entry = z.record(z.string(), z.unknown());

/** @throws BadRequest */
function entryIn({ body }: Pick<FastifyRequest, 'body'>): Mapping {
  const { data = {} } = entry.safeParse(body);
  if (Object.keys(data).length > 0) return data;
  throw new BadRequest('The body has to be a JSON object with the keys of an entry of leadmirror.yaml.');
}
