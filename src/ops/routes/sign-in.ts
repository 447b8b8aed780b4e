import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { AssetUrls } from '../assets.ts';
import { type Gate, tooMany } from '../guard/gate.ts';
import { signInPage } from '../view/message-page.ts';
import { sendHtml } from './replies.ts';

const form = z.object({ token: z.string().max(1_000) });

/** A person gives the token once; from then on a cookie that no script can read stands for it. */
export function addSignInRoutes(server: FastifyInstance, gate: Gate, assets: AssetUrls): void {
  if (!gate.canChange) return;
  server.get('/sign-in', async (request, reply) => {
    if (await gate.isSignedIn(request)) return reply.redirect('/', 303);
    return sendHtml(reply, signInPage(assets));
  });

  server.post('/sign-in', async (request, reply) => {
    const { data } = form.safeParse(request.body);
    const result = gate.tryToken(request, data?.token ?? '');
    if (result === 'right') {
      gate.signIn(request, reply);
      return reply.redirect('/', 303);
    }
    if (result !== 'wrong') reply.header('retry-after', result.waitSeconds);
    const problem = result === 'wrong' ? 'That is not the token.' : tooMany(result.waitSeconds);
    reply.code(result === 'wrong' ? 401 : 429);
    return sendHtml(reply, signInPage(assets, problem));
  });

  server.post('/sign-out', async (request, reply) => {
    await gate.signOut(request, reply);
    return reply.redirect('/sign-in', 303);
  });
}
