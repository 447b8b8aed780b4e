/** Two daemons on one database and queue, each with accounts of its own. */
import { afterEach, expect, it } from '@jest/globals';
import { describeProcesses, disagreeing, readProcesses, writeBeat } from '../../src/store/engine/processes.ts';
import { registerStreams } from '../../src/store/engine/streams.ts';
import { readStatus } from '../../src/store/reports/status.ts';
import { setupStore } from '../store/support.ts';

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

const stream = (connectionId: string) => ({ connectionId, stream: 'tiledesk.leads', freshWithinSeconds: 60 });
const beat = (id: number, connections: readonly string[], configHash: string) => ({
  id: `00000000-0000-4000-8000-00000000000${id}`,
  host: `host-${id}`,
  pid: id,
  roles: ['worker'],
  version: '1',
  isLeading: id === 1,
  isQueueOk: true,
  runningRuns: 0,
  connections,
  configHash,
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
