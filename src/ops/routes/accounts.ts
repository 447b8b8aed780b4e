import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ConfigError, LeadmirrorError } from '../../errors.ts';
import type { KeptAccounts } from '../parts.ts';
import { accountsPage, checkPage, settingText } from '../view/accounts-page.ts';
import type { ShowPage } from './pages.ts';

const fields = z.record(z.string(), z.string()).catch({});
type Given = z.infer<typeof fields>;
interface OfAccount {
  Params: { connection: string };
}

/** Forms that add, change, remove and check accounts, by the rules of `/api/connections`. */
export function addAccountPages(server: FastifyInstance, accounts: KeptAccounts, show: ShowPage): void {
  const showChecks = async (request: FastifyRequest, reply: FastifyReply, id: string, done?: string) => {
    const checks = await accounts.check(id);
    if (checks === null && done === undefined) return reply.callNotFound();
    const main = checkPage({ id, checks: checks ?? [], done, isKept: accounts.isKept(id) || done !== undefined });
    return show(request, reply, { tab: 'accounts', title: `Check of ${id}`, main });
  };
  server.post<OfAccount>('/accounts/:connection/check', (request, reply) =>
    showChecks(request, reply, request.params.connection),
  );
  if (!accounts.canKeep) return;

  const showForms = async (
    request: FastifyRequest,
    reply: FastifyReply,
    view: {
      readonly opened?: string;
      readonly given?: Given;
      readonly done?: string;
      readonly problems?: readonly string[];
    },
  ) => {
    const main = accountsPage({ kept: await accounts.list(), forms: accounts.forms, ...view });
    return show(request, reply, { tab: 'accounts', title: 'Accounts', main });
  };
  /** What is refused is shown above the form, which keeps all but the secrets that were typed. */
  const attempt = async (
    [request, reply]: [FastifyRequest, FastifyReply],
    { opened, given = {}, work }: { opened: string; given?: Given; work: () => Promise<unknown> },
  ) => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof LeadmirrorError)) throw error;
      const problems =
        error instanceof ConfigError
          ? error.problems.map(({ variable, message }) => `${variable} ${message}`)
          : [error.message];
      reply.code(400);
      return showForms(request, reply, { opened, given, problems });
    }
  };

  server.get<{ Querystring: { edit?: string } }>('/accounts', (request, reply) =>
    showForms(request, reply, { opened: String(request.query.edit ?? '') }),
  );

  server.post('/accounts', (request, reply) => {
    const given = fields.parse(request.body);
    const work = async () => {
      const id = await accounts.add(given);
      request.log.info({ address: request.ip, connection: id }, 'an account was added');
      return showChecks(request, reply, id, 'is added. Its first full read begins by itself.');
    };
    return attempt([request, reply], { opened: given.source ?? '', given, work });
  });

  server.post<OfAccount>('/accounts/:connection', (request, reply) => {
    const id = request.params.connection;
    const given = fields.parse(request.body);
    const work = async () => {
      const before = (await accounts.list()).find((one) => one.id === id)?.settings ?? {};
      // An empty field of what is encrypted stands for: as it is.
      const hidden = accounts.forms.flatMap(({ privateFields }) => privateFields);
      const changes = Object.entries(given).filter(([key, value]) =>
        hidden.includes(key) ? value !== '' : value !== settingText(before[key]),
      );
      await accounts.edit(id, Object.fromEntries(changes));
      request.log.info({ address: request.ip, connection: id }, 'an account was changed');
      return showChecks(request, reply, id, 'is changed. Running processes take it up by themselves.');
    };
    return attempt([request, reply], { opened: id, given, work });
  });

  server.post<OfAccount>('/accounts/:connection/remove', (request, reply) => {
    const id = request.params.connection;
    const work = async () => {
      const kept = await accounts.remove(id);
      request.log.info({ address: request.ip, connection: id }, 'an account was removed');
      const stays = kept.length === 0 ? 'Nothing of it was mirrored.' : `Its rows and runs stay: ${kept.join(', ')}.`;
      return showForms(request, reply, { done: `${id} is removed. ${stays}` });
    };
    return attempt([request, reply], { opened: id, work });
  });
}
