/** Two daemons on one database and queue, each with accounts of its own. */
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { DelayedError } from 'bullmq';
import { createTiledeskSandbox } from '../../sandbox/tiledesk.ts';
import { systemClock } from '../../src/clock.ts';
import { describeProcesses, disagreeing, readProcesses, writeBeat } from '../../src/store/engine/processes.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import { Cooldown } from '../../workers/job-outcome.ts';
import type { QueuedRun } from '../../workers/queue-backend.ts';
import { RUN } from '../../workers/run-job.ts';
import { createProcessor, type ProcessorParts } from '../../workers/sync-stream.ts';
import { startReceiver } from '../alerts/receivers.ts';
import { type Cli, createCli, type Running, until } from '../helpers/cli.ts';
import { variables } from '../helpers/mirror.ts';
import { unheardLogger } from '../helpers/unheard-logger.ts';
import { setupStore } from '../store/support.ts';

let cli: Cli;
beforeAll(async () => {
  cli = await createCli();
});
afterAll(() => cli.close());
const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

const stream = (connectionId: string) => ({ connectionId, stream: 'tiledesk.leads', freshWithinSeconds: 60 });
const beat = (id: number, connections: string[], config_hash: string) => ({
  id: `00000000-0000-4000-8000-00000000000${id}`,
  host: `host-${id}`,
  pid: id,
  roles: ['worker'],
  version: '1',
  is_leading: id === 1,
  queue_ok: true,
  running_runs: 0,
  connections,
  config_hash,
});

it('the leader does not switch off what another living daemon has, and the disagreement is shown', async () => {
  const store = await setupStore();
  opened.push(store);
  const { prisma } = store;
  await writeBeat(prisma, beat(1, ['tiledesk:a'], 'one'));
  await writeBeat(prisma, beat(2, ['tiledesk:b'], 'two'));
  await registerStreams(prisma, [stream('tiledesk:b')], { retires: 'unless_led' });
  await registerStreams(prisma, [stream('tiledesk:a')], { retires: 'always' });
  const connections = async () => (await readStatus(prisma)).map(({ connection_id }) => connection_id).sort();
  expect(await connections()).toEqual(['tiledesk:a', 'tiledesk:b']);

  const processes = await readProcesses(prisma);
  expect(disagreeing(processes).map(({ host }) => host)).toEqual(['host-1', 'host-2']);
  expect(describeProcesses(processes)).toContain('their configurations differ (host-1:1, host-2:2)');

  // Without a living daemon that has it, it is retired as ever.
  await store.query("update sync.processes set beat_at = now() - interval '1 minute' where pid = 2");
  await registerStreams(prisma, [stream('tiledesk:a')], { retires: 'always' });
  expect(await connections()).toEqual(['tiledesk:a']);
  expect(disagreeing(await readProcesses(prisma))).toEqual([]);
});

it('a job of an account that only another living daemon knows goes back into the queue; of one that nobody knows it ends', async () => {
  const store = await setupStore();
  opened.push(store);
  await writeBeat(store.prisma, beat(2, ['tiledesk:b'], 'two'));
  const parts = {
    app: { findStream: () => undefined, database: { prisma: store.prisma, place: 'x' }, clock: systemClock },
    ...{ queues: {}, logger: unheardLogger(), parking: new Cooldown(), signal: new AbortController().signal },
  };
  const process = createProcessor(parts as unknown as ProcessorParts);
  const work = async (connection: string) => {
    let delayedMs: number | null = null;
    const moveToDelayed = async (at: number) => {
      delayedMs = at - Date.now();
    };
    const data = { connection, stream: 'tiledesk.leads', pass: 'incremental', trigger: 'schedule' };
    const job = { id: '1', name: RUN, data, timestamp: Date.now(), moveToDelayed } as unknown as QueuedRun;
    const error = await process(job, 'token').then(
      () => null,
      (thrown: unknown) => thrown,
    );
    return [error instanceof DelayedError, delayedMs];
  };
  expect(await work('tiledesk:b')).toEqual([true, expect.closeTo(1_000, -2)]);
  expect(await work('tiledesk:nobody')).toEqual([false, null]);
  await store.query("update sync.processes set beat_at = now() - interval '1 minute'");
  expect(await work('tiledesk:b')).toEqual([false, null]);
});

async function stop(daemon: Running): Promise<void> {
  daemon.kill('SIGCONT');
  daemon.kill('SIGTERM');
  await daemon.ended;
}

