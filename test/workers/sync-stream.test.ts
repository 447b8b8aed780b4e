/** What one job comes to, without a queue: what is done with it is asked of the job itself. */
import { afterEach, describe, expect, it } from '@jest/globals';
import { DelayedError } from 'bullmq';
import type { App } from '../../src/app.ts';
import { systemClock } from '../../src/clock.ts';
import { type DatabaseCode, DatabaseError } from '../../src/errors.ts';
import { CIRCUIT_FAILURES } from '../../src/http/budget.ts';
import { createDatabaseBudget } from '../../src/store/engine/budgets.ts';
import { Cooldown } from '../../workers/job-outcome.ts';
import type { QueuedRun } from '../../workers/queue-backend.ts';
import type { Queues } from '../../workers/queues.ts';
import { RUN, type RunJob } from '../../workers/run-job.ts';
import { createProcessor, type ProcessorParts } from '../../workers/sync-stream.ts';
import { setupMirror } from '../helpers/mirror.ts';
import { setupTilkee } from '../helpers/tilkee-mirror.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { createRecorder, StubUpstream } from './support.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

const queues = { kind: 'redis', lanes: { fast: {}, bulk: {} } } as Queues;

/** Works off one job of the app. `delayedMs`: it comes again after so long, without an attempt that counts; null when it does not. */
async function work(app: ProcessorParts['app'], data: RunJob, logger = unheardLogger()) {
  let delayedMs: number | null = null;
  const job = {
    ...{ id: '1', name: RUN, data, timestamp: Date.now() },
    updateData: async () => {},
    moveToDelayed: async (at: number) => {
      delayedMs = at - Date.now();
    },
  } as unknown as QueuedRun;
  const process = createProcessor({
    app,
    queues,
    logger,
    cooldown: new Cooldown(),
    signal: new AbortController().signal,
  });
  const error = await process(job, 'token').then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return { error, delayedMs: delayedMs as number | null };
}

const runOf = (
  { connections: [connection] }: Pick<App, 'connections'>,
  stream: string,
  trigger: RunJob['trigger'],
  pass: RunJob['pass'] = 'incremental',
): RunJob => ({ connection: connection?.id ?? '', stream, pass, trigger });

describe('a job whose run the database ended', () => {
  const connection = new StubUpstream('tiledesk:one', 1).connection();
  const [stream] = connection.streams;
  const appThatFails = (code: DatabaseCode) =>
    ({
      findStream: () => ({ connection, stream }),
      runPass: () => Promise.reject(new DatabaseError(code, 'database x: is not as it should be')),
      database: { place: 'x' },
      clock: systemClock,
    }) as unknown as App;
  const job = runOf({ connections: [connection] }, stream?.name ?? '', 'schedule');

  it.each(['database_unavailable', 'database_disk_full'] as const)(
    'is kept without counting an attempt while that passes by itself: %s',
    async (code) => {
      const { logger, lines } = createRecorder();
      const { error, delayedMs } = await work(appThatFails(code), job, logger);
      expect(error).toBeInstanceOf(DelayedError);
      expect(delayedMs).toBeGreaterThan(4_000);
      expect(delayedMs).toBeLessThanOrEqual(5_000);
      expect(lines).toEqual(['database x: is not as it should be; the run is tried again every 5 s']);
    },
  );

  it('is left to the attempts of the queue where waiting does not help', async () => {
    const { error, delayedMs } = await work(appThatFails('database_refused'), job);
    expect(error).toMatchObject({ code: 'database_refused' });
    expect(delayedMs).toBeNull();
  });
});

describe('a run that a person asked for', () => {
  const HOUR_MS = 3_600_000;

  it('probes an open circuit at once; one of the schedule waits', async () => {
    const setup = await setupMirror({ leads: 10, requests: 10 });
    opened.push(setup);
    const { app, sandbox } = setup;
    await setup.run('leads', 'backfill');
    const budget = createDatabaseBudget(app.database.prisma, app.connections[0]?.credential ?? '', 200);
    for (let failures = 0; failures < CIRCUIT_FAILURES; failures++) await budget.circuit.failed('503');
    await app.database.prisma.$executeRaw`update sync.budgets set wake_at = now() + interval '1 hour'`;
    sandbox.clearLog();
    expect((await work(app, runOf(app, 'tiledesk.leads', 'schedule'))).delayedMs).toBeGreaterThan(10_000);
    expect(sandbox.log).toEqual([]);
    expect(await work(app, runOf(app, 'tiledesk.leads', 'manual'))).toEqual({ error: null, delayedMs: null });
    expect(sandbox.log.length).toBeGreaterThan(0);
  });

  it('does not ask before the time that the server named', async () => {
    const setup = await setupMirror({ leads: 10, requests: 10 });
    opened.push(setup);
    const { app, sandbox } = setup;
    await setup.run('leads', 'backfill');
    await createDatabaseBudget(app.database.prisma, app.connections[0]?.credential ?? '', 200).block(HOUR_MS, '429');
    sandbox.clearLog();
    const { error, delayedMs } = await work(app, runOf(app, 'tiledesk.leads', 'manual'));
    expect(error).toBeInstanceOf(DelayedError);
    expect(delayedMs).toBeGreaterThan(10_000);
    expect(sandbox.log).toEqual([]);
  });

  it('tries a refused credential once more; those of the schedule do not', async () => {
    const setup = await setupTilkee({ env: { TILKEE_PASSWORD: 'wrong-and-refused' } });
    opened.push(setup);
    const { app, sandbox } = setup;
    const signIns = () => sandbox.log.filter(({ method }) => method === 'POST').length;
    const streams = app.connections.flatMap(({ streams }) => streams.map(({ name }) => name));
    const [first = ''] = streams;
    await work(app, runOf(app, first, 'schedule', 'backfill'));
    expect(signIns()).toBe(1);
    await work(app, runOf(app, first, 'manual', 'backfill'));
    expect(signIns()).toBe(2);
    for (const stream of streams) await work(app, runOf(app, stream, 'schedule', 'backfill'));
    expect(signIns()).toBe(2);
  });
});
