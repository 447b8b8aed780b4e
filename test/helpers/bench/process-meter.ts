/** What a process costs from its start to its end, by the kernel's own figures, looked at until it ends. Linux only. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Finished, Running } from '../cli.ts';
import { useOf } from './processes.ts';

export interface Metered extends Finished {
  /** `Date.now()` before the start. */
  readonly startedAt: number;
  readonly peakMb: number;
  /** User and system, up to the last look: at most 20 ms before the end. */
  readonly cpuSeconds: number;
}

const LOOK_MS = 20;

/** @throws when it does not end with 0 */
export async function meter(what: string, start: () => Pick<Running, 'pid' | 'ended'>): Promise<Metered> {
  const startedAt = Date.now();
  const { pid, ended: ending } = start();
  let isOver = false;
  const ended = ending.finally(() => {
    isOver = true;
  });
  let [peakMb, cpuSeconds] = [0, 0];
  while (!isOver) {
    peakMb = Math.max(peakMb, await peakOf(pid));
    cpuSeconds = (await useOf(pid).catch(() => null))?.cpuSeconds ?? cpuSeconds;
    await Promise.race([delay(LOOK_MS), ended]);
  }
  const finished = await ended;
  const { code, signal, stdout, stderr } = finished;
  if (code !== 0) throw new Error(`${what} ended with ${code ?? signal}:\n${stdout}${stderr}`);
  return { ...finished, startedAt, peakMb, cpuSeconds };
}

/** 0 once the process is gone. */
async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024);
}
