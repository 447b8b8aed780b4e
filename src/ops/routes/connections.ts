import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { ConfigError } from '../../errors.ts';
import { STATUS_VERSION } from '../status-document.ts';

type Mapping = Readonly<Record<string, unknown>>;

/** The accounts that the database keeps. @throws ConfigError, ConnectionError */
export interface KeptAccounts {
  list(): Promise<readonly object[]>;
  /** Returns its id. */
  add(given: Mapping): Promise<string>;
  edit(id: string, changes: Mapping): Promise<void>;
  /** Returns the streams whose rows stay. */
  remove(id: string): Promise<readonly string[]>;
}

/** Adds, changes and removes accounts; the body is an entry of leadmirror.yaml, secrets among it, which no answer and no log line repeats. */
export function addConnectionRoutes(server: FastifyInstance, accounts: KeptAccounts): void {
  const path = '/api/connections';

  server.get(path, async () => ({ version: STATUS_VERSION, connections: await accounts.list() }));

  server.post(path, async (request, reply) => {
    const body = entry.safeParse(request.body).data;
    if (body === undefined) return refuse(reply, NO_ENTRY);
    return answer(reply, async () => {
      const id = await accounts.add(body);
      request.log.info({ address: request.ip, connection: id }, 'an account was added');
      return reply.code(201).send({ added: id });
    });
  });

  server.patch<{ Params: { id: string } }>(`${path}/:id`, async (request, reply) => {
    const { params } = request;
    const body = entry.safeParse(request.body).data ?? {};
    if (Object.keys(body).length === 0) return refuse(reply, NO_ENTRY);
    return answer(reply, async () => {
      await accounts.edit(params.id, body);
      request.log.info({ address: request.ip, connection: params.id }, 'an account was changed');
      return reply.send({ edited: params.id });
    });
  });

  server.delete<{ Params: { id: string } }>(`${path}/:id`, async (request, reply) =>
    answer(reply, async () => {
      const kept = await accounts.remove(request.params.id);
      request.log.info({ address: request.ip, connection: request.params.id }, 'an account was removed');
      return reply.send({ removed: request.params.id, kept });
    }),
  );
}

const entry = z.record(z.string(), z.unknown());

const NO_ENTRY = 'The body has to be a JSON object with the keys of an entry of leadmirror.yaml.';

const refuse = (reply: FastifyReply, message: string): FastifyReply =>
  reply.code(400).send({ error: { code: 'bad_request', message } });

/** What is wrong with the settings is the caller's to correct. */
async function answer(reply: FastifyReply, work: () => Promise<FastifyReply>): Promise<FastifyReply> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { code, message, problems } = error;
    return reply.code(400).send({ error: { code, message, problems } });
  }
}
