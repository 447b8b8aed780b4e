import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  type Beat,
  describeProcesses,
  readProcesses,
  removeProcess,
  writeBeat,
} from '../../src/store/engine/processes.ts';
import { type Store, setupStore } from './support.ts';

let store: Store;
beforeAll(async () => {
  store = await setupStore();
});
afterAll(() => store.close());
beforeEach(() => store.query('truncate sync.processes'));

const id = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;

const beat = (n: number, facts: Partial<Beat> = {}) =>
  writeBeat(store.prisma, {
    id: id(n),
    host: `host-${n}`,
    pid: 100 + n,
    roles: ['scheduler', 'worker'],
    version: '1.2.3',
    is_leading: false,
    queue_ok: true,
    running_runs: 0,
    config_hash: 'same',
    connections: [],
    ...facts,
  });

const silence = (n: number, interval: string) =>
  store.query('update sync.processes set beat_at = now() - $2::interval where id = $1', [id(n), interval]);

describe('the list of processes', () => {
  it('holds what each said last', async () => {
    await beat(1);
    const [first] = await readProcesses(store.prisma);
    await beat(1, { is_leading: true, queue_ok: false, running_runs: 3 });
    const [second, ...others] = await readProcesses(store.prisma);
    expect(others).toEqual([]);
    expect(second).toEqual({
      ...first,
      beat_at: second?.beat_at,
      is_leading: true,
      queue_ok: false,
      running_runs: 3,
    });
    expect(second).toMatchObject({ id: id(1), host: 'host-1', pid: 101, version: '1.2.3', is_alive: true });
    expect(second?.beat_at.getTime()).toBeGreaterThan(first?.beat_at.getTime() ?? 0);
    await removeProcess(store.prisma, id(1));
    expect(await readProcesses(store.prisma)).toEqual([]);
  });

  it('calls a process silent after 45 seconds, and forgets it after a day', async () => {
    for (const n of [1, 2, 3, 4]) await beat(n);
    await silence(1, '44 seconds');
    await silence(2, '46 seconds');
    await silence(3, '25 hours');
    await beat(4);
    const processes = await readProcesses(store.prisma);
    expect(processes.map(({ host, is_alive }) => [host, is_alive])).toEqual([
      ['host-1', true],
      ['host-2', false],
      ['host-4', true],
    ]);
  });

  it('takes a process back that was silent for a day', async () => {
    await beat(1);
    await silence(1, '25 hours');
    await beat(1);
    expect(await readProcesses(store.prisma)).toMatchObject([{ is_alive: true }]);
  });

  it('is told in one line', async () => {
    expect(describeProcesses(await readProcesses(store.prisma))).toBeNull();
    await beat(1);
    expect(describeProcesses(await readProcesses(store.prisma))).toBe('1 process, no leader');
    await beat(2, { is_leading: true });
    expect(describeProcesses(await readProcesses(store.prisma))).toBe('2 processes, leader host-2:102');
    await store.query(`update sync.processes set beat_at = '2026-01-31T12:00:00Z' where host = 'host-2'`);
    expect(describeProcesses(await readProcesses(store.prisma))).toBe(
      '1 process, no leader; 1 lost since 2026-01-31T12:00:00.000Z',
    );
    await silence(1, '2 minutes');
    expect(describeProcesses(await readProcesses(store.prisma))).toContain('no process alive; 2 lost since');
  });
});
