import { hostname } from 'node:os';
import { counted } from '../../counted.ts';
import type { PrismaClient, SyncProcess } from '../../generated/prisma/client.ts';
import { addMs, databaseNow } from '../database-time.ts';

export type Beat = Omit<SyncProcess, 'started_at' | 'beat_at'>;

export interface ProcessRecord extends Omit<SyncProcess, 'connections'> {
  /** Its last sign of life is fresh. False: killed, frozen, or cut off from the database. */
  readonly is_alive: boolean;
}

export const BEAT_MS = 10_000;
/** Four beats and a little, so that one may be late. */
const ALIVE_MS = 45_000;
const DELETED_AFTER_MS = 86_400_000;

/** Stores a heartbeat, also where its row went with a restore, and deletes processes without one for a day. */
export async function writeBeat(prisma: PrismaClient, beat: Beat): Promise<void> {
  const { id, host, pid, roles, version, ...facts } = beat;
  const now = await databaseNow(prisma);
  await prisma.syncProcess.deleteMany({ where: { beat_at: { lt: addMs(now, -DELETED_AFTER_MS) }, id: { not: id } } });
  const update = { ...facts, beat_at: now };
  await prisma.syncProcess.upsert({ where: { id }, create: { id, host, pid, roles, version, ...update }, update });
}

export async function removeProcess(prisma: PrismaClient, id: string): Promise<void> {
  await prisma.syncProcess.deleteMany({ where: { id } });
}

/** Fails where nothing can be written: a standby answers all questions. Changes nothing. */
export async function assertWritable(prisma: PrismaClient): Promise<void> {
  await prisma.syncProcess.deleteMany({ where: { id: '00000000-0000-0000-0000-000000000000' } });
}

/** Every process that has not stopped cleanly within the last day, the oldest first. */
export async function readProcesses(prisma: PrismaClient): Promise<ProcessRecord[]> {
  const aliveSince = addMs(await databaseNow(prisma), -ALIVE_MS);
  const rows = await prisma.syncProcess.findMany({
    orderBy: [{ started_at: 'asc' }, { id: 'asc' }],
    omit: { connections: true },
  });
  return rows.map((row) => ({ ...row, is_alive: row.beat_at > aliveSince }));
}

export async function hasWorker(prisma: PrismaClient): Promise<boolean> {
  return (await readProcesses(prisma)).some(({ is_alive, roles }) => is_alive && roles.includes('worker'));
}

/** Accounts that another living process than this has in its configuration. */
export async function readConnectionsElsewhere(prisma: PrismaClient): Promise<ReadonlySet<string>> {
  return new Set((await readOthers(prisma)).flatMap(({ connections }) => connections));
}

/** Accounts of the other process that leads; null while none is known to. */
export async function readLedConnections(prisma: PrismaClient): Promise<ReadonlySet<string> | null> {
  const leaders = (await readOthers(prisma)).filter((one) => one.is_leading && one.config_hash !== null);
  return leaders.length === 0 ? null : new Set(leaders.flatMap(({ connections }) => connections));
}

async function readOthers(prisma: PrismaClient) {
  const aliveSince = addMs(await databaseNow(prisma), -ALIVE_MS);
  return prisma.syncProcess.findMany({
    where: { beat_at: { gt: aliveSince }, NOT: { host: hostname(), pid: process.pid } },
  });
}

/** Living daemons whose configurations name other accounts or streams than each other's; empty where all agree. */
export function disagreeing(processes: readonly ProcessRecord[]): readonly ProcessRecord[] {
  const alive = processes.filter(({ is_alive, config_hash }) => is_alive && config_hash !== null);
  return new Set(alive.map(({ config_hash }) => config_hash)).size > 1 ? alive : [];
}

/** `3 processes, leader host-a:4711; 1 lost since 2026-01-31T12:00:00.000Z`; null where none is known. */
export function describeProcesses(processes: readonly ProcessRecord[]): string | null {
  if (processes.length === 0) return null;
  const alive = processes.filter(({ is_alive }) => is_alive);
  const lost = processes.filter(({ is_alive }) => !is_alive);
  const leader = alive.find(({ is_leading }) => is_leading);
  const led = leader === undefined ? 'no leader' : `leader ${namesOf([leader])}`;
  const count = `${counted(alive.length, 'process', 'processes')}, ${led}`;
  const lastBeatMs = Math.max(...lost.map(({ beat_at }) => beat_at.getTime()));
  const cutOff = alive.filter(({ queue_ok }) => !queue_ok);
  const others = disagreeing(processes);
  const parts = [
    alive.length === 0 ? 'no process alive' : count,
    lost.length > 0 && `${lost.length} lost since ${new Date(lastBeatMs).toISOString()}`,
    cutOff.length > 0 && `the queue cannot be reached from ${namesOf(cutOff)}`,
    others.length > 0 &&
      `their configurations differ (${namesOf(others)}): give all of them the same accounts and streams`,
  ];
  return parts.filter((part) => part !== false).join('; ');
}

const namesOf = (processes: readonly ProcessRecord[]): string =>
  processes.map(({ host, pid }) => `${host}:${pid}`).join(', ');
