import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DatabaseError } from '../../errors.ts';
import { listOpenQuarantine, listQuarantineReasons } from '../../store/engine/quarantine.ts';
import { databaseError } from '../../store/faults.ts';
import { readRelations } from '../../store/relations.ts';
import { findRuns } from '../../store/reports/run-history.ts';
import { readHours } from '../../store/reports/run-hours.ts';
import type { StreamState } from '../../store/reports/status.ts';
import type { AssetUrls } from '../assets.ts';
import { findOutage } from '../causes.ts';
import type { Gate } from '../guard/gate.ts';
import type { LiveStatus } from '../live.ts';
import type { OpsParts } from '../parts.ts';
import { toRunFacts } from '../read-status.ts';
import { readRecipes } from '../recipes.ts';
import { STATES_BY_URGENCY } from '../status-document.ts';
import { dataPage } from '../view/data-page.ts';
import { decidePage } from '../view/decide-page.ts';
import { isOrder } from '../view/fleet.ts';
import { type LayoutOptions, layout } from '../view/layout.ts';
import { AWAY, accountPage, awayPage, headline, overview, toneOf } from '../view/overview.ts';
import { OUTCOMES, runsPage } from '../view/runs-page.ts';
import { streamPage } from '../view/stream-page.ts';
import { sendHtml } from './replies.ts';

const RUNS_OF_STREAM = 50;
const RUNS_OF_ACCOUNT = 20;
const RUNS_PER_PAGE = 100;
const RECORDS = 500;
const REASONS = 10;
const DAY_MS = 86_400_000;

/** What makes no sense, or is left empty, filters nothing. */
const given = z.string().min(1).optional().catch(undefined);
const day = z.iso.date().optional().catch(undefined);
const runsQuery = z.object({
  ...{ connection: given, stream: given, from: day, to: day },
  outcome: z.enum(OUTCOMES).optional().catch(undefined),
  before: z.coerce
    .bigint()
    .positive()
    .lt(2n ** 63n)
    .optional()
    .catch(undefined),
});

export type ShowPage = ReturnType<typeof createShowPage>;

/** Sends a page with what surrounds it for who asks. */
export const createShowPage =
  ({ queue, accounts }: OpsParts, { gate, assets }: { readonly gate: Gate; readonly assets: AssetUrls }) =>
  async (request: FastifyRequest, reply: FastifyReply, page: Omit<LayoutOptions, 'assets'>): Promise<FastifyReply> => {
    const isSignedIn = await gate.isSignedIn(request);
    const hasQueues = gate.canChange && (queue?.lanes?.() ?? []).length > 0;
    const hasAccounts = gate.canChange && accounts?.canKeep === true;
    return sendHtml(reply, layout({ assets, isSignedIn, hasQueues, hasAccounts, ...page }));
  };

/** What people look at. Complete without the script, which only keeps it up to date. */
export function addPages(
  server: FastifyInstance,
  { prisma, control, accounts }: OpsParts,
  { live, show, canChange }: { readonly live: LiveStatus; readonly show: ShowPage; readonly canChange: boolean },
): void {
  /** A page that changes by itself. */
  const showLive: ShowPage = (request, reply, page) => show(request, reply, { live: live.version, ...page });
  const options = () => ({
    nowMs: Date.now(),
    canChange: canChange && control !== undefined,
    accounts: canChange ? accounts : undefined,
  });

  server.get<{ Querystring: Record<string, string | undefined> }>('/', async (request, reply) => {
    const { status, away } = await live.lookOrRemember();
    const { q = '', state, page, sort } = request.query;
    const query = {
      q: String(q),
      state: STATES_BY_URGENCY.find((one) => one === state) ?? (null as StreamState | null),
      page: Number.parseInt(page ?? '1', 10) || 1,
      order: isOrder(sort) ? sort : 'state',
    };
    if (away !== null) {
      const fault = databaseError(away.error, 'of the mirror');
      if (!(fault instanceof DatabaseError)) throw away.error;
      reply.code(503);
      const known = overview(status, query, { ...options(), canChange: false, accounts: undefined });
      const main = awayPage(fault.message, { since: away.since, knownAt: status.generated_at, known });
      return showLive(request, reply, { tab: 'streams', title: AWAY, tone: 'bad', main });
    }
    const main = overview(status, query, options());
    const facts = { title: headline(status), tone: toneOf(status), outage: findOutage(status), main };
    return showLive(request, reply, { tab: 'streams', ...facts });
  });

  server.get<{ Params: { connection: string } }>('/accounts/:connection', async (request, reply) => {
    const { connection } = request.params;
    const [status, runs] = await Promise.all([
      live.current(),
      findRuns(prisma, { connectionId: connection, limit: RUNS_OF_ACCOUNT }),
    ]);
    const main = accountPage(status, connection, runs.map(toRunFacts), options());
    if (main === null) return reply.callNotFound();
    const facts = { title: connection, tone: toneOf(status), outage: findOutage(status), main };
    return showLive(request, reply, { tab: 'streams', ...facts });
  });

  server.get('/runs', async (request, reply) => {
    const { before, ...query } = runsQuery.parse(request.query);
    const { connection: connectionId, stream, outcome, from, to } = query;
    const { connections, streams } = await live.current();
    const filter = {
      ...{ connectionId, stream, limit: RUNS_PER_PAGE },
      from: from === undefined ? undefined : new Date(from),
      until: to === undefined ? undefined : new Date(Date.parse(to) + DAY_MS),
    };
    const areFailuresFirst = outcome === undefined && before === undefined;
    const [failures, runs] = await Promise.all([
      areFailuresFirst ? findRuns(prisma, { ...filter, outcome: ['failed', 'partial'] }) : null,
      findRuns(prisma, { ...filter, outcome, before }),
    ]);
    const page = {
      query,
      accounts: connections.map(({ id }) => id),
      streams: [...new Set(streams.map((one) => one.stream))],
      failures: failures?.map(toRunFacts) ?? null,
      runs: runs.map(toRunFacts),
      before: runs.length < RUNS_PER_PAGE ? null : Number(runs.at(-1)?.id),
    };
    const main = runsPage(page, Date.now());
    return showLive(request, reply, { tab: 'runs', title: 'Runs', main });
  });

  server.get('/decide', async (request, reply) => {
    const [{ streams }, records] = await Promise.all([live.current(), listOpenQuarantine(prisma, { limit: RECORDS })]);
    const main = decidePage({ streams, records }, options());
    return showLive(request, reply, { tab: 'decide', title: 'To decide', main });
  });

  const recipes = readRecipes();
  server.get('/data', async (request, reply) => {
    const { streams } = await live.current();
    const mirrored = new Set(streams.map(({ stream }) => stream.split('.', 1)[0] ?? ''));
    const all = await readRelations(prisma, ['reporting', ...mirrored, 'sync']);
    const tables = all.filter(
      ({ name, kind, isPartition }) => kind !== 'materialized view' && !isPartition && !name.startsWith('_prisma'),
    );
    const main = dataPage({ tables, streams, recipes }, Date.now());
    return show(request, reply, { tab: 'data', title: 'Data', main });
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
      const outage = findOutage(status);
      const label = status.connections.find(({ id }) => id === connection)?.label;
      const main = streamPage(
        { stream, outage, hours, runs: runs.map(toRunFacts), quarantine },
        { ...options(), label },
      );
      return showLive(request, reply, { tab: 'streams', title: `${stream.state}: ${name}`, main, outage });
    },
  );
}
