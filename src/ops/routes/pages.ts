import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { DatabaseError } from '../../errors.ts';
import { listQuarantineReasons } from '../../store/engine/quarantine.ts';
import { databaseError } from '../../store/faults.ts';
import { findRuns, readHours } from '../../store/reports/run-history.ts';
import type { StreamState } from '../../store/reports/status.ts';
import type { AssetUrls } from '../assets.ts';
import type { Gate } from '../guard/gate.ts';
import type { LiveStatus } from '../live.ts';
import type { OpsParts } from '../parts.ts';
import { toRunFacts } from '../read-status.ts';
import { STATES_BY_URGENCY } from '../status-document.ts';
import { type LayoutOptions, layout } from '../view/layout.ts';
import { AWAY, awayPage, headline, overview, toneOf } from '../view/overview.ts';
import { streamPage } from '../view/stream-page.ts';
import { sendHtml } from './replies.ts';

const RUNS_OF_STREAM = 50;
const REASONS = 10;

export type ShowPage = ReturnType<typeof createShowPage>;

/** Sends a page with what surrounds it for who asks. */
export const createShowPage =
  ({ queue }: OpsParts, { gate, assets }: { readonly gate: Gate; readonly assets: AssetUrls }) =>
  async (request: FastifyRequest, reply: FastifyReply, page: Omit<LayoutOptions, 'assets'>): Promise<FastifyReply> => {
    const isSignedIn = await gate.isSignedIn(request);
    const hasQueues = gate.canChange && (queue?.lanes?.() ?? []).length > 0;
    return sendHtml(reply, layout({ assets, isSignedIn, hasQueues, ...page }));
  };

/** What people look at. Complete without the script, which only keeps it up to date. */
export function addPages(
  server: FastifyInstance,
  { prisma, control }: OpsParts,
  { live, show, canChange }: { readonly live: LiveStatus; readonly show: ShowPage; readonly canChange: boolean },
): void {
  const options = () => ({
    nowMs: Date.now(),
    canChange: canChange && control !== undefined,
    canCancel: control?.cancel !== undefined,
  });

  server.get<{ Querystring: Record<string, string | undefined> }>('/', async (request, reply) => {
    const { status, away } = await live.lookOrRemember();
    const { q = '', state, page } = request.query;
    const query = {
      q: String(q),
      state: STATES_BY_URGENCY.find((one) => one === state) ?? (null as StreamState | null),
      page: Number.parseInt(page ?? '1', 10) || 1,
    };
    if (away !== null) {
      const fault = databaseError(away.error, 'of the mirror');
      if (!(fault instanceof DatabaseError)) throw away.error;
      reply.code(503);
      const known = overview(status, query, { ...options(), canChange: false });
      const main = awayPage(fault.message, { since: away.since, knownAt: status.generated_at, known });
      return show(request, reply, {
        tab: 'streams',
        title: `${AWAY} · leadmirror`,
        tone: 'bad',
        main,
        live: live.version,
      });
    }
    const main = overview(status, query, options());
    const title = `${headline(status)} · leadmirror`;
    return show(request, reply, { tab: 'streams', title, tone: toneOf(status), main, live: live.version });
  });

  server.get<{ Params: { connection: string; stream: string } }>(
    '/streams/:connection/:stream',
    async (request, reply) => {
      const { connection, stream: name } = request.params;
      const status = await live.current();
      const stream = status.streams.find((one) => one.connection_id === connection && one.stream === name);
      if (stream === undefined) return reply.callNotFound();
      const key = { connectionId: connection, stream: name };
      const [hours, runs, quarantine] = await Promise.all([
        readHours(prisma, key),
        findRuns(prisma, { ...key, limit: RUNS_OF_STREAM }),
        listQuarantineReasons(prisma, { ...key, limit: REASONS }),
      ]);
      const main = streamPage({ stream, hours, runs: runs.map(toRunFacts), quarantine }, options());
      const title = `${stream.state}: ${name} · leadmirror`;
      return show(request, reply, { tab: 'streams', title, main, live: live.version });
    },
  );
}