/** Two real daemons on one database, each with an account that the other does not know; the first leads. */
async function startBoth() {
  const store = await setupStore();
  const receiver = await startReceiver();
  opened.push(store, receiver);
  const start = async (projectId: string) => {
    const sandbox = createTiledeskSandbox({ projectId, leads: 20, requests: 10 });
    opened.push(sandbox);
    const { url } = await sandbox.listen();
    cli.guard(sandbox);
    const env = {
      ...variables(sandbox, url, store.url),
      TILEDESK_STREAMS: 'leads',
      SYNC_INCREMENTAL_CRON: '* * * * * *',
      ALERT_WEBHOOK_URL: receiver.url,
      ALERT_AFTER_SECONDS: '1',
      LOG_LEVEL: 'debug',
      OPS_PORT: '0',
    };
    const daemon = cli.start(['start'], { env });
    opened.push({ close: () => stop(daemon) });
    const [, address = ''] = await daemon.says(/status page on (\S+);/);
    const one = async (sql: string) =>
      (await store.query<{ value: string }>(`select (${sql})::text as value`, [`tiledesk:${projectId}`]))[0]?.value;
    return {
      env,
      daemon,
      address,
      leads: async () => Number(await one('select count(*) from tiledesk.leads where connection_id = $1')),
      lastRun: async () => (await one('select max(ended_at) from sync.runs where connection_id = $1')) ?? '',
      /** Everything that a run of the account would change. */
      traces: () =>
        one(`select jsonb_build_array(
          (select jsonb_agg(l order by id) from tiledesk.leads l where connection_id = $1),
          (select jsonb_agg(r order by id) from sync.runs r where connection_id = $1),
          (select jsonb_agg(c order by pass) from sync.checkpoints c where connection_id = $1),
          (select jsonb_agg(b) from sync.budgets b where credential in (select credential from sync.streams where connection_id = $1)))`),
    };
  };
  const leading = await start('a'.repeat(24));
  const isLed = async () => (await readProcesses(store.prisma)).some(({ is_leading }) => is_leading);
  await until('a leader', isLed);
  return { receiver, leading, other: await start('b'.repeat(24)) };
}

it('each daemon mirrors its own account, hands back the jobs of the other, and tells people that they differ', async () => {
  const { receiver, leading, other } = await startBoth();
  await until('both accounts', async () => (await leading.leads()) + (await other.leads()) === 40, 60_000);
  for (const _ of [1, 2]) {
    const last = await other.lastRun();
    await until('the ticks of the account that the leader does not know', async () => (await other.lastRun()) > last);
  }

  const differ = /their configurations differ/;
  expect((await cli.run(['status'], { env: leading.env })).stdout).toMatch(differ);
  expect(await (await fetch(leading.address)).text()).toMatch(differ);
  const opensAlert = (digest: Record<string, unknown>) =>
    JSON.stringify(digest.opened).includes('configuration_differs');
  await until('the alert', () => receiver.accepted.some(opensAlert));

  // Alone with its jobs, the leader touches nothing of the account.
  const handedBack = () => leading.daemon.stderr.split('run skipped: elsewhere').length;
  for (let isTaken = true; isTaken; ) {
    const [before, last] = [handedBack(), await other.lastRun()];
    other.daemon.kill('SIGSTOP');
    // Stopped with a job of its own, the daemon keeps the next ticks of the account from the leader: once more.
    isTaken = await until('a job handed back', () => handedBack() > before, 5_000).then(
      () => false,
      () => true,
    );
    if (isTaken) other.daemon.kill('SIGCONT');
    if (isTaken) await until('a run by the one that knows it', async () => (await other.lastRun()) > last);
  }
  await until('what was under way', async () => {
    const traces = await other.traces();
    await new Promise((resolve) => setTimeout(resolve, 500));
    return (await other.traces()) === traces;
  });
  const traces = await other.traces();
  const times = handedBack();
  await until('jobs handed back', () => handedBack() >= times + 3);
  expect(await other.traces()).toBe(traces);
  const last = await other.lastRun();
  other.daemon.kill('SIGCONT');
  await until('a run by the one that knows it', async () => (await other.lastRun()) > last);

  await stop(other.daemon);
  await until('the end of the alert', () =>
    receiver.accepted.some(({ closed }) => JSON.stringify(closed).includes('configuration_differs')),
  );
  expect((await cli.run(['status'], { env: leading.env })).stdout).not.toMatch(differ);
}, 180_000);
