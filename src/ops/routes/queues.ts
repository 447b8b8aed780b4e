import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyInstance } from 'fastify';
import { BOARD_POLICY } from '../guard/headers.ts';
import type { OpsQueue } from '../parts.ts';

const BASE = '/queues';

/** Bull Board, for looking into the queues of both lanes. Behind the token like every change, and only with one. */
export async function addQueueBoard(server: FastifyInstance, { lanes }: OpsQueue): Promise<void> {
  if (lanes === undefined) return;
  const adapter = new FastifyAdapter();
  let shown = lanes();
  const adaptersOf = (queues: typeof shown) => queues.map((queue) => new BullMQAdapter(queue));
  const bullBoard = createBullBoard({
    queues: adaptersOf(shown),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'leadmirror', miscLinks: [{ text: 'Status page', url: '/' }] } },
  });
  adapter.setBasePath(BASE);
  await server.register(
    async (board) => {
      board.addHook('onRequest', async (_request, reply) => {
        const now = lanes();
        if (now.some((queue, index) => queue !== shown[index])) {
          bullBoard.replaceQueues(adaptersOf(now));
          shown = now;
        }
        await reply.helmet({ contentSecurityPolicy: { useDefaults: false, directives: BOARD_POLICY } });
      });
      board.addHook('onResponse', async (request, { statusCode }) => {
        if (request.method === 'GET' || request.method === 'HEAD') return;
        const [path] = request.url.split('?', 1);
        request.log.info({ address: request.ip, method: request.method, path, statusCode }, 'asked for in the queues');
      });
      // Its page asks a font server on the internet for its typeface; nothing here leaves this machine.
      board.addHook('onSend', async (_request, _reply, payload) =>
        typeof payload === 'string' ? payload.replace(/<link href="https:\/\/fonts\.[^>]*>/g, '') : payload,
      );
      await board.register(adapter.registerPlugin());
    },
    { prefix: BASE },
  );
}
