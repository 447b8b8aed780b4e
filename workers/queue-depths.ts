import { setTimeout as delay } from 'node:timers/promises';
import type { Lane } from '../src/stream.ts';
import type { Queues } from './queues.ts';

const ANSWER_MS = 3_000;
const LANES: readonly Lane[] = ['fast', 'bulk'];

/**
 * Jobs of both lanes in every state that BullMQ knows: what its own `exportPrometheusMetrics` says, for metrics with our names. Null when the queue does
 * not answer; never throws.
 */
export async function readLanes(
  queues: Queues,
): Promise<Readonly<Record<string, Readonly<Record<string, number>>>> | null> {
  const limit = new AbortController();
  const read = queues.ping().then(async () => {
    const depths = await Promise.all(
      LANES.map(async (lane) => [lane, await queues.lanes[lane].getJobCounts()] as const),
    );
    return Object.fromEntries(depths);
  });
  const late = delay(ANSWER_MS, null, { signal: limit.signal }).catch(() => null);
  return Promise.race([read.catch(() => null), late]).finally(() => limit.abort());
}
